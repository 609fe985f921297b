//! [`Record`]: what a build used and what it did, noted while it is at it.
//!
//! It is a graph as the reference builder has one: sources, which come from outside, commands and
//! changes of files, each with what it stands on. What configures an image alone is not in it.

use std::sync::{Mutex, PoisonError};

use crate::dockerfile::{Mount, Span};
use crate::image::{Descriptor, Digest, Platform, Reference};
use crate::sandbox::Network;

/// What was noted; steps may run side by side.
#[derive(Debug, Default)]
pub(in crate::build) struct Record(Mutex<Vec<Vertex>>);

/// Names a vertex of one record.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(in crate::build) struct VertexId(usize);

/// Something that has files.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::build) struct Vertex {
    pub(super) what: What,
    /// What it reads; an operation names them by their places here.
    pub(super) inputs: Vec<VertexId>,
    /// The first input is what it stands on: what its stage had before.
    pub(super) has_below: bool,
    pub(super) platform: Option<Platform>,
    /// Where in the Dockerfile it stands.
    pub(super) spans: Vec<Span>,
    /// All layers of what it made, the lowest first; empty where there are none.
    pub(super) layers: Vec<Descriptor>,
}

#[derive(Debug, Clone, PartialEq)]
pub(super) enum What {
    Source(Source),
    Done(Operation),
}

/// What comes from outside.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::build) enum Source {
    /// A directory of the caller's, by the name that the build has for it.
    Local(String),
    /// An image by its name, and what that stood for: an index, or else a manifest.
    Image {
        reference: Reference,
        digest: Digest,
    },
    /// An image of a layout of this machine, which has a name in the build.
    Layout {
        name: String,
        digest: Digest,
    },
    Url {
        url: String,
        digest: Digest,
    },
    Repository {
        url: String,
        commit: String,
    },
    /// Programs of this machine.
    Host(Vec<String>),
}

/// What a step does.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::build) enum Operation {
    Run(Command),
    /// One after the other.
    Files(Vec<Change>),
}

/// A RUN.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::build) struct Command {
    pub(in crate::build) argv: Vec<String>,
    /// `NAME=value`.
    pub(in crate::build) environment: Vec<String>,
    pub(in crate::build) directory: String,
    pub(in crate::build) user: String,
    pub(in crate::build) network: Network,
    pub(in crate::build) mounts: Vec<Mounted>,
}

/// A mount, where it is seen, and the place of what it shows among the inputs.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::build) struct Mounted {
    pub(in crate::build) mount: Mount,
    pub(in crate::build) target: String,
    pub(in crate::build) input: Option<usize>,
}

/// A change of files.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::build) enum Change {
    Copy(Copied),
    Write { path: String, content: String, owner: Option<String>, mode: Option<String> },
    MakeDirectory { path: String, owner: Option<String> },
}

/// Files that are copied from an input.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::build) struct Copied {
    pub(in crate::build) input: Option<usize>,
    pub(in crate::build) source: String,
    pub(in crate::build) destination: String,
    pub(in crate::build) owner: Option<String>,
    pub(in crate::build) mode: Option<String>,
    pub(in crate::build) exclude: Vec<String>,
    pub(in crate::build) unpacks: bool,
}

/// What a step does, and what it reads beside what its stage has so far.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::build) struct Told {
    pub(in crate::build) operation: Operation,
    /// Those that the operation names by their places, counted from here.
    pub(in crate::build) inputs: Vec<VertexId>,
}

impl Record {
    /// Notes something from outside; the same thing is noted once.
    pub(in crate::build) fn source(
        &self,
        source: Source,
        platform: Option<&Platform>,
        layers: &[Descriptor],
        span: Option<Span>,
    ) -> VertexId {
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (what, platform) = (What::Source(source), platform.cloned());
        let known = all.iter().position(|known| known.what == what && known.platform == platform);
        let at = known.unwrap_or_else(|| {
            let layers = layers.to_vec();
            let (inputs, has_below, spans) = (Vec::new(), false, Vec::new());
            all.push(Vertex { what, inputs, has_below, platform, spans, layers });
            all.len() - 1
        });
        let spans = &mut all[at].spans;
        spans.extend(span.filter(|span| !spans.contains(span)));
        VertexId(at)
    }

    /// Notes a step.
    pub(in crate::build) fn step(
        &self,
        below: Option<VertexId>,
        told: Told,
        platform: &Platform,
        layers: &[Descriptor],
        span: Span,
    ) -> VertexId {
        let Told { operation, inputs } = told;
        let inputs = below.into_iter().chain(inputs).collect();
        let vertex = Vertex {
            what: What::Done(operation.above(below.is_some())),
            inputs,
            has_below: below.is_some(),
            platform: Some(platform.clone()),
            spans: vec![span],
            layers: layers.to_vec(),
        };
        let mut all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        all.push(vertex);
        VertexId(all.len() - 1)
    }

    /// All that `result` needs and itself, each after what it needs, so that their order does not
    /// depend on which was done first. Inputs are places in this list.
    pub(super) fn graph(&self, result: Option<VertexId>) -> Vec<Vertex> {
        let all = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (mut order, mut waiting) = (Vec::new(), Vec::new());
        waiting.extend(result.map(|id| (id, false)));
        while let Some((id, is_ready)) = waiting.pop() {
            if order.contains(&id) {
                continue;
            }
            if is_ready {
                order.push(id);
                continue;
            }
            waiting.push((id, true));
            // An input is always noted before who reads it, so that this ends.
            waiting.extend(all[id.0].inputs.iter().rev().map(|input| (*input, false)));
        }
        let place = |id: &VertexId| {
            VertexId(order.iter().position(|known| known == id).expect("inputs come first"))
        };
        let vertex = |id: &VertexId| {
            let mut vertex = all[id.0].clone();
            vertex.inputs = vertex.inputs.iter().map(place).collect();
            vertex.spans.sort_by_key(|span| (span.line, span.start));
            vertex
        };
        order.iter().map(vertex).collect()
    }
}

impl VertexId {
    pub(super) fn number(self) -> usize {
        self.0
    }
}

impl Operation {
    /// Places among the inputs, when what is below becomes the first of them.
    fn above(self, has_below: bool) -> Self {
        let by = usize::from(has_below);
        let moved = |input: Option<usize>| input.map(|input| input + by);
        match self {
            Self::Run(mut command) => {
                for mounted in &mut command.mounts {
                    mounted.input = moved(mounted.input);
                }
                Self::Run(command)
            }
            Self::Files(mut changes) => {
                for change in &mut changes {
                    if let Change::Copy(copied) = change {
                        copied.input = moved(copied.input);
                    }
                }
                Self::Files(changes)
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn span(line: usize) -> Span {
        Span { start: 0, end: 0, line, end_line: line }
    }

    fn copy(input: usize) -> Operation {
        Operation::Files(vec![Change::Copy(Copied {
            input: Some(input),
            source: "/a".into(),
            destination: "/b".into(),
            owner: None,
            mode: None,
            exclude: Vec::new(),
            unpacks: false,
        })])
    }

    #[test]
    fn the_order_is_that_of_needs() {
        let platform = Platform::new("linux", "amd64", None);
        let record = Record::default();
        let context = record.source(Source::Local("context".into()), None, &[], None);
        let unused = record.source(Source::Local("other".into()), None, &[], None);
        let again = record.source(Source::Local("context".into()), None, &[], Some(span(9)));
        assert_eq!((context, unused.number()), (again, 1));
        let base = record.source(Source::Host(vec!["sh".into()]), Some(&platform), &[], None);
        let told = Told { operation: copy(0), inputs: vec![context] };
        let first = record.step(Some(base), told.clone(), &platform, &[], span(2));
        let told = Told { inputs: vec![first], ..told };
        let last = record.step(None, told, &platform, &[], span(3));

        let graph = record.graph(Some(last));
        let inputs: Vec<Vec<usize>> = graph
            .iter()
            .map(|vertex| vertex.inputs.iter().map(|input| input.number()).collect())
            .collect();
        assert_eq!(inputs, [vec![], vec![], vec![0, 1], vec![2]]);
        assert_eq!(graph[0].what, What::Source(Source::Host(vec!["sh".into()])));
        // The first input is what the step stands on, if there is anything.
        assert_eq!(graph[2].what, What::Done(copy(1)));
        assert_eq!(graph[3].what, What::Done(copy(0)));
        assert_eq!(graph[1].spans, [span(9)]);
        assert!(record.graph(None).is_empty());
    }
}
