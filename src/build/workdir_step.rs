//! WORKDIR: a directory that is made if it is not there.

use std::path::Path;

use super::attest::record::{Change, Operation, Told};
use super::error::Fault;
use super::execute::{Deed, Executor, Worth};
use super::key::KeyMaker;
use super::place::Destination;
use super::state::State;
use crate::dockerfile::{Expander, Workdir};
use crate::rootfs::{Accounts, clean};
use crate::store::Snapshot;

/// Changes the configuration; None when the directory is `/`, which makes no layer.
pub(super) fn plan<'d>(
    executor: &Executor<'_>,
    workdir: &Workdir,
    state: &mut State,
) -> Result<Option<Deed<'d>>, Fault> {
    let get = |name: &str| state.scope.get(name).map(str::to_owned);
    let path = Expander::new(executor.plan.escape, &get).word(&workdir.path)?;
    let path = joined(state.directory(), &path);
    state.config.runtime.working_dir.clone_from(&path);
    if clean(Path::new(&path)).as_os_str().is_empty() {
        return Ok(None);
    }
    let user = state.config.runtime.user.clone();
    let seconds = executor.time_of_made();
    let key = KeyMaker::new("workdir", state.chain_id().as_ref())
        .field("path", &path)
        .field("user", &user)
        .field("time", seconds.to_string())
        .finish();
    let said = format!("WORKDIR {path}");
    let owner = Some(&user).filter(|user| !user.is_empty()).cloned();
    let made = Change::MakeDirectory { path: path.clone(), owner };
    let told = Told { operation: Operation::Files(vec![made]), inputs: Vec::new() };
    let act = move |snapshot: &mut Snapshot<'_>| {
        let accounts = Accounts::read(snapshot.root())?;
        // A name that the image does not know yet is no error before the next RUN.
        let owner = accounts.file_owner(&user).map_or((0, 0), |owner| (owner.uid, owner.gid));
        let mut destination = Destination::new(&format!("{path}/"), false, false, snapshot.root())?;
        destination.set_attributes(owner, None, seconds);
        destination.folder(snapshot)?;
        destination.finish(snapshot)?;
        Ok(Worth::Lasting)
    };
    Ok(Some(Deed { key, said, told, act: Box::new(act) }))
}

/// An absolute path as it was written; another one, and be it empty, joins the present directory,
/// cleaned.
pub(super) fn joined(directory: &str, path: &str) -> String {
    if path.starts_with('/') {
        return path.to_owned();
    }
    let inside = clean(&Path::new(directory).join(path));
    Path::new("/").join(inside).to_string_lossy().into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn relative_directories_join() {
        for (directory, path, expected) in [
            ("/", "a", "/a"),
            ("/a", "b/", "/a/b"),
            ("/a", "../c", "/c"),
            ("/a", "../..", "/"),
            ("/a", ".", "/a"),
            ("/a", "/b", "/b"),
            ("/a", "/b/../c/", "/b/../c/"),
            ("/a", "b c", "/a/b c"),
            ("/a", "", "/a"),
        ] {
            assert_eq!(joined(directory, path), expected, "{directory} {path}");
        }
    }
}
