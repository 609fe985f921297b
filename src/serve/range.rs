//! Parts of blobs (RFC 9110 §14): the one form of `Range` that registries' clients send.

/// Which part of a representation is sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    All,
    /// First byte and number of bytes.
    Some(u64, u64),
    /// There is no such part.
    None,
}

/// Reads `bytes=FIRST-LAST`, `bytes=FIRST-` and `bytes=-COUNT`. Whatever else is asked for is
/// answered with everything, as it may be.
pub(super) fn part(header: Option<&str>, size: u64) -> Part {
    let Some(range) = header.and_then(|header| header.trim().strip_prefix("bytes=")) else {
        return Part::All;
    };
    let Some((first, last)) = range.split_once('-') else { return Part::All };
    let number = |text: &str| match text.trim() {
        text if text.bytes().all(|b| b.is_ascii_digit()) => text.parse::<u64>().ok(),
        _ => None,
    };
    match (first.trim(), last.trim()) {
        ("", last) => match number(last) {
            Some(0) => Part::None,
            Some(count) if size > 0 => {
                let count = count.min(size);
                Part::Some(size - count, count)
            }
            Some(_) => Part::None,
            None => Part::All,
        },
        (first, last) => {
            let Some(first) = number(first) else { return Part::All };
            let last = match last {
                "" => u64::MAX,
                last => match number(last) {
                    Some(last) => last,
                    None => return Part::All,
                },
            };
            match first < size && first <= last {
                true => Part::Some(first, last.min(size - 1) - first + 1),
                false => Part::None,
            }
        }
    }
}

/// Reads the `Content-Range` of a chunk: `FIRST-LAST` ("Pushing a blob in chunks"), and the form of
/// RFC 9110 that some clients send. Gives its first byte and its number of bytes.
pub(super) fn chunk(header: &str) -> Option<(u64, u64)> {
    let range = header.trim();
    let range = range.strip_prefix("bytes ").unwrap_or(range);
    let range = range.split('/').next().unwrap_or_default();
    let (first, last) = range.split_once('-')?;
    let number = |text: &str| match text.bytes().all(|b| b.is_ascii_digit()) {
        true => text.parse::<u64>().ok(),
        false => None,
    };
    let (first, last) = (number(first)?, number(last)?);
    Some((first, last.checked_sub(first)?.checked_add(1)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_chosen() {
        for (header, size, expected) in [
            ("bytes=500-1499", 2048, Part::Some(500, 1000)),
            ("bytes=500-", 2048, Part::Some(500, 1548)),
            ("bytes=-500", 2048, Part::Some(1548, 500)),
            ("bytes=-5000", 2048, Part::Some(0, 2048)),
            ("bytes=2000-5000", 2048, Part::Some(2000, 48)),
            ("bytes=0-0", 1, Part::Some(0, 1)),
            ("bytes=500-0", 2048, Part::None),
            ("bytes=5000-10000", 2048, Part::None),
            ("bytes=2048-", 2048, Part::None),
            ("bytes=0-", 0, Part::None),
            ("bytes=-0", 9, Part::None),
            ("bytes=-1", 0, Part::None),
            ("bytes=0-1,5-6", 9, Part::All),
            ("bytes=+1-2", 9, Part::All),
            ("lines=1-2", 9, Part::All),
            ("bytes=x-", 9, Part::All),
            ("bytes=", 9, Part::All),
        ] {
            assert_eq!(part(Some(header), size), expected, "{header} of {size}");
        }
        assert_eq!(part(None, 9), Part::All);
    }

    #[test]
    fn chunks_are_placed() {
        for (header, expected) in [
            ("0-99", Some((0, 100))),
            ("100-100", Some((100, 1))),
            ("bytes 5-9/10", Some((5, 5))),
            ("bytes 5-9/*", Some((5, 5))),
            ("1-18446744073709551615", Some((1, u64::MAX))),
            ("0-18446744073709551615", None),
            ("0-18446744073709551616", None),
            ("9-5", None),
            ("-5", None),
            ("5-", None),
            ("+1-2", None),
            ("a-b", None),
            ("", None),
        ] {
            assert_eq!(chunk(header), expected, "{header}");
        }
    }
}
