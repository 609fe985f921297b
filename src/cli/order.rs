//! Words as other tools take them: options before the name of the command that they are for
//! (`bryo --rate-limit 1 tags debian`), and `-v` for `--verbose` where it means nothing else.

use std::ffi::OsString;

use clap::error::{ContextKind, ContextValue, ErrorKind};
use clap::{Arg, Command};

/// The same words, the command's options after its name. What `command` does not understand stays
/// where it is.
pub(super) fn ordered(words: &[OsString], command: &Command) -> Vec<OsString> {
    rearranged(words, command).unwrap_or_else(|| words.to_vec())
}

fn rearranged(words: &[OsString], command: &Command) -> Option<Vec<OsString>> {
    let (program, mut rest) = words.split_first()?;
    let (mut own, mut moved) = (vec![program.clone()], Vec::new());
    loop {
        let word = rest.first()?.to_str()?;
        if !word.starts_with('-') || word.len() == 1 {
            break;
        }
        let (place, argument) = match own_argument(word, command) {
            Some(argument) => (&mut own, argument),
            None => (&mut moved, argument_of_any(word, command)?),
        };
        let has_value = takes_next_word(argument) && !word.contains('=');
        let (option, others) = rest.split_at_checked(1 + usize::from(has_value))?;
        place.extend_from_slice(option);
        rest = others;
    }
    if moved.is_empty() {
        return None;
    }
    // Of a command with commands of its own, after the name of that one.
    let of = command.find_subcommand(rest.first()?)?;
    let has_own = rest.get(1).is_some_and(|name| of.find_subcommand(name).is_some());
    let (names, rest) = rest.split_at(1 + usize::from(has_own));
    Some([&own, names, &moved, rest].concat())
}

/// The same words with `--verbose` for `-v`, `-vv` and `-vvv`, if `error` is that the command knows no
/// `-v`. (To `run` it is a volume.)
pub(super) fn verbose(words: &[OsString], error: &clap::Error) -> Option<Vec<OsString>> {
    let is_it = matches!(error.get(ContextKind::InvalidArg),
        Some(ContextValue::String(option)) if option == "-v");
    if error.kind() != ErrorKind::UnknownArgument || !is_it {
        return None;
    }
    let end = words.iter().position(|word| word == "--").unwrap_or(words.len());
    let mut words = words.to_vec();
    for word in &mut words[..end] {
        if ["-v", "-vv", "-vvv"].iter().any(|short| word == short) {
            *word = "--verbose".into();
        }
    }
    Some(words)
}

/// What `--name`, `--name=value` or `-n` means before any command.
fn own_argument<'a>(word: &str, command: &'a Command) -> Option<&'a Arg> {
    match word.strip_prefix("--") {
        Some(_) => with_name(word, command),
        None => {
            let mut letters = word.chars().skip(1);
            let (letter, more) = (letters.next()?, letters.next());
            let is_it = |argument: &&Arg| {
                argument.get_short_and_visible_aliases().is_some_and(|all| all.contains(&letter))
                    || argument.get_all_short_aliases().is_some_and(|all| all.contains(&letter))
            };
            command.get_arguments().find(is_it).filter(|_| more.is_none())
        }
    }
}

/// What `--name` means to the first command that knows it.
fn argument_of_any<'a>(word: &str, command: &'a Command) -> Option<&'a Arg> {
    command
        .get_subcommands()
        .find_map(|of| with_name(word, of).or_else(|| argument_of_any(word, of)))
}

fn with_name<'a>(word: &str, command: &'a Command) -> Option<&'a Arg> {
    let name = word.strip_prefix("--")?.split('=').next()?;
    command.get_arguments().find(|argument| {
        argument.get_long() == Some(name)
            || argument.get_all_aliases().is_some_and(|all| all.contains(&name))
    })
}

fn takes_next_word(argument: &Arg) -> bool {
    argument.get_action().takes_values() && !argument.is_require_equals_set()
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;
    use crate::cli::args::Args;

    #[test]
    fn options_move_behind_the_command() {
        for (text, expected) in [
            ("--rate-limit 1 tags debian", "tags --rate-limit 1 debian"),
            ("--rate-limit=1 -q tags debian", "-q tags --rate-limit=1 debian"),
            ("--insecure tags h:5/a", "tags --insecure h:5/a"),
            ("--storage /s --offline pull a", "--storage /s pull --offline a"),
            ("--dot f cache", "cache --dot f"),
            ("--tls-no-verify manifest push a", "manifest push --tls-no-verify a"),
            // Nothing to do, or nothing that could be understood.
            ("--storage /s pull --offline a", "--storage /s pull --offline a"),
            ("tags debian", "tags debian"),
            ("--moss tags debian", "--moss tags debian"),
            ("--rate-limit", "--rate-limit"),
            ("--offline moss", "--offline moss"),
            ("-x tags debian", "-x tags debian"),
            ("", ""),
        ] {
            let words = |text: &str| -> Vec<OsString> {
                ["bryo"].into_iter().chain(text.split_whitespace()).map(OsString::from).collect()
            };
            assert_eq!(ordered(&words(text), &Args::command()), words(expected), "{text}");
        }
    }
}
