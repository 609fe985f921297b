//! `bryo referrers`.

use std::collections::HashSet;

use serde_json::{Value, json};

use crate::cli::args::{Login, Network};
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::image::{Descriptor, Digest, Reference};
use crate::registry::Registry;

/// Show what refers to an image in a registry
///
/// Signatures, attestations, and whatever else was attached to it, as a tree: what was attached to
/// those stands below them. Of an image for several platforms, what refers to the index.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo referrers registry.example/team/app:1
  bryo referrers --type application/spdx+json --json registry.example/team/app:1")]
pub(crate) struct Referrers {
    /// The image
    #[arg(value_name = "IMAGE")]
    image: String,
    /// Only those of this artifact type
    #[arg(long = "type", value_name = "TYPE")]
    artifact_type: Option<String>,
    /// As a JSON array
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

/// A referrer, and what refers to it.
struct Node {
    descriptor: Descriptor,
    below: Vec<Self>,
}

impl Referrers {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        let name = remote.reference(&self.image)?;
        let registry = remote.registry(name.registry());
        let digest = remote.head(&name)?.digest;
        let mut seen = HashSet::from([digest.clone()]);
        let kind = self.artifact_type.as_deref();
        let nodes = nodes(&registry, &name, &digest, kind, &mut seen)?;
        if self.json {
            let nodes: Vec<Value> = nodes.iter().map(Node::json).collect();
            return invocation.print(&format!("{:#}\n", Value::Array(nodes)));
        }
        let mut text = format!("{}/{}@{digest}\n", name.registry(), name.repository());
        draw(&nodes, "", &mut text);
        invocation.print(&text)
    }
}

fn nodes(
    registry: &Registry,
    name: &Reference,
    digest: &Digest,
    kind: Option<&str>,
    seen: &mut HashSet<Digest>,
) -> Result<Vec<Node>, Error> {
    let mut nodes = Vec::new();
    for descriptor in registry.referrers(name.repository(), digest, kind)? {
        // Nobody can refer to what refers to him, unless a list lies.
        if seen.insert(descriptor.digest.clone()) {
            let below = self::nodes(registry, name, &descriptor.digest, None, seen)?;
            nodes.push(Node { descriptor, below });
        }
    }
    Ok(nodes)
}

impl Node {
    fn json(&self) -> Value {
        let mut value = json!(self.descriptor);
        value["referrers"] = self.below.iter().map(Self::json).collect();
        value
    }
}

fn draw(nodes: &[Node], indent: &str, text: &mut String) {
    for (number, Node { descriptor, below }) in nodes.iter().enumerate() {
        let last = number + 1 == nodes.len();
        let (branch, more) = if last { ("└─ ", "   ") } else { ("├─ ", "│  ") };
        let kind = descriptor.artifact_type.as_deref().unwrap_or(&descriptor.media_type);
        text.push_str(&format!("{indent}{branch}{} {}\n", printable(kind), descriptor.digest));
        draw(below, &format!("{indent}{more}"), text);
    }
}

/// What others wrote, without what could lead a terminal astray.
fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() { ' ' } else { c }).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn trees_are_drawn() {
        let node = |kind: Option<&str>, below| {
            let descriptor = Descriptor::of("m/t", b"x");
            Node {
                descriptor: Descriptor { artifact_type: kind.map(str::to_owned), ..descriptor },
                below,
            }
        };
        let tree = [
            node(Some("a"), vec![node(None, vec![]), node(Some("b\u{1b}[2J"), vec![])]),
            node(Some("c"), vec![]),
        ];
        let mut text = String::new();
        draw(&tree, "", &mut text);
        let digest = Digest::of(b"x").to_string();
        let expected = "├─ a D\n│  ├─ m/t D\n│  └─ b [2J D\n└─ c D\n";
        assert_eq!(text.replace(&digest, "D"), expected);
    }
}
