//! Why the kernel refuses a namespace, and what lifts that: from the failed step, the error number
//! and what the system tells about itself. Pure, so that each row of the table is tested.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::sys::errno::{EACCES, EINVAL, ENOSPC, ENOSYS, EPERM};
use crate::sys::probe;

/// A step of entering.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Step {
    /// Becoming the user who called sudo.
    Caller,
    UserNamespace,
    /// Giving up setgroups(2), mapping the user and the group.
    IdentityMap,
    MountNamespace,
    PrivateMounts,
    /// Executing bryo again.
    Again,
}

/// What the system tells about itself.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Evidence {
    /// The caller's user, as its own namespace numbers it.
    pub user: u32,
    /// `user.max_user_namespaces`.
    pub user_namespaces: Option<String>,
    /// `user.max_mnt_namespaces`.
    pub mount_namespaces: Option<String>,
    /// Debian's and Arch's `kernel.unprivileged_userns_clone` is 0.
    pub forbidden_by_debian: bool,
    /// Ubuntu's `kernel.apparmor_restrict_unprivileged_userns` is not 0.
    pub restricted_by_apparmor: bool,
    /// The AppArmor profile that confines bryo.
    pub profile: Option<String>,
    pub selinux: bool,
    pub seccomp: bool,
    pub chroot: bool,
    /// The caller has CAP_SETFCAP, without which root may not be mapped (Linux 5.12).
    pub setfcap: bool,
    /// The kernel was built with user namespaces.
    pub known: bool,
    /// Windows Subsystem for Linux 1, which is no Linux.
    pub wsl1: bool,
    pub threads: usize,
    pub program: PathBuf,
}

/// Why the kernel refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Cause {
    /// A limit of `/proc/sys/user` is 0 or used up, or namespaces are nested too deep.
    Limit {
        sysctl: &'static str,
        value: Option<String>,
    },
    ForbiddenByDebian,
    Chroot,
    Seccomp,
    /// Ubuntu's restriction; the program is what a profile has to name.
    UbuntuAppArmor {
        program: PathBuf,
    },
    /// AppArmor refuses otherwise: a container runtime's profile, mostly.
    AppArmor {
        profile: Option<String>,
    },
    Selinux,
    NoSetfcap,
    NotBuilt,
    Wsl1,
    Threads(usize),
    Unknown,
}

impl Evidence {
    /// Asks the system; `user` and `setfcap` of the time before the step, which changed both.
    pub fn gather(user: u32, setfcap: bool) -> Self {
        let is = |name, value| probe::sysctl(name).is_some_and(|now| now == value);
        Self {
            user,
            user_namespaces: probe::sysctl("user.max_user_namespaces"),
            mount_namespaces: probe::sysctl("user.max_mnt_namespaces"),
            forbidden_by_debian: is("kernel.unprivileged_userns_clone", "0"),
            restricted_by_apparmor: probe::sysctl("kernel.apparmor_restrict_unprivileged_userns")
                .is_some_and(|value| value != "0"),
            profile: probe::apparmor_profile(),
            selinux: probe::selinux_enforces(),
            seccomp: probe::has_seccomp_filter(),
            chroot: probe::is_chrooted(),
            setfcap,
            known: probe::knows_user_namespaces(),
            wsl1: probe::kernel_release().is_some_and(|release| release.ends_with("-Microsoft")),
            threads: probe::threads(),
            program: probe::own_program().unwrap_or_else(|| PathBuf::from("/path/to/bryo")),
        }
    }
}

impl Cause {
    /// The likely cause of an error number: the evidence that leaves no other explanation first.
    pub fn of(step: Step, error: i32, seen: &Evidence) -> Self {
        let limit = |sysctl, value: &Option<String>| Self::Limit { sysctl, value: value.clone() };
        match (step, error) {
            (Step::UserNamespace, ENOSPC) => {
                limit("user.max_user_namespaces", &seen.user_namespaces)
            }
            (Step::MountNamespace, ENOSPC) => {
                limit("user.max_mnt_namespaces", &seen.mount_namespaces)
            }
            (Step::UserNamespace, EINVAL) if seen.wsl1 => Self::Wsl1,
            (Step::UserNamespace, EINVAL | ENOSYS) if !seen.known => Self::NotBuilt,
            (Step::UserNamespace, EINVAL) if seen.threads > 1 => Self::Threads(seen.threads),
            (Step::UserNamespace, EPERM) if seen.forbidden_by_debian => Self::ForbiddenByDebian,
            (Step::UserNamespace, EPERM) if seen.chroot => Self::Chroot,
            (Step::IdentityMap, EPERM) if seen.user == 0 && !seen.setfcap => Self::NoSetfcap,
            (_, EPERM | EACCES) if seen.restricted_by_apparmor => {
                Self::UbuntuAppArmor { program: seen.program.clone() }
            }
            (_, EPERM | ENOSYS) if seen.seccomp => Self::Seccomp,
            (_, EACCES | EPERM) if seen.profile.is_some() => {
                Self::AppArmor { profile: seen.profile.clone() }
            }
            (_, EACCES | EPERM) if seen.selinux => Self::Selinux,
            (_, EACCES) => Self::AppArmor { profile: None },
            _ => Self::Unknown,
        }
    }

    /// What lifts the refusal.
    pub fn remedy(&self) -> Option<String> {
        Some(match self {
            Self::Limit { sysctl, value } => match value.as_deref() {
                Some("0") => {
                    format!("an administrator allows them with `sysctl -w {sysctl}=15000`")
                }
                _ => format!(
                    "`sysctl {sysctl}` is how many a user may have; end some, or let an \
                     administrator raise it (at most 32 may be nested)"
                ),
            },
            Self::ForbiddenByDebian => {
                "an administrator allows them with `sysctl -w kernel.unprivileged_userns_clone=1`"
                    .into()
            }
            Self::Chroot => "run bryo outside of the chroot, or enter it with pivot_root(2), as \
                             container runtimes do"
                .into(),
            Self::Seccomp => "run this container with seccomp=unconfined (Docker, Podman: \
                              `--security-opt seccomp=unconfined`; Kubernetes: `securityContext: \
                              {seccompProfile: {type: Unconfined}}`)"
                .into(),
            Self::UbuntuAppArmor { program } => format!(
                "allow it for this program, once:\n\nsudo tee /etc/apparmor.d/bryo <<'END'\n{}END\n\
                 sudo apparmor_parser -r /etc/apparmor.d/bryo\n",
                apparmor_profile(program)
            ),
            Self::AppArmor { .. } => {
                "run this container with `--security-opt apparmor=unconfined` \
                                      (Kubernetes: `securityContext: {appArmorProfile: {type: \
                                      Unconfined}}`)"
                    .into()
            }
            Self::Selinux => {
                "run this container with `--security-opt label=disable`; `ausearch -m avc` shows \
                 what was refused"
                    .into()
            }
            Self::NoSetfcap => "run as any user that is not root (`--user 1000`, Kubernetes: \
                                `runAsUser: 1000`): nothing else is needed. Or give the container \
                                CAP_SETFCAP"
                .into(),
            Self::NotBuilt => "use a kernel with CONFIG_USER_NS".into(),
            Self::Wsl1 => "use WSL 2 (`wsl --set-version DISTRIBUTION 2`)".into(),
            Self::Threads(_) => "this is a mistake of bryo; please report it".into(),
            Self::Unknown => return None,
        })
    }
}

impl fmt::Display for Step {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Caller => "cannot become the user who called sudo",
            Self::UserNamespace => "cannot make a user namespace",
            Self::IdentityMap => "cannot map the caller to root in a new user namespace",
            Self::MountNamespace => "cannot make a mount namespace",
            Self::PrivateMounts => "cannot change mounts in a new mount namespace",
            Self::Again => "cannot execute bryo again",
        })
    }
}

impl fmt::Display for Cause {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Limit { sysctl, value } => match value.as_deref() {
                Some("0") => write!(f, "{sysctl} is 0"),
                Some(value) => write!(f, "{sysctl} ({value}) is used up, or they are nested too deep"),
                None => write!(f, "{sysctl} is used up, or they are nested too deep"),
            },
            Self::ForbiddenByDebian => f.write_str("kernel.unprivileged_userns_clone is 0"),
            Self::Chroot => f.write_str("the kernel refuses them inside a chroot"),
            Self::Seccomp => {
                f.write_str("a seccomp filter forbids it (Docker's and containerd's default does)")
            }
            Self::UbuntuAppArmor { .. } => f.write_str(
                "AppArmor forbids it (kernel.apparmor_restrict_unprivileged_userns, Ubuntu's default)",
            ),
            Self::AppArmor { profile: Some(profile) } => {
                write!(f, "the AppArmor profile {profile} forbids it")
            }
            Self::AppArmor { profile: None } => f.write_str("a security module forbids it"),
            Self::Selinux => f.write_str("SELinux forbids it"),
            Self::NoSetfcap => f.write_str("root without CAP_SETFCAP may not be mapped"),
            Self::NotBuilt => f.write_str("this kernel has no user namespaces"),
            Self::Wsl1 => f.write_str("WSL 1 has none"),
            Self::Threads(count) => write!(f, "bryo already has {count} threads"),
            Self::Unknown => f.write_str("the kernel refuses"),
        }
    }
}

/// The AppArmor profile that lets `program` make user namespaces, and changes nothing else.
pub fn apparmor_profile(program: &Path) -> String {
    format!(
        "abi <abi/4.0>,\ninclude <tunables/global>\n\n\
         profile bryo \"{}\" flags=(unconfined) {{\n  userns,\n\n  \
         include if exists <local/bryo>\n}}\n",
        escape(&program.to_string_lossy())
    )
}

/// Takes the special meaning from AppArmor's pattern characters.
fn escape(path: &str) -> String {
    let special = |c: char| r#"\*?[]{}^"@"#.contains(c);
    path.chars().flat_map(|c| special(c).then_some('\\').into_iter().chain([c])).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_refusal_has_its_cause() {
        use Step::{IdentityMap, MountNamespace, PrivateMounts, UserNamespace};
        let quiet = || Evidence {
            user: 1000,
            setfcap: true,
            known: true,
            threads: 1,
            ..Evidence::default()
        };
        let zero = || Some("0".to_owned());
        let limit = |sysctl, value| Cause::Limit { sysctl, value };
        let program = || PathBuf::from("/opt/bryo");
        let ubuntu = || Evidence { restricted_by_apparmor: true, program: program(), ..quiet() };
        let docker = || Evidence { profile: Some("docker-default (enforce)".into()), ..quiet() };
        let users = "user.max_user_namespaces";
        for (step, error, seen, cause) in [
            (
                UserNamespace,
                ENOSPC,
                Evidence { user_namespaces: zero(), ..quiet() },
                limit(users, zero()),
            ),
            (UserNamespace, ENOSPC, quiet(), limit(users, None)),
            (MountNamespace, ENOSPC, quiet(), limit("user.max_mnt_namespaces", None)),
            (UserNamespace, EPERM, Evidence { seccomp: true, ..quiet() }, Cause::Seccomp),
            (UserNamespace, ENOSYS, Evidence { seccomp: true, ..quiet() }, Cause::Seccomp),
            (
                UserNamespace,
                EPERM,
                Evidence { forbidden_by_debian: true, seccomp: true, ..quiet() },
                Cause::ForbiddenByDebian,
            ),
            (UserNamespace, EPERM, Evidence { chroot: true, ..quiet() }, Cause::Chroot),
            (UserNamespace, EPERM, quiet(), Cause::Unknown),
            (UserNamespace, EACCES, quiet(), Cause::AppArmor { profile: None }),
            (UserNamespace, EACCES, ubuntu(), Cause::UbuntuAppArmor { program: program() }),
            (IdentityMap, EPERM, ubuntu(), Cause::UbuntuAppArmor { program: program() }),
            (IdentityMap, EACCES, ubuntu(), Cause::UbuntuAppArmor { program: program() }),
            (PrivateMounts, EACCES, ubuntu(), Cause::UbuntuAppArmor { program: program() }),
            (UserNamespace, EINVAL, Evidence { known: false, ..quiet() }, Cause::NotBuilt),
            (UserNamespace, EINVAL, Evidence { threads: 2, ..quiet() }, Cause::Threads(2)),
            (UserNamespace, EINVAL, Evidence { wsl1: true, known: false, ..quiet() }, Cause::Wsl1),
            (IdentityMap, EPERM, Evidence { user: 0, setfcap: false, ..quiet() }, Cause::NoSetfcap),
            (IdentityMap, EPERM, Evidence { user: 0, ..quiet() }, Cause::Unknown),
            (PrivateMounts, EACCES, docker(), Cause::AppArmor { profile: docker().profile }),
            (PrivateMounts, EACCES, Evidence { selinux: true, ..quiet() }, Cause::Selinux),
            (PrivateMounts, EPERM, Evidence { seccomp: true, ..quiet() }, Cause::Seccomp),
        ] {
            let found = Cause::of(step, error, &seen);
            assert_eq!(found, cause, "{step}, {error}, {seen:?}");
            assert_eq!(found.remedy().is_none(), cause == Cause::Unknown, "{cause}");
        }
    }

    #[test]
    fn the_profile_names_the_program() {
        let profile = apparmor_profile(Path::new("/home/u/a b[1]/bryo"));
        assert_eq!(profile.lines().count(), 8);
        assert!(
            profile.contains(r#"profile bryo "/home/u/a b\[1\]/bryo" flags=(unconfined) {"#),
            "{profile}"
        );
        let remedy = Cause::UbuntuAppArmor { program: "/opt/bryo".into() }.remedy();
        assert!(
            remedy.is_some_and(|text| text.contains(&apparmor_profile(Path::new("/opt/bryo"))))
        );
    }
}
