//! Symbolic links in an RSYNC: kept, dropped, or followed, as rsync(1) does it.

use std::fs;
use std::path::{Component, Path, PathBuf};

use super::list::{Lister, Side};
use crate::build::error::Fault;
use crate::dockerfile::rsync::Settings;
use crate::rootfs::Meta;

/// What a symbolic link is to be in the list.
pub(super) enum Fate {
    Kept,
    Dropped,
    /// It is what it leads to.
    Followed(Side, PathBuf, Meta),
}

impl Lister<'_, '_> {
    /// What becomes of a symbolic link.
    pub(super) fn link(&mut self, name: &Path, side: Side, path: &Path) -> Result<Fate, Fault> {
        let Settings { links, copy_links, copy_unsafe_links, safe_links, copy_dirlinks, .. } =
            *self.settings;
        let target = self.list.root(side).read_link(path)?;
        let is_unsafe = is_unsafe(&target, name);
        if copy_links || (copy_unsafe_links && is_unsafe) {
            return self.follow(name, side, path, &target)?.ok_or_else(|| {
                let shown = self.list.root(side).path().join(path);
                Fault::Rsync(format!("symlink has no referent: {:?}", shown.display()))
            });
        }
        if copy_dirlinks
            && let Some(Fate::Followed(side, path, meta)) =
                self.follow(name, side, path, &target)?
            && meta.is_dir()
        {
            return Ok(Fate::Followed(side, path, meta));
        }
        if !links {
            let shown = name.display();
            self.list.skipped.push(format!("skipping non-regular file {shown:?}"));
            return Ok(Fate::Dropped);
        }
        Ok(if safe_links && is_unsafe { Fate::Dropped } else { Fate::Kept })
    }

    /// What a link leads to on this machine; None when nothing is there.
    fn follow(
        &mut self,
        name: &Path,
        side: Side,
        path: &Path,
        target: &Path,
    ) -> Result<Option<Fate>, Fault> {
        let folder = path.parent().unwrap_or(Path::new(""));
        let whole = self.list.root(side).path().join(folder).join(target);
        let Ok(real) = fs::canonicalize(&whole) else { return Ok(None) };
        let context = fs::canonicalize(self.files.root.path())
            .map_err(|error| Fault::Context(self.files.root.path().to_owned(), error))?;
        let (side, path) = match real.strip_prefix(&context) {
            Ok(inner) if !self.files.is_ignored(inner) => (Side::Context, inner.to_owned()),
            Ok(_) => return Ok(None),
            Err(_) if !self.may_leave => {
                return Err(Fault::Rsync(format!(
                    "{} leads to {}, out of a build context that is not a directory here",
                    name.display(),
                    real.display()
                )));
            }
            Err(_) => {
                self.list.outside.push(real.clone());
                (Side::Outside, real.strip_prefix("/").unwrap_or(&real).to_owned())
            }
        };
        let meta = self.list.root(side).lstat(&path)?;
        Ok(meta.map(|meta| Fate::Followed(side, path, meta)))
    }
}

/// Whether a link of this name leads out of the transfer, as rsync(1) counts: an absolute one does,
/// and one that goes up again after it went down.
fn is_unsafe(target: &Path, name: &Path) -> bool {
    let mut depth = name.components().count().saturating_sub(1);
    let mut has_gone_down = false;
    for part in target.components() {
        match part {
            Component::RootDir | Component::Prefix(_) => return true,
            Component::CurDir => {}
            Component::ParentDir if has_gone_down || depth == 0 => return true,
            Component::ParentDir => depth -= 1,
            Component::Normal(_) => has_gone_down = true,
        }
    }
    target.as_os_str().is_empty()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_are_safe_within_the_transfer() {
        for (target, name, expected) in [
            ("a", "l", false),
            ("d/a", "l", false),
            ("../a", "l", true),
            ("../a", "d/l", false),
            ("../../a", "d/l", true),
            ("../d/a", "d/l", false),
            ("/a", "d/l", true),
            ("x/../a", "d/l", true),
            ("..", "d/l", false),
            ("..", "l", true),
            ("./a", "l", false),
        ] {
            assert_eq!(is_unsafe(Path::new(target), Path::new(name)), expected, "{target} {name}");
        }
    }
}
