//! What can be asked of a Dockerfile: its targets, and what a target takes. Pure.

use serde::Serialize;

use super::error::Error;
use super::plan::{Origin, Plan, Wishes};
use super::scope::Scope;
use super::{Options, survey};
use crate::dockerfile::lint::described;
use crate::dockerfile::{self, Arg, Expander, Instruction, Mount, Node};

/// A stage that can be built.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Target {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    /// What is built when no target is named.
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub default: bool,
    /// From the comment above: `# NAME what it is`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// What its `FROM` names.
    pub base: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub platform: Option<String>,
}

/// What a target takes.
#[derive(Debug, Clone, PartialEq, Eq, Default, Serialize)]
pub struct Outline {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub name: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub args: Vec<Argument>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub secrets: Vec<Asked>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub ssh: Vec<Asked>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub cache: Vec<Cache>,
}

/// An argument that `--build-arg` can give.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Argument {
    pub name: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// The value as things are.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub value: Option<String>,
}

/// A secret or an agent that a step asks for.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Asked {
    pub name: String,
    #[serde(skip_serializing_if = "std::ops::Not::not")]
    pub required: bool,
}

/// A cache that a step keeps.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cache {
    pub id: String,
}

/// The stages of a Dockerfile, in its order.
pub fn targets(options: &Options) -> Result<Vec<Target>, Error> {
    let (file, nodes) = read(options)?;
    let last = file.stages.len().saturating_sub(1);
    let stages = file.stages.iter().enumerate().map(|(number, stage)| {
        let from = &stage.from.value;
        Target {
            name: from.name.clone(),
            default: number == last,
            description: from
                .name
                .as_ref()
                .and_then(|name| described(at(&nodes, stage.from.span.line)?, name)),
            base: from.image.raw().to_owned(),
            platform: from.platform.as_ref().map(|word| word.raw().to_owned()),
        }
    });
    Ok(stages.collect())
}

/// What the target takes, and the stages that it needs.
pub fn outline(options: &Options) -> Result<Outline, Error> {
    let (file, nodes) = read(options)?;
    let platform = options.first_target();
    let given = survey::given(options, &platform);
    let escape = file.directives.escape;
    let heads = file.arguments.clone();
    let plan = Plan::new(file, Wishes::new(options, &given, &platform))?;
    let from = &plan.stages[plan.target].from;
    let name = from.value.name.clone();
    let mut outline = Outline {
        description: name.as_ref().and_then(|name| described(at(&nodes, from.span.line)?, name)),
        name,
        ..Outline::default()
    };
    for head in &heads {
        outline.declare(&head.value, at(&nodes, head.span.line), |name| plan.globals.get(name));
    }
    let mut scopes = vec![Scope::default(); plan.stages.len()];
    for number in plan.order()? {
        let stage = &plan.stages[number];
        let mut scope = match stage.base {
            Origin::Stage(base) => scopes[base].clone(),
            _ => Scope::default(),
        };
        for step in &stage.steps {
            match &step.value {
                Instruction::Arg(arg) => {
                    scope
                        .declare_all(arg, &given, &plan.globals, escape)
                        .map_err(|error| Error::at(step.span, error))?;
                    outline.declare(arg, at(&nodes, step.span.line), |name| scope.get(name));
                }
                Instruction::Env(env) => {
                    let before = scope.clone();
                    let get = |name: &str| before.get(name).map(str::to_owned);
                    let expander = Expander::new(escape, &get);
                    for pair in &env.pairs {
                        if let (Ok(name), Ok(value)) =
                            (expander.word(&pair.key), expander.word(&pair.value))
                        {
                            scope.set(&name, &value);
                        }
                    }
                }
                Instruction::Run(run) => {
                    let get = |name: &str| scope.get(name).map(str::to_owned);
                    let expander = Expander::new(escape, &get);
                    for mount in &run.mounts {
                        let mount = Mount::parse(mount, &expander)
                            .map_err(|error| Error::at(step.span, error))?;
                        outline.ask(mount);
                    }
                }
                _ => {}
            }
        }
        scopes[number] = scope;
    }
    Ok(outline)
}

impl Outline {
    fn declare<'a>(
        &mut self,
        arg: &Arg,
        node: Option<&Node>,
        value: impl Fn(&str) -> Option<&'a str>,
    ) {
        for argument in &arg.arguments {
            let name = argument.name.raw().to_owned();
            let value = value(&name).map(str::to_owned);
            let description = node.and_then(|node| described(node, &name));
            match self.args.iter_mut().find(|known| known.name == name) {
                Some(known) => {
                    known.value = value.or(known.value.take());
                    known.description = description.or(known.description.take());
                }
                None => self.args.push(Argument { name, description, value }),
            }
        }
    }

    fn ask(&mut self, mount: Mount) {
        let ask = |list: &mut Vec<Asked>, name: String, required| match list
            .iter_mut()
            .find(|known| known.name == name)
        {
            Some(known) => known.required |= required,
            None => list.push(Asked { name, required }),
        };
        match mount {
            Mount::Secret { id, required, .. } => ask(&mut self.secrets, id, required),
            Mount::Ssh { id, required, .. } => ask(&mut self.ssh, id, required),
            Mount::Cache { id, target, .. } => {
                let cache = Cache { id: id.unwrap_or(target) };
                if !self.cache.contains(&cache) {
                    self.cache.push(cache);
                }
            }
            Mount::Bind { .. } | Mount::Tmpfs { .. } => {}
        }
    }
}

fn read(options: &Options) -> Result<(dockerfile::Dockerfile, Vec<Node>), Error> {
    let (file, diagnostics) = dockerfile::parse(&options.dockerfile);
    match diagnostics.iter().any(dockerfile::Diagnostic::is_error) {
        true => Err(Error::Dockerfile(diagnostics)),
        false => Ok((file, dockerfile::read(&options.dockerfile).0.nodes)),
    }
}

fn at(nodes: &[Node], line: usize) -> Option<&Node> {
    nodes.iter().find(|node| node.span.line == line)
}
