//! End-to-end tests: the built program, real registries, real judges; no mocks.
//!
//! Each test has a place of its own ([`support::Place`]): a home, a storage directory, an
//! environment with nothing of the caller's. Started by `tests/run` as root, bryo itself still runs
//! as an ordinary user without any subordinate ids.

mod support;

mod archives;
mod attestations;
mod build;
mod cache_exchange;
mod ch_image;
mod checks;
mod command_line;
mod contexts;
mod copies;
mod devices;
mod dockerfiles;
mod edits;
mod emulation;
mod failures;
mod fakeroot;
mod faults;
mod foreign;
mod identity;
mod images;
mod judges;
mod lint;
mod logins;
mod looking;
mod mounts;
mod names;
mod outputs;
mod owners;
mod platforms;
mod ports;
mod process;
mod readme;
mod registries;
mod registry_verbs;
mod results;
mod rsync;
mod run;
mod serve;
mod settings;
mod sources;
mod space;
mod stages;
mod surroundings;
mod sync;
#[cfg(target_arch = "x86_64")] // Its programs are.
mod system_calls;
mod transfers;
mod trees;
