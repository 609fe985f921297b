//! Hooks are programs of this machine that change a container from outside. What the usual ones do is
//! done in another way, without any trace in a layer.

use std::path::{Path, PathBuf};

use super::spec::Hook;
use super::{Edits, Error};
use crate::report::Reporter;
use crate::rootfs::clean;
use crate::sandbox::{Mount, What};

/// What hooks want to be linked.
#[derive(Debug, Default)]
pub(super) struct Links {
    /// Folders whose libraries are to be found.
    folders: Vec<String>,
    /// What a link contains, and its path.
    links: Vec<(String, PathBuf)>,
}

/// Remembers what a hook would do.
///
/// # Errors
///
/// [`Error::Hook`] for a hook that nobody knows.
pub(super) fn emulate(
    device: &str,
    hook: &Hook,
    links: &mut Links,
    reporter: &dyn Reporter,
) -> Result<(), Error> {
    // `nvidia-cdi-hook VERB …`, and `nvidia-ctk hook VERB …` of older ones; ch-run's are alike.
    let verb = hook.args.iter().skip(1).find(|word| *word != "hook").map_or("", String::as_str);
    let values = |name: &str| {
        let with = format!("{name}=");
        let mut found = Vec::new();
        let mut words = hook.args.iter();
        while let Some(word) = words.next() {
            if word == name {
                found.extend(words.next().cloned());
            } else if let Some(value) = word.strip_prefix(&with) {
                found.push(value.to_owned());
            }
        }
        found
    };
    match verb {
        "update-ldcache" => links.folders.extend(values("--folder")),
        "create-symlinks" => {
            for link in values("--link") {
                if let Some((content, path)) = link.split_once("::") {
                    links.links.push((content.to_owned(), path.into()));
                }
            }
        }
        "chmod" | "enable-cuda-compat" | "disable-device-node-modification" => {
            reporter.detail(format!("device {device}: the hook {verb} is not needed"));
        }
        _ => {
            let words = [&[hook.path.display().to_string()][..], &hook.args[..]].concat();
            return Err(Error::Hook { device: device.to_owned(), hook: words.join(" ") });
        }
    }
    Ok(())
}

impl Links {
    /// Adds what stands for the links.
    pub(super) fn finish(self, edits: &mut Edits) {
        for (content, link) in &self.links {
            let target = link.parent().unwrap_or(Path::new("/")).join(content);
            if let Some(source) = source_of(&target, &edits.mounts) {
                let what = What::Bind { source, read_only: true };
                edits.mounts.push(Mount::new(link, what));
            }
        }
        for folder in self.folders {
            if !folder.is_empty() && !edits.libraries.contains(&folder) {
                edits.libraries.push(folder);
            }
        }
    }
}

/// What is mounted at `path`, or at a directory that it is in; of several, the last.
fn source_of(path: &Path, mounts: &[Mount]) -> Option<PathBuf> {
    let path = Path::new("/").join(clean(path));
    mounts.iter().rev().find_map(|mount| {
        let What::Bind { source, .. } = &mount.what else { return None };
        let rest = path.strip_prefix(&mount.target).ok()?;
        let source = if rest.as_os_str().is_empty() { source.clone() } else { source.join(rest) };
        source.exists().then_some(source)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::report::Silent;

    fn hook(line: &str) -> Hook {
        let args = line.split_whitespace().map(str::to_owned).collect();
        Hook { path: "/usr/bin/nvidia-cdi-hook".into(), args }
    }

    #[test]
    fn libraries_are_found_without_hooks() {
        let folder = tempfile::tempdir().expect("a directory");
        let library = folder.path().join("libx.so.1.2");
        std::fs::write(&library, "").expect("a file");
        let bind = |target: &str| {
            let what = What::Bind { source: library.clone(), read_only: true };
            Mount::new(target, what)
        };
        let mut edits = Edits { mounts: vec![bind("/usr/lib/libx.so.1.2")], ..Edits::default() };
        let mut links = Links::default();
        for line in [
            "nvidia-cdi-hook create-symlinks --link libx.so.1.2::/usr/lib/libx.so.1 \
             --link=../lib/libx.so.1::/usr/lib/libx.so --link nowhere::/usr/lib/y",
            "nvidia-ctk hook update-ldcache --folder /usr/lib --folder=/opt/lib",
            "nvidia-cdi-hook update-ldcache --folder /usr/lib",
            "nvidia-cdi-hook chmod --mode 755 --path /dev/dri",
        ] {
            emulate("d", &hook(line), &mut links, &Silent).expect(line);
        }
        links.finish(&mut edits);
        let expected = ["/usr/lib/libx.so.1.2", "/usr/lib/libx.so.1", "/usr/lib/libx.so"].map(bind);
        assert_eq!(edits.mounts, expected);
        assert_eq!(edits.libraries, ["/usr/lib", "/opt/lib"]);
        for line in ["x", "x frobnicate", ""] {
            let error = emulate("d", &hook(line), &mut Links::default(), &Silent);
            assert!(error.expect_err(line).is_unsupported());
        }
    }
}
