//! Where images go.

mod docker;
mod oci;
mod output;
mod registry;
mod store;
mod tree;
mod unpacked;
mod writer;

pub use docker::Docker;
pub use oci::Oci;
pub use output::{Output, replace};
pub use registry::Registry;
pub use store::Store;
pub use tree::{Beside, Tree};
pub use unpacked::Unpacked;
