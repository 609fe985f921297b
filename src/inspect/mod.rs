//! Questions about an image.

mod analyze;
mod cat;
mod check;
mod databases;
mod diff;
mod error;
mod find;
mod info;
mod listing;
mod merged;
mod scan;
mod summary;
mod treemap;

pub use analyze::{Analysis, Reference, Share};
pub use cat::cat;
pub use check::{Base, CHECKS, Check, CheckOptions, Finding, Report, Severity, check, check_store};
pub use diff::{Changed, Changes, Difference, Files, Shown, Side, diff};
pub use error::Error;
pub use find::{Hit, Wanted, find_in_layers, find_merged, kind_name, pick};
pub use info::{Info, Kind, Step, info, info_of, steps};
pub use listing::{Item, Listing, Node, Record, list, list_all};
pub use merged::{Deed, Merged, Placed};
pub use scan::{Budget, Limits, scan, side_by_side, unreadable};
pub use summary::summary;
pub use treemap::page;
