//! Questions about an image.

mod info;

pub use info::{Info, Kind, Step, info, steps};
