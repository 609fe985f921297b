//! Instructions for an image that is not built: `import --change`, as docker has it. Pure.

use super::config_step;
use super::error::Fault;
use super::state::{PATH, State};
use super::workdir_step;
use crate::dockerfile::{Expander, Instruction, parse_trigger};
use crate::image::Config;

/// Changes a configuration as instructions of a Dockerfile say that need no files; the history stays.
///
/// # Errors
///
/// [`Fault::Trigger`] for what is no such instruction; what the instruction itself says.
pub fn change(config: Config, instructions: &[String]) -> Result<Config, Fault> {
    let before = config.clone();
    let mut state = State::new(config, &[]);
    for text in instructions {
        let found = parse_trigger(text).map_err(|diagnostic| Fault::Trigger(diagnostic.message))?;
        match found.value {
            Instruction::Workdir(workdir) => {
                let get = |name: &str| state.scope.get(name).map(str::to_owned);
                let path = Expander::new('\\', &get).word(&workdir.path)?;
                state.config.runtime.working_dir = workdir_step::joined(state.directory(), &path);
            }
            Instruction::Add(_)
            | Instruction::Arg(_)
            | Instruction::Copy(_)
            | Instruction::Maintainer(_)
            | Instruction::Rsync(_)
            | Instruction::Run(_)
            | Instruction::Shell(_) => {
                let word = text.split_whitespace().next().unwrap_or_default();
                return Err(Fault::Trigger(format!("{word} is not a valid change command")));
            }
            instruction => drop(config_step::apply(&instruction, &mut state, '\\')?),
        }
    }
    let mut config = state.config;
    let runtime = &mut config.runtime;
    // A stage begins with more than the image has said.
    if before.runtime.env("PATH").is_none() && runtime.env("PATH") == Some(PATH) {
        runtime.env.retain(|entry| !entry.starts_with("PATH="));
    }
    if runtime.working_dir == "/" {
        runtime.working_dir = before.runtime.working_dir;
    }
    config.history = before.history;
    Ok(config)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_configuration_changes_as_instructions_say() {
        let changes = [
            "ENV a=b c=\"d e\"",
            "CMD [\"x\"]",
            "WORKDIR /w",
            "WORKDIR sub",
            "EXPOSE 80",
            "LABEL l=$a",
        ];
        let changes = changes.map(str::to_owned);
        let config = change(Config::default(), &changes).expect("valid");
        let runtime = &config.runtime;
        assert_eq!(runtime.env, ["a=b", "c=d e"]);
        assert_eq!((runtime.working_dir.as_str(), runtime.labels["l"].as_str()), ("/w/sub", "b"));
        assert_eq!(runtime.cmd, Some(vec!["x".to_owned()]));
        assert!(config.history.is_empty());
        for wrong in ["RUN x", "COPY a b", "nonsense", ""] {
            assert!(change(Config::default(), &[wrong.to_owned()]).is_err(), "{wrong}");
        }
        let mut config = Config::default();
        config.runtime.set_env("PATH", "/own");
        let same = change(config.clone(), &[]).expect("nothing to do");
        assert_eq!(same, config);
    }
}
