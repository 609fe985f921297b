//! POSIX access control lists, as the attributes `system.posix_acl_access` and
//! `system.posix_acl_default` have them (Linux's `posix_acl_xattr.h`), without the ids that the
//! kernel cannot map here.

/// The only version there is.
const VERSION: [u8; 4] = 2_u32.to_le_bytes();

const USER_OBJ: u16 = 0x01;
const USER: u16 = 0x02;
const GROUP_OBJ: u16 = 0x04;
const GROUP: u16 = 0x08;
const MASK: u16 = 0x10;
const OTHER: u16 = 0x20;

/// An entry; `id` is 0xffff_ffff where the tag has none.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Entry {
    tag: u16,
    permissions: u16,
    id: u32,
}

impl Entry {
    fn is_foreign(&self) -> bool {
        matches!(self.tag, USER | GROUP) && self.id != 0
    }
}

/// What of a list the kernel will take: the same list without the users and groups that are not 0.
/// `None` when that is the list itself, or when it is none at all: then the kernel is to answer.
///
/// The permission bits that follow from the list, and those of files that inherit it, stay the
/// same: they come from the owner, the mask and the others.
pub(super) fn without_foreign_ids(value: &[u8]) -> Option<Vec<u8>> {
    let mut entries = parse(value).filter(|entries| is_valid(entries))?;
    let all = entries.len();
    entries.retain(|entry| !entry.is_foreign());
    if entries.len() == all {
        return None;
    }
    Some(encode(&entries))
}

fn parse(value: &[u8]) -> Option<Vec<Entry>> {
    let (entries, []) = value.strip_prefix(&VERSION)?.as_chunks::<8>() else { return None };
    let entry = |&[tag, tag1, permissions, permissions1, a, b, c, d]: &[u8; 8]| Entry {
        tag: u16::from_le_bytes([tag, tag1]),
        permissions: u16::from_le_bytes([permissions, permissions1]),
        id: u32::from_le_bytes([a, b, c, d]),
    };
    Some(entries.iter().map(entry).collect())
}

fn encode(entries: &[Entry]) -> Vec<u8> {
    let mut value = VERSION.to_vec();
    for entry in entries {
        value.extend(entry.tag.to_le_bytes());
        value.extend(entry.permissions.to_le_bytes());
        value.extend(entry.id.to_le_bytes());
    }
    value
}

/// Whether the kernel takes it where every id is mapped (`posix_acl_valid()`): the tags in their
/// order, owner, group and others once each, and a mask if anybody is named.
fn is_valid(entries: &[Entry]) -> bool {
    let once = |tag| entries.iter().filter(|entry| entry.tag == tag).count() == 1;
    let named = entries.iter().any(|entry| matches!(entry.tag, USER | GROUP));
    let masks = entries.iter().filter(|entry| entry.tag == MASK).count();
    entries.is_sorted_by_key(|entry| entry.tag)
        && entries.iter().all(|entry| match entry.tag {
            USER | GROUP => entry.permissions <= 7 && entry.id != u32::MAX,
            USER_OBJ | GROUP_OBJ | MASK | OTHER => entry.permissions <= 7,
            _ => false,
        })
        && [USER_OBJ, GROUP_OBJ, OTHER].into_iter().all(once)
        && (masks == 1 || masks == 0 && !named)
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOBODY: u32 = u32::MAX;

    /// `u::rwx,u:1000:r` as in setfacl(1), in octal: `u:7 u1000:4`.
    fn list(text: &str) -> Vec<u8> {
        let entry = |word: &str| {
            let (who, permissions) = word.split_once(':').expect("WHO:PERMISSIONS");
            let (tag, id) = match (&who[..1], &who[1..]) {
                ("u", "") => (USER_OBJ, NOBODY),
                ("u", id) => (USER, id.parse().expect("an id")),
                ("g", "") => (GROUP_OBJ, NOBODY),
                ("g", id) => (GROUP, id.parse().expect("an id")),
                ("m", _) => (MASK, NOBODY),
                ("o", _) => (OTHER, NOBODY),
                _ => (0x40, NOBODY),
            };
            Entry { tag, permissions: permissions.parse().expect("a digit"), id }
        };
        encode(&text.split_whitespace().map(entry).collect::<Vec<_>>())
    }

    #[test]
    fn foreign_ids_are_left_out() {
        let cases = [
            // setfacl -m u:1000:rwx of 0644: mode 0674, as the mask says.
            ("u:6 u1000:7 g:4 m:7 o:4", "u:6 g:4 m:7 o:4"),
            ("u:7 g:5 g4:5 m:5 o:5", "u:7 g:5 m:5 o:5"),
            ("u:7 u0:7 u33:7 g:5 m:5 o:0", "u:7 u0:7 g:5 m:5 o:0"),
            ("u:7 g:5 g0:1 g4:5 m:5 o:0", "u:7 g:5 g0:1 m:5 o:0"),
            ("u:7 u1:1 u2:2 u4294967294:4 g:0 g1:1 m:0 o:0", "u:7 g:0 m:0 o:0"),
        ];
        for (all, ours) in cases {
            assert_eq!(without_foreign_ids(&list(all)), Some(list(ours)), "{all}");
        }
    }

    #[test]
    fn the_kernel_answers_for_all_others() {
        let cases = [
            "",
            "u:6 g:4 o:4",
            "u:6 u0:7 g:4 m:7 o:4",
            "u:6 g:4 m:7 o:4",
            // Malformed; the last ones with foreign ids, for which its answer is EINVAL as well.
            "u:6 g:4",
            "g:4 u:6 o:4",
            "u:6 u1000:7 g:4 o:4",
            "u:6 u1000:8 g:4 m:7 o:4",
            "u:6 u1000:7 g:4 m:7 m:7 o:4",
            "u:6 u:6 u1000:7 g:4 m:7 o:4",
            "u:6 u1000:7 g:4 m:7",
            "u:6 u1000:7 g:4 m:7 o:4 x:0",
            "u:6 u4294967295:7 g:4 m:7 o:4",
            "u:6 g1000:7 g:4 m:7 o:4",
        ];
        for text in cases {
            assert_eq!(without_foreign_ids(&list(text)), None, "{text}");
        }
        let good = list("u:6 u1000:7 g:4 m:7 o:4");
        assert_eq!(without_foreign_ids(&[]), None);
        assert_eq!(without_foreign_ids(&good[..good.len() - 1]), None, "cut off");
        assert_eq!(without_foreign_ids(&[&[1], &good[1..]].concat()), None, "another version");
    }
}
