//! Maps by path, in which a directory and all that is below it stand side by side.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Removes a path and all that is below it.
pub(super) fn forget_below<T>(map: &mut BTreeMap<PathBuf, T>, path: &Path) {
    drop(take_below(map, path));
}

/// Lets what stands at `from` and below stand at `to`.
pub(super) fn move_below<T>(map: &mut BTreeMap<PathBuf, T>, from: &Path, to: &Path) {
    for (path, value) in take_below(map, from) {
        let rest = path.strip_prefix(from).expect("it is below");
        // `join` of nothing would end in a slash.
        let path = if rest.as_os_str().is_empty() { to.to_owned() } else { to.join(rest) };
        map.insert(path, value);
    }
}

fn take_below<T>(map: &mut BTreeMap<PathBuf, T>, path: &Path) -> Vec<(PathBuf, T)> {
    if map.is_empty() {
        return Vec::new();
    }
    let below = |(key, _): &(&PathBuf, &T)| key.starts_with(path);
    let keys: Vec<_> =
        map.range(path.to_path_buf()..).take_while(below).map(|(key, _)| key.clone()).collect();
    keys.into_iter().filter_map(|key| map.remove_entry(&key)).collect()
}
