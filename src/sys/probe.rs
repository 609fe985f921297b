//! What the system tells about itself. It explains a refusal; it never predicts one.

use std::ffi::OsStr;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};

use caps::{CapSet, Capability};

/// A kernel setting (`user.max_user_namespaces`), if it exists and the process may read it.
pub fn sysctl(name: &str) -> Option<String> {
    line(&format!("/proc/sys/{}", name.replace('.', "/")))
}

/// Whether a seccomp filter is set on the process.
pub fn has_seccomp_filter() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    status.lines().any(|line| line.strip_prefix("Seccomp:").is_some_and(|mode| mode.trim() == "2"))
}

/// Whether the process has `CAP_SETFCAP`, without which root may not map itself (Linux 5.12).
pub fn may_set_file_capabilities() -> bool {
    caps::has_cap(None, CapSet::Effective, Capability::CAP_SETFCAP).unwrap_or(false)
}

/// Whether the process surely lives in a chroot: no mount that it sees is its root. A chroot into a
/// mount point cannot be told from none.
pub fn is_chrooted() -> bool {
    super::mount::mount_points().is_ok_and(|points| !points.contains(&PathBuf::from("/")))
}

/// Whether the kernel was built with user namespaces.
pub fn knows_user_namespaces() -> bool {
    Path::new("/proc/self/ns/user").exists()
}

/// How many threads the process has.
pub fn threads() -> usize {
    fs::read_dir("/proc/self/task").map_or(1, Iterator::count)
}

/// The kernel's release.
pub fn kernel_release() -> Option<String> {
    sysctl("kernel.osrelease")
}

/// The AppArmor profile that confines the process.
pub fn apparmor_profile() -> Option<String> {
    let profile = line("/proc/self/attr/apparmor/current")
        .or_else(|| line("/proc/self/attr/current").filter(|_| Path::new(APPARMOR).exists()))?;
    (profile != "unconfined").then_some(profile)
}

/// Whether SELinux refuses what its policy does not allow.
pub fn selinux_enforces() -> bool {
    line("/sys/fs/selinux/enforce").is_some_and(|value| value == "1")
}

/// The file that the process executes.
pub fn own_program() -> Option<PathBuf> {
    let path = fs::read_link("/proc/self/exe").ok()?;
    let name = path.as_os_str().as_bytes();
    let name = name.strip_suffix(b" (deleted)").unwrap_or(name);
    Some(PathBuf::from(OsStr::from_bytes(name)))
}

const APPARMOR: &str = "/sys/module/apparmor";

fn line(path: &str) -> Option<String> {
    Some(fs::read_to_string(path).ok()?.trim_end_matches(['\n', '\0']).to_owned())
}
