//! `bryo` builds OCI container images with no privilege and no set-up at all: one binary, no
//! daemon, no root, no setuid helper, no `/etc/subuid`.
//!
//! # Bird's view
//!
//! A command enters a new user and mount namespace that maps only the caller, to root
//! ([`sandbox`]). Base layers come from a registry or an archive ([`transfer`]) and are unpacked,
//! each into its own directory ([`layer`], [`store`]); owners and devices that an ordinary user may
//! not really set are recorded beside the files ([`rootfs`]). A Dockerfile is parsed
//! ([`dockerfile`]), planned and executed ([`build`]); its `RUN` steps see an overlay of the layers
//! as their root ([`run`], [`sandbox`]), where they may do what root may, or as much of it as the
//! system allows ([`fakeroot`]); what they change is packed into a layer whose bytes depend on
//! nothing but the files ([`layer`]).
//!
//! # Floors
//!
//! A room (a folder of `src/`) uses only rooms on lower floors; the same floor is forbidden too.
//! `tests/architecture.rs` reads this table and the next one and holds the code to them.
//!
//! ```floors
//! 6  cli
//! 5  build inspect serve
//! 4  run transfer
//! 3  fakeroot store
//! 2  layer packages sandbox
//! 1  registry rootfs
//! 0  concurrency dockerfile document http image pattern report sys
//! ```
//!
//! # Homes
//!
//! A foreign crate has one room; others use what the room makes of it. serde, serde_json, toml,
//! regex, thiserror and tempfile may be used anywhere.
//!
//! ```homes
//! cli       clap clap_complete clap_mangen indicatif annotate_snippets anstream rpassword
//! image     oci_spec sha2 jiff
//! http      reqwest rustls rustls_native_certs webpki_roots tokio bytes http_body
//! http      hyper hyper_util tokio_rustls rcgen
//! serve     bcrypt
//! registry  base64
//! document  saphyr_parser
//! layer     bzip2 crc32fast flate2 lzma_rust2 tar zstd
//! sys       caps libc nix rustix
//! ```
//!
//! # Invariants
//!
//! 1. [`dockerfile`] and [`image`] do no I/O; [`dockerfile::parse`] cannot fail.
//! 2. `build::Plan::new` is pure; only `build::execute` acts.
//! 3. Only `cli::config` reads the environment, the home directory or a configuration file.
//! 4. Only [`store`] knows a path in the storage directory. Only [`rootfs`] opens paths of an
//!    image. Only [`sys`] contains `unsafe`.
//! 5. No thread exists before `sandbox::enter`; no code of ours runs between fork and exec
//!    (`std::process::Command` executes ourselves instead).
//! 6. Every byte from outside passes [`image::Verified`] before anyone relies on it.
//! 7. Same input, same digest: no clock, host name, uid or directory order reaches a layer that
//!    `bryo` itself makes (what a `RUN` command writes carries that command's own times).
//! 8. What a step's key does not contain, its result may not depend on.
//! 9. Nothing of bryo runs with privilege. bryo is no security boundary between the caller and the
//!    system, but an image can neither write outside its root nor read files of the caller that
//!    were not given to it. (`RSYNC +u` follows links out of a context that is the caller's own
//!    directory, and says so.)

pub mod build;
pub mod cli;
pub mod concurrency;
pub mod dockerfile;
pub mod document;
pub mod fakeroot;
pub mod http;
pub mod image;
pub mod inspect;
pub mod layer;
pub mod packages;
pub mod pattern;
pub mod registry;
pub mod report;
pub mod rootfs;
pub mod run;
pub mod sandbox;
pub mod serve;
pub mod store;
pub mod sys;
pub mod transfer;
