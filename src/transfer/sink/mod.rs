//! Where images go.

mod bundle;
mod daemon;
mod docker;
mod docker_dir;
mod oci;
mod output;
mod registry;
mod sif;
mod squashfs;
mod store;
mod tree;
mod unpacked;
mod writer;

pub use daemon::Daemon;
pub use docker::Docker;
pub use docker_dir::{DockerDir, manifest_of};
pub use oci::Oci;
pub use output::{Output, replace};
pub use registry::Registry;
pub use sif::Sif;
pub use squashfs::Squashfs;
pub use store::Store;
pub use tree::{Beside, Digests, NewFile, Tree};
pub use unpacked::Unpacked;
