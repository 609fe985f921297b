//! The manual pages of `man/`, made from the definitions of the commands so that neither drifts.
//!
//! `BRYO_WRITE_MAN=1 cargo test --lib cli::manual` writes them.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::fs;
use std::path::Path;

use clap::CommandFactory as _;
use clap_mangen::Man;

use super::args::Args;
use crate::dockerfile;

/// The sections of bryo(1) that no definition of an option can hold.
const MORE: &str = include_str!("manual.roff");

#[test]
fn pages_tell_the_truth() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("man");
    if std::env::var_os("BRYO_WRITE_MAN").is_some() {
        for (name, text) in pages() {
            fs::write(folder.join(name), text).expect("man/ can be written");
        }
    }
    let kept: BTreeMap<String, String> = fs::read_dir(&folder)
        .expect("man/ is there")
        .map(|entry| entry.expect("man/ can be read").path())
        .filter(|path| path.extension().is_some_and(|section| section == "1"))
        .map(|path| {
            let name = path.file_name().expect("it has one").to_string_lossy().into_owned();
            (name, fs::read_to_string(&path).expect("a page can be read"))
        })
        .collect();
    for (name, text) in pages() {
        assert_eq!(kept.get(&name), Some(&text), "man/{name}: write it again, see above");
    }
    assert_eq!(kept.len(), pages().len(), "man/ has a page of no command");
}

#[test]
fn the_language_is_explained_in_full() {
    let page = Path::new(env!("CARGO_MANIFEST_DIR")).join("man/bryo-dockerfile.5");
    let page = fs::read_to_string(page).expect("the page is there").replace("\\-", "-");
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '-';
    let words: Vec<&str> = page.split(|c| !is_part(c)).collect();
    for word in dockerfile::vocabulary() {
        let is_there = words.iter().any(|known| {
            // `\fB` and its like stick to the words that they change.
            known.trim_start_matches("fB") == word
        });
        assert!(is_there, "man/bryo-dockerfile.5 does not explain {word}");
    }
}

#[test]
fn definitions_are_sound() {
    Args::command().debug_assert();
}

fn pages() -> Vec<(String, String)> {
    let mut program = Args::command();
    program.build();
    let mut pages = vec![("bryo.1".to_owned(), page(&program, "bryo", false) + MORE)];
    // clap's own command needs no page.
    let has_page =
        |command: &&clap::Command| !command.is_hide_set() && command.get_name() != "help";
    for command in program.get_subcommands().filter(has_page) {
        let name = format!("bryo-{}", command.get_name());
        pages.push((format!("{name}.1"), page(command, &name, true)));
        for verb in command.get_subcommands().filter(has_page) {
            let name = format!("{name}-{}", verb.get_name());
            pages.push((format!("{name}.1"), page(verb, &name, true)));
        }
    }
    pages
}

/// One page. A command's own leaves out what bryo(1) says of every command.
fn page(command: &clap::Command, name: &str, of_command: bool) -> String {
    let shown = command.clone().mut_args(|arg| {
        let general = of_command && arg.get_help_heading() == Some("Global options");
        let trivial = matches!(arg.get_id().as_str(), "help" | "version");
        if general || trivial { arg.hide(true) } else { arg }
    });
    let usage = shown.clone().render_usage().to_string();
    let usage = usage.strip_prefix("Usage: ").unwrap_or(&usage).to_owned();
    let examples = shown.get_after_long_help().map(ToString::to_string);
    let man = Man::new(shown.override_usage(usage))
        .title(name.to_uppercase())
        .date("")
        .source("bryo")
        .manual("bryo manual");
    let mut text = Vec::new();
    man.render_title(&mut text)
        .and_then(|()| man.render_name_section(&mut text))
        .and_then(|()| man.render_synopsis_section(&mut text))
        .and_then(|()| man.render_description_section(&mut text))
        .and_then(|()| match command.has_subcommands() {
            true => man.render_subcommands_section(&mut text),
            false => Ok(()),
        })
        .and_then(|()| man.render_options_section(&mut text))
        .expect("a vector can be written");
    let mut text = String::from_utf8(text).expect("roff is ASCII");
    if let Some(examples) = examples {
        text.push_str(".SH EXAMPLES\n.nf\n");
        for line in examples.lines().filter(|line| *line != "Examples:") {
            let line = line.trim_start().replace('\\', "\\e").replace('-', "\\-");
            writeln!(text, "{line}").expect("a string can be written");
        }
        text.push_str(".fi\n");
    }
    if of_command {
        text.push_str(
            ".SH \"SEE ALSO\"\n\\fBbryo\\fR(1): options of all commands, exit status, files\n",
        );
    }
    text
}
