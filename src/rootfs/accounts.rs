//! [`Accounts`]: `/etc/passwd` and `/etc/group` of an image.

use std::path::{Path, PathBuf};

use super::meta::FileType;
use super::root::Root;
use super::{Error, Result};

/// Longer account files are not an image's, but an attack on our memory.
const LIMIT: u64 = 16 << 20;

/// A line of `/etc/passwd`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct User {
    pub name: String,
    pub uid: u32,
    /// The group that the user logs in with.
    pub gid: u32,
    pub home: PathBuf,
}

/// A line of `/etc/group`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Group {
    pub name: String,
    pub gid: u32,
    pub members: Vec<String>,
}

/// Who a process is, or whose a file is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Owner {
    pub uid: u32,
    pub gid: u32,
    /// Of a process: the other groups that the user is a member of.
    pub groups: Vec<u32>,
    /// The user's home directory, if `/etc/passwd` has one.
    pub home: Option<PathBuf>,
}

/// The users and groups of an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Accounts {
    pub users: Vec<User>,
    pub groups: Vec<Group>,
}

impl Accounts {
    /// Reads both files of an image. One that is missing is empty, and so is what is no file.
    pub fn read(root: &Root) -> Result<Self> {
        let text = |path: &str| -> Result<String> {
            let path = Path::new(path);
            if root.stat(path)?.is_some_and(|meta| meta.kind != FileType::File) {
                return Ok(String::new());
            }
            let content = root.read_file(path, LIMIT)?.unwrap_or_default();
            Ok(String::from_utf8_lossy(&content).into_owned())
        };
        Ok(Self::parse(&text("/etc/passwd")?, &text("/etc/group")?))
    }

    /// Lines that make no sense are left out, as the C library does.
    pub fn parse(passwd: &str, group: &str) -> Self {
        Self {
            users: passwd.lines().filter_map(parse_user).collect(),
            groups: group.lines().filter_map(parse_group).collect(),
        }
    }

    /// A user by name, or else by number.
    pub fn user(&self, name: &str) -> Option<&User> {
        self.users.iter().find(|user| user.name == name).or_else(|| {
            let uid: u32 = name.parse().ok()?;
            self.users.iter().find(|user| user.uid == uid)
        })
    }

    /// A group by name, or else by number.
    pub fn group(&self, name: &str) -> Option<&Group> {
        self.groups.iter().find(|group| group.name == name).or_else(|| {
            let gid: u32 = name.parse().ok()?;
            self.groups.iter().find(|group| group.gid == gid)
        })
    }

    /// Whose files `--chown` asks for: `USER`, `USER:GROUP` or `:GROUP`, each a name or a number.
    /// Without a group it is the user's own, and for a bare number that same number, as in
    /// BuildKit.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`] or [`Error::NoGroup`] for a name that the image does not know.
    pub fn file_owner(&self, text: &str) -> Result<Owner> {
        let (user, group) = halves(text)?;
        let (uid, own) = match (user.parse::<u32>(), self.users.iter().find(|u| u.name == user)) {
            (_, Some(user)) => (user.uid, user.gid),
            (Ok(uid), None) => (uid, uid),
            (Err(_), None) if user.is_empty() => (0, 0),
            (Err(_), None) => return Err(Error::NoUser(user.to_owned())),
        };
        let gid = group.map_or(Ok(own), |group| self.gid(group))?;
        Ok(Owner { uid, gid, groups: Vec::new(), home: None })
    }

    /// Who a process of `USER` runs as: `USER` or `USER:GROUP`, each a name or a number. Without a
    /// group it is the user's own, and 0 for a number that the image does not know, and the user's
    /// other groups come along; with one these do not, as in Docker. Nothing at all is root.
    ///
    /// # Errors
    ///
    /// [`Error::NoUser`] or [`Error::NoGroup`] for a name that the image does not know.
    pub fn process_owner(&self, text: &str) -> Result<Owner> {
        let (user, group) = if text.is_empty() { ("0", None) } else { halves(text)? };
        let known = self.user(if user.is_empty() { "0" } else { user });
        let uid = match (known, user.parse()) {
            (Some(user), _) => user.uid,
            (None, Ok(uid)) => uid,
            (None, Err(_)) if user.is_empty() => 0,
            (None, Err(_)) => return Err(Error::NoUser(user.to_owned())),
        };
        let gid = match group {
            Some(group) => self.gid(group)?,
            None => known.map_or(0, |user| user.gid),
        };
        let groups = match (group, known) {
            (None, Some(user)) => self
                .groups
                .iter()
                .filter(|group| group.gid != gid && group.members.contains(&user.name))
                .map(|group| group.gid)
                .collect(),
            _ => Vec::new(),
        };
        // To setresuid(2) this number is none.
        if [uid, gid].contains(&u32::MAX) {
            return Err(Error::Owner(text.to_owned()));
        }
        let home = known.map(|user| user.home.clone());
        Ok(Owner { uid, gid, groups, home })
    }

    fn gid(&self, group: &str) -> Result<u32> {
        match (self.group(group), group.parse()) {
            (Some(group), _) => Ok(group.gid),
            (None, Ok(gid)) => Ok(gid),
            (None, Err(_)) => Err(Error::NoGroup(group.to_owned())),
        }
    }
}

fn halves(text: &str) -> Result<(&str, Option<&str>)> {
    let wrong = || Error::Owner(text.to_owned());
    match text.split_once(':') {
        None if text.is_empty() => Err(wrong()),
        None => Ok((text, None)),
        Some(("", "")) => Err(wrong()),
        Some((_, group)) if group.contains(':') => Err(wrong()),
        Some((user, group)) => Ok((user, Some(group).filter(|group| !group.is_empty()))),
    }
}

fn parse_user(line: &str) -> Option<User> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let uid = fields.nth(1)?.parse().ok()?;
    let gid = fields.next()?.parse().ok()?;
    let home = fields.nth(1).unwrap_or("").into();
    Some(User { name, uid, gid, home })
}

fn parse_group(line: &str) -> Option<Group> {
    let mut fields = line.split(':');
    let name = fields.next().filter(|name| !name.is_empty())?.to_owned();
    let gid = fields.nth(1)?.parse().ok()?;
    let members = fields.next().unwrap_or("").split(',').filter(|member| !member.is_empty());
    Some(Group { name, gid, members: members.map(str::to_owned).collect() })
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# no account\n\
                          app:x:1000:2000:An app:/home/app:/bin/sh\nshort:x:7:8\n\
                          12:x:13:14::/twelve:\nbroken:x:one:1::/:\n";
    const GROUP: &str = "root:x:0:\nstaff:x:50:root,app\naudio:x:29:app\napp:x:2000:app\n";

    fn accounts() -> Accounts {
        Accounts::parse(PASSWD, GROUP)
    }

    #[test]
    fn what_is_no_file_has_no_accounts() {
        let dir = tempfile::tempdir().expect("a directory");
        std::fs::create_dir_all(dir.path().join("etc/passwd")).expect("directories");
        std::fs::write(dir.path().join("etc/group"), GROUP).expect("a file");
        let accounts = Accounts::read(&Root::open(dir.path()).expect("a root")).expect("accounts");
        assert_eq!(
            (accounts.user("root"), accounts.group("audio").map(|g| g.gid)),
            (None, Some(29))
        );
    }

    #[test]
    fn files_get_the_owner_that_buildkit_gives_them() {
        let rows = [
            ("app", Some((1000, 2000))),
            ("app:staff", Some((1000, 50))),
            ("app:77", Some((1000, 77))),
            ("app:", Some((1000, 2000))),
            ("1000", Some((1000, 1000))),
            ("1000:0", Some((1000, 0))),
            ("99999", Some((99999, 99999))),
            (":audio", Some((0, 29))),
            ("12", Some((13, 14))),
            ("nobody", None),
            ("app:nobody", None),
            ("", None),
            (":", None),
            ("a:b:c", None),
            ("-1", None),
            ("4294967296", None),
        ];
        for (text, ids) in rows {
            let owner = accounts().file_owner(text).ok().map(|owner| (owner.uid, owner.gid));
            assert_eq!(owner, ids, "{text:?}");
        }
    }

    #[test]
    fn processes_get_the_groups_that_docker_gives_them() {
        let rows = [
            ("", Some((0, 0, vec![50]))),
            ("root", Some((0, 0, vec![50]))),
            ("app", Some((1000, 2000, vec![50, 29]))),
            ("1000", Some((1000, 2000, vec![50, 29]))),
            ("app:audio", Some((1000, 29, vec![]))),
            ("4242", Some((4242, 0, vec![]))),
            ("4242:4343", Some((4242, 4343, vec![]))),
            ("nobody", None),
            ("app:nobody", None),
            ("4294967295", None),
            ("0:4294967295", None),
        ];
        for (text, ids) in rows {
            let owner = accounts().process_owner(text).ok();
            assert_eq!(owner.map(|owner| (owner.uid, owner.gid, owner.groups)), ids, "{text:?}");
        }
        let home = |text| accounts().process_owner(text).expect("a known user").home;
        assert_eq!(home("app"), Some("/home/app".into()));
        assert_eq!(home("4242"), None);
        assert_eq!(home("short"), Some("".into()));
    }
}
