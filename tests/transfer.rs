//! Images on their way, for real: this program enters a namespace as bryo does and moves images
//! between storage directories, archives and Debian's `docker-registry`; `skopeo` is the judge.
//!
//! Started by root it becomes an ordinary user first (the way `sudo bryo` does).

#[path = "transfer/about.rs"]
mod about;
#[path = "transfer/archives.rs"]
mod archives;
#[allow(dead_code, reason = "its other user is the other half of these tests")]
#[path = "integration/support/broken.rs"]
mod broken;
#[path = "transfer/faults.rs"]
mod faults;
#[path = "transfer/files.rs"]
mod files;
#[path = "transfer/filters.rs"]
mod filters;
#[path = "transfer/hostile.rs"]
mod hostile;
#[path = "transfer/made.rs"]
mod made;
#[path = "transfer/registries.rs"]
mod registries;

use std::error::Error as _;
use std::ffi::OsString;
use std::io::Write as _;
use std::process::ExitCode;
use std::{env, fs, io, panic};

use bryo::sandbox::{self, Caller};

/// What root becomes: anybody without privilege.
const NOBODY_SPECIAL: (u32, u32) = (2001, 2001);

const TESTS: &[(&str, fn())] = &[
    ("layouts_keep_every_byte", archives::layouts_keep_every_byte),
    ("skopeo_reads_what_is_written", archives::skopeo_reads_what_is_written),
    ("docker_archives_come_back", archives::docker_archives_come_back),
    ("archives_of_every_kind_are_loaded", archives::archives_of_every_kind_are_loaded),
    ("several_images_share_an_archive", archives::several_images_share_an_archive),
    ("a_registry_keeps_every_byte", registries::a_registry_keeps_every_byte),
    ("an_index_gives_the_wanted_image", registries::an_index_gives_the_wanted_image),
    ("every_endpoint_is_a_sink_and_a_source", registries::every_endpoint_is_a_sink_and_a_source),
    ("nothing_is_sent_twice", registries::nothing_is_sent_twice),
    ("layers_lean_on_those_below", files::layers_lean_on_those_below),
    ("a_missing_tree_is_unpacked_again", files::a_missing_tree_is_unpacked_again),
    ("programs_of_the_host_run", files::programs_of_the_host_run),
    ("directories_and_tars_are_imported", files::directories_and_tars_are_imported),
    ("images_become_files", files::images_become_files),
    ("what_is_said_goes_everywhere", about::what_is_said_goes_everywhere),
    ("an_index_is_copied_once", about::an_index_is_copied_once),
    ("filters_make_valid_images_twice", filters::filters_make_valid_images_twice),
    ("filtered_layers_are_remembered", filters::filtered_layers_are_remembered),
    ("layers_become_one", filters::layers_become_one),
    ("lying_layers_are_not_remembered", filters::lying_layers_are_not_remembered),
    ("hostile_images_meet_every_sink", hostile::hostile_images_meet_every_sink),
    ("accounts_and_targets_are_their_owners", hostile::accounts_and_targets_are_their_owners),
    ("wrong_bytes_are_refused", faults::wrong_bytes_are_refused),
    ("a_failed_transfer_leaves_nothing", faults::a_failed_transfer_leaves_nothing),
];

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    // Options are meant for the usual harness.
    let filters: Vec<String> = args
        .iter()
        .skip(1)
        .filter_map(|word| word.clone().into_string().ok())
        .filter(|word| !word.starts_with('-'))
        .collect();
    let marker = env::var_os(sandbox::MARKER);
    let mut out = io::stdout();
    // Root of a user namespace may have nobody else to become.
    let map = fs::read_to_string("/proc/self/uid_map").expect("procfs");
    let sudo = map.contains("4294967295").then_some(NOBODY_SPECIAL);
    if let Err(error) = sandbox::enter(&Caller { args, marker, sudo }) {
        let cause = error.source().map(ToString::to_string);
        let hint = error.hint().unwrap_or_default();
        writeln!(out, "{error}: {}\n{hint}", cause.unwrap_or_default()).expect("stdout");
        return ExitCode::from(8);
    }
    let mut failed = 0;
    let wanted = |name: &str| filters.is_empty() || filters.iter().any(|word| name.contains(word));
    for (name, test) in TESTS.iter().filter(|(name, _)| wanted(name)) {
        let result = panic::catch_unwind(test);
        failed += usize::from(result.is_err());
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        writeln!(out, "test {name} ... {word}").expect("stdout");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
