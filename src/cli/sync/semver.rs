//! [`Range`]: which versions are wanted, in the words of the lists that skopeo reads (those of
//! Masterminds' semver): `>= 1.2, < 2 || ~3.1`, `^1.2`, `1.x`, `1.2 - 1.4`.

use std::cmp::Ordering;
use std::str::FromStr;

/// A version; parts that are left out are 0. Order is that of semver.org, §11.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Version {
    numbers: [u64; 3],
    /// Of a version before it is released.
    before: Vec<Word>,
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
enum Word {
    Number(u64),
    Text(String),
}

impl Ord for Version {
    fn cmp(&self, other: &Self) -> Ordering {
        let released = self.before.is_empty().cmp(&other.before.is_empty());
        self.numbers.cmp(&other.numbers).then(released).then_with(|| self.before.cmp(&other.before))
    }
}

impl PartialOrd for Version {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// A version, and how many of its three numbers were given.
fn version(text: &str) -> Option<(Version, usize)> {
    let text = text.strip_prefix(['v', 'V']).unwrap_or(text);
    let text = text.split_once('+').map_or(text, |(text, _)| text);
    let (numbers, before) = match text.split_once('-') {
        Some((numbers, before)) => (numbers, Some(before)),
        None => (text, None),
    };
    let mut found = [0; 3];
    let (mut given, mut open) = (0, false);
    let parts: Vec<&str> = numbers.split('.').collect();
    if parts.len() > 3 {
        return None;
    }
    for (at, part) in parts.iter().enumerate() {
        match *part {
            "x" | "X" | "*" => open = true,
            _ if open => return None,
            number if number.bytes().all(|byte| byte.is_ascii_digit()) => {
                found[at] = number.parse().ok()?;
                given = at + 1;
            }
            _ => return None,
        }
    }
    let word = |word: &str| -> Option<Word> {
        let is_word = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'-';
        match word.parse() {
            Ok(number) => Some(Word::Number(number)),
            Err(_) if !word.is_empty() && word.bytes().all(is_word) => {
                Some(Word::Text(word.to_owned()))
            }
            Err(_) => None,
        }
    };
    let before = match before {
        Some(before) => before.split('.').map(word).collect::<Option<_>>()?,
        None => Vec::new(),
    };
    Some((Version { numbers: found, before }, given))
}

/// From one version to another.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Span {
    from: Option<Version>,
    /// Whether `from` itself is in it.
    with_first: bool,
    to: Option<Version>,
    with_last: bool,
    /// No version that begins another such row of numbers.
    below: Option<[u64; 3]>,
    /// All others.
    inverted: bool,
    /// Versions before a release count only where somebody spoke of one.
    with_unreleased: bool,
}

impl Span {
    fn has(&self, version: &Version) -> bool {
        if !version.before.is_empty() && !self.with_unreleased {
            return false;
        }
        let after = self.from.as_ref().is_none_or(|from| match version.cmp(from) {
            Ordering::Greater => true,
            Ordering::Equal => self.with_first,
            Ordering::Less => false,
        });
        let before = self.to.as_ref().is_none_or(|to| match version.cmp(to) {
            Ordering::Less => true,
            Ordering::Equal => self.with_last,
            Ordering::Greater => false,
        });
        let below = self.below.is_none_or(|below| version.numbers < below);
        (after && before && below) != self.inverted
    }
}

/// What is wanted: of several rows of conditions, all of one row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Range(Vec<Vec<Span>>);

impl Range {
    /// Whether a tag is a version that is wanted.
    pub(crate) fn has(&self, tag: &str) -> bool {
        let is_open = tag.split(['-', '+']).next().is_some_and(|tag| tag.contains(['x', 'X', '*']));
        let Some((version, 1..)) = version(tag).filter(|_| !is_open) else { return false };
        self.0.iter().any(|all| all.iter().all(|span| span.has(&version)))
    }
}

impl FromStr for Range {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        text.split("||").map(row).collect::<Result<_, _>>().map(Self)
    }
}

fn row(text: &str) -> Result<Vec<Span>, String> {
    // `1.2 - 1.4`, which blanks tell from a version before its release.
    if let Some((from, to)) = text.split_once(" - ") {
        return Ok(vec![span(">=", from.trim())?, span("<=", to.trim())?]);
    }
    let mut spans = Vec::new();
    let mut words = text.split([',', ' ']).filter(|word| !word.is_empty());
    while let Some(word) = words.next() {
        let end = word.find(|c: char| !"=!<>~^".contains(c)).unwrap_or(word.len());
        let (sign, number) = word.split_at(end);
        let number = match number {
            "" => words.next().ok_or_else(|| format!("{sign} has no version after it"))?,
            number => number,
        };
        spans.push(span(sign, number)?);
    }
    if spans.is_empty() {
        return Err("it has no version".to_owned());
    }
    // Who spoke of one such version in a row of conditions meant the whole row.
    let with_unreleased = spans.iter().any(|span| span.with_unreleased);
    Ok(spans.into_iter().map(|span| Span { with_unreleased, ..span }).collect())
}

fn span(sign: &str, number: &str) -> Result<Span, String> {
    let (version, given) = version(number).ok_or_else(|| format!("{number:?} is no version"))?;
    let [major, minor, _] = version.numbers;
    let next = |given: usize| match given {
        0 => None,
        1 => Some([major + 1, 0, 0]),
        2 => Some([major, minor + 1, 0]),
        _ => Some([major, minor, version.numbers[2] + 1]),
    };
    let all = Span {
        from: None,
        with_first: true,
        to: None,
        with_last: true,
        below: None,
        inverted: false,
        with_unreleased: !version.before.is_empty(),
    };
    let from = Some(version.clone());
    let exactly = match given {
        3 => Span { from: from.clone(), to: from.clone(), ..all.clone() },
        _ => Span { from: from.clone(), below: next(given), ..all.clone() },
    };
    Ok(match sign {
        "" | "=" => exactly,
        "!=" => Span { inverted: true, ..exactly },
        ">=" | "=>" => Span { from, ..all },
        ">" if given < 3 => Span { inverted: true, from: None, below: next(given), ..all },
        ">" => Span { from, with_first: false, ..all },
        "<" => Span { to: from, with_last: false, ..all },
        "<=" | "=<" if given < 3 => Span { below: next(given), ..all },
        "<=" | "=<" => Span { to: from, ..all },
        "~" | "~>" => Span { from, below: next(given.min(2)), ..all },
        "^" => {
            // What comes after the first number that is not 0 may change.
            let first = version.numbers[..given].iter().position(|number| *number > 0);
            Span { from, below: next(first.map_or(given, |at| at + 1)), ..all }
        }
        _ => return Err(format!("{sign:?} is no comparison")),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_in_ranges_or_not() {
        let tags = "0.0.3 0.0.4 0.2.3 0.2.9 0.3.0 1.2.0 1.2.3 1.2.4 1.3.0 1.3.1-rc.1 2.0.0";
        for (range, expected) in [
            ("1.2.3", "1.2.3"),
            ("=v1.2.3", "1.2.3"),
            ("1.2", "1.2.0 1.2.3 1.2.4"),
            ("1.x", "1.2.0 1.2.3 1.2.4 1.3.0"),
            ("!=1.2, >=1, <2", "1.3.0"),
            ("!= 1.2.3, ~1.2", "1.2.0 1.2.4"),
            (">1.2.3 <=1.3.0", "1.2.4 1.3.0"),
            (">1.2", "1.3.0 2.0.0"),
            (">=1.3", "1.3.0 2.0.0"),
            ("<=0.2", "0.0.3 0.0.4 0.2.3 0.2.9"),
            ("<0.2.9", "0.0.3 0.0.4 0.2.3"),
            ("~1.2.3", "1.2.3 1.2.4"),
            ("~1", "1.2.0 1.2.3 1.2.4 1.3.0"),
            ("^1.2.3", "1.2.3 1.2.4 1.3.0"),
            ("^0.2.3", "0.2.3 0.2.9"),
            ("^0.0.3", "0.0.3"),
            ("^0.0", "0.0.3 0.0.4"),
            ("^0", "0.0.3 0.0.4 0.2.3 0.2.9 0.3.0"),
            ("1.2 - 1.2.3", "1.2.0 1.2.3"),
            ("0.0.3 || ^2", "0.0.3 2.0.0"),
            (">=1.3.1-beta <2", "1.3.1-rc.1"),
            (">= 1.3.1-rc.2", "2.0.0"),
            ("*", "0.0.3 0.0.4 0.2.3 0.2.9 0.3.0 1.2.0 1.2.3 1.2.4 1.3.0 2.0.0"),
        ] {
            let parsed: Range = range.parse().expect(range);
            let found: Vec<_> = tags.split(' ').filter(|tag| parsed.has(tag)).collect();
            assert_eq!(found.join(" "), expected, "{range}");
        }
        let range: Range = ">=1.10".parse().expect("a range");
        for (tag, expected) in [
            ("v1.10", true),
            ("1.9", false),
            ("2", true),
            ("latest", false),
            ("1.10+b", true),
            ("2.x", false),
        ] {
            assert_eq!(range.has(tag), expected, "{tag}");
        }
        for wrong in ["", ">=", ">> 1", "1.2.3.4", "one", "1.x.3", "1 || ", ">=1,one"] {
            wrong.parse::<Range>().expect_err(wrong);
        }
    }
}
