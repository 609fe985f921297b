//! Resource limits of a process (setrlimit(2)).

use serde::{Deserialize, Serialize};

use super::Error;
use crate::sys::{self, process};

/// Of the emulation, whose processes carry something in it; Linux has ignored it since 2.4.25.
const UNUSED: &str = "locks";

/// A limit; None is none.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ResourceLimit {
    /// As ulimit(1) of container tools calls it: `nofile`.
    pub name: String,
    pub soft: Option<u64>,
    /// Not below the soft one.
    pub hard: Option<u64>,
}

/// Whether the limits can be set: nobody but real root may have more than bryo itself has.
pub(super) fn check(limits: &[ResourceLimit]) -> Result<(), Error> {
    for limit in limits.iter().filter(|limit| limit.name != UNUSED) {
        let highest = process::hard_limit(&limit.name);
        if let Some(highest) = highest
            && limit.hard.is_none_or(|hard| hard > highest)
        {
            return Err(Error::Limit { name: limit.name.clone(), wanted: limit.hard, highest });
        }
    }
    Ok(())
}

/// Sets them for the process itself.
pub(super) fn set(limits: &[ResourceLimit]) -> sys::Result<()> {
    let mut limits = limits.iter().filter(|limit| limit.name != UNUSED);
    limits.try_for_each(|limit| process::set_limit(&limit.name, limit.soft, limit.hard))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn more_than_one_has_is_not_to_be_had() {
        let highest = process::hard_limit("nofile").expect("the kernel has a limit for it");
        let limit = |name: &str, hard: Option<u64>| ResourceLimit {
            name: name.into(),
            soft: Some(1),
            hard,
        };
        for (limits, expected) in [
            (vec![limit("nofile", Some(highest))], true),
            (vec![limit("nofile", Some(highest - 1)), limit("core", Some(1))], true),
            (vec![limit("core", Some(1)), limit("nofile", Some(highest + 1))], false),
            (vec![limit("nofile", None)], false),
            (vec![limit("locks", None)], true),
        ] {
            assert_eq!(check(&limits).is_ok(), expected, "{limits:?}");
        }
    }
}
