//! The storage directory for real: this program enters a namespace as bryo does, and starts itself
//! where a test needs more processes, some of them to be killed.
//!
//! Started by root it becomes an ordinary user first (the way `sudo bryo` does).

mod content;
mod owners;
mod processes;
mod snapshots;

use std::ffi::OsString;
use std::io::Write as _;
use std::process::{Command, ExitCode};
use std::{env, io, panic};

use bryo::sandbox::{self, Caller};

/// What root becomes: anybody without privilege.
const SOMEBODY: (u32, u32) = (2001, 2001);

const TESTS: &[(&str, fn())] = &[
    ("a_store_is_made_once", content::a_store_is_made_once),
    ("blobs_are_what_their_names_say", content::blobs_are_what_their_names_say),
    ("names_move_and_nothing_is_lost", content::names_move_and_nothing_is_lost),
    ("changes_of_names_are_seen_once", content::changes_of_names_are_seen_once),
    ("images_are_found_by_what_people_type", content::images_are_found_by_what_people_type),
    ("steps_are_remembered", content::steps_are_remembered),
    ("removing_spares_what_others_hold", content::removing_spares_what_others_hold),
    ("what_was_forgotten_comes_back", content::what_was_forgotten_comes_back),
    ("all_that_is_freed_was_counted", content::all_that_is_freed_was_counted),
    ("a_full_disk_is_named", content::a_full_disk_is_named),
    ("a_store_can_be_read_only", content::a_store_can_be_read_only),
    ("nothing_is_deleted_under_others", processes::nothing_is_deleted_under_others),
    ("one_waits_for_the_other", processes::one_waits_for_the_other),
    ("many_write_the_same", processes::many_write_the_same),
    ("the_killed_leave_no_harm", processes::the_killed_leave_no_harm),
    ("who_is_killed_while_tidying_leaves_a_whole_store", processes::who_is_killed_while_tidying),
    ("a_store_is_emptied_when_nobody_uses_it", processes::a_store_is_emptied_when_nobody_uses_it),
    ("a_snapshot_becomes_a_layer", snapshots::a_snapshot_becomes_a_layer),
    ("changes_are_told", snapshots::changes_are_told),
    ("the_root_keeps_its_attributes", snapshots::the_root_keeps_its_attributes),
    ("records_follow_links", snapshots::records_follow_links),
    ("owners_survive_what_a_run_does", owners::owners_survive_what_a_run_does),
    ("real_capabilities_of_links_stay_aside", owners::real_capabilities_of_links_stay_aside),
    ("what_files_could_not_carry_is_noted", owners::what_files_could_not_carry_is_noted),
    ("layers_repeat", snapshots::layers_repeat),
    ("a_hundred_and_fifty_layers", snapshots::a_hundred_and_fifty_layers),
    ("more_layers_than_the_kernel_takes", snapshots::more_layers_than_the_kernel_takes),
    ("old_kernels_mount_too", snapshots::old_kernels_mount_too),
    ("every_backend_fits_or_says_why", snapshots::every_backend_fits_or_says_why),
];

fn main() -> ExitCode {
    let args: Vec<OsString> = env::args_os().collect();
    let words: Vec<String> =
        args.iter().skip(1).filter_map(|w| w.to_str()).map(str::to_owned).collect();
    let marker = env::var_os(sandbox::MARKER);
    sandbox::enter(&Caller { args, marker, sudo: Some(SOMEBODY) }).expect("a namespace");
    if let [first, rest @ ..] = &words[..]
        && first == "worker"
    {
        processes::work(rest);
        return ExitCode::SUCCESS;
    }

    let wanted = words.first().map_or("", String::as_str);
    let mut failed = 0;
    let mut out = io::stdout();
    for (name, test) in TESTS.iter().filter(|(name, _)| name.contains(wanted)) {
        let result = panic::catch_unwind(test);
        failed += usize::from(result.is_err());
        let word = if result.is_ok() { "ok" } else { "FAILED" };
        writeln!(out, "test {name} ... {word}").expect("stdout");
    }
    if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Runs a program of the system that must succeed.
fn run(program: &str, words: &[&str]) {
    let status = Command::new(program).args(words).status().expect(program);
    assert!(status.success(), "{program} {words:?}: {status}");
}
