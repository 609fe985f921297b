//! What an image's history says about a step, in the words that tools know from the reference
//! builder.

use crate::image::{Healthcheck, History};

/// The reference builder's mark on entries that it made; tools show it.
const COMMENT: &str = "buildkit.dockerfile.v0";

/// An entry. `created_by` is the instruction, expanded; `empty` means that it made no layer. As in
/// the reference, an author stands in the configuration alone.
pub(super) fn entry(created_by: String, empty: bool, created: &str) -> History {
    History {
        created: Some(created.to_owned()),
        created_by: Some(created_by),
        comment: Some(COMMENT.to_owned()),
        empty_layer: empty,
        ..History::default()
    }
}

/// `RUN |2 A=1 B=2 /bin/sh -c text # buildkit`: the declared arguments, then the command.
pub(super) fn run<'a>(
    arguments: impl Iterator<Item = (&'a str, &'a str)>,
    argv: &[String],
) -> String {
    let arguments: Vec<String> = arguments.map(|(name, value)| format!("{name}={value}")).collect();
    let mut text = "RUN".to_owned();
    if !arguments.is_empty() {
        text += &format!(" |{} {}", arguments.len(), arguments.join(" "));
    }
    format!("{text} {} # buildkit", argv.join(" "))
}

/// `COPY [--parents] [--chown=…] [--chmod=…] sources destination # buildkit`. Flags that say nothing about the
/// files (`--from`, `--link`, `--exclude`) are left out, as in the reference.
pub(super) fn copy(name: &str, flags: &[String], sources: &[String], destination: &str) -> String {
    let mut words = vec![name.to_owned()];
    words.extend(flags.iter().cloned());
    words.extend(sources.iter().cloned());
    words.push(destination.to_owned());
    words.push("# buildkit".to_owned());
    words.join(" ")
}

/// A list as Go's `%q` prints it: `["a" "b"]`.
pub(super) fn quoted(words: &[String]) -> String {
    let words: Vec<String> = words.iter().map(|word| quote(word)).collect();
    format!("[{}]", words.join(" "))
}

/// A text as Go's `strconv.Quote` prints it. What Go counts as printable is known here for ASCII
/// alone; of the rest, controls and blanks are escaped.
fn quote(text: &str) -> String {
    let mut quoted = String::from('"');
    for c in text.chars() {
        match c {
            '"' | '\\' => quoted.extend(['\\', c]),
            '\x07' => quoted += "\\a",
            '\x08' => quoted += "\\b",
            '\x0c' => quoted += "\\f",
            '\n' => quoted += "\\n",
            '\r' => quoted += "\\r",
            '\t' => quoted += "\\t",
            '\x0b' => quoted += "\\v",
            '\0'..' ' | '\x7f' => quoted += &format!("\\x{:02x}", u32::from(c)),
            ' ' => quoted.push(c),
            _ if c.is_control() || c.is_whitespace() => {
                quoted += &format!("\\u{:04x}", u32::from(c));
            }
            _ => quoted.push(c),
        }
    }
    quoted.push('"');
    quoted
}

/// A list as Go's `%v` prints it: `[a b]`.
pub(super) fn listed(words: &[String]) -> String {
    format!("[{}]", words.join(" "))
}

/// A health check as Go prints the structure.
pub(super) fn healthcheck(check: &Healthcheck) -> String {
    let duration = |value: Option<u64>| value.map_or_else(|| "0s".to_owned(), go_duration);
    format!(
        "HEALTHCHECK {{Test:{} Interval:{} Timeout:{} StartPeriod:{} StartInterval:{} Retries:{}}}",
        listed(&check.test),
        duration(check.interval),
        duration(check.timeout),
        duration(check.start_period),
        duration(check.start_interval),
        check.retries.unwrap_or(0)
    )
}

/// Nanoseconds in the form of Go's `time.Duration`: `1m30s`, `1.5s`, `300ms`.
fn go_duration(nanoseconds: u64) -> String {
    const SECOND: u64 = 1_000_000_000;
    if nanoseconds == 0 {
        return "0s".to_owned();
    }
    if nanoseconds < SECOND {
        let (unit, name) = match nanoseconds {
            1_000_000.. => (1_000_000, "ms"),
            1_000.. => (1_000, "µs"),
            _ => (1, "ns"),
        };
        return format!("{}{name}", decimal(nanoseconds, unit));
    }
    let (hours, minutes) = (nanoseconds / (3600 * SECOND), nanoseconds / (60 * SECOND) % 60);
    let seconds = decimal(nanoseconds % (60 * SECOND), SECOND);
    match (hours, minutes) {
        (0, 0) => format!("{seconds}s"),
        (0, _) => format!("{minutes}m{seconds}s"),
        _ => format!("{hours}h{minutes}m{seconds}s"),
    }
}

fn decimal(value: u64, unit: u64) -> String {
    let digits = unit.ilog10() as usize;
    let text = format!("{}.{:0digits$}", value / unit, value % unit);
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_those_of_the_reference() {
        let words = |text: &str| text.split(' ').map(str::to_owned).collect::<Vec<_>>();
        assert_eq!(
            run([("A", "1")].into_iter(), &words("/bin/sh -c x")),
            "RUN |1 A=1 /bin/sh -c x # buildkit"
        );
        assert_eq!(run([].into_iter(), &words("/x")), "RUN /x # buildkit");
        assert_eq!(
            copy("COPY", &words("--chown=1:2"), &words("a b"), "/c/"),
            "COPY --chown=1:2 a b /c/ # buildkit"
        );
        assert_eq!(
            (quoted(&words("a b")), listed(&words("a b"))),
            (r#"["a" "b"]"#.into(), "[a b]".into())
        );
        let odd = ["a\"\\b".to_owned(), "\t\n\x0b\x01\x7f'é\u{301}\u{a0}$".to_owned()];
        assert_eq!(quoted(&odd), "[\"a\\\"\\\\b\" \"\\t\\n\\v\\x01\\x7f'é\u{301}\\u00a0$\"]");
        assert_eq!((quoted(&[]), listed(&[])), ("[]".into(), "[]".into()));
        for (nanoseconds, text) in [
            (0, "0s"),
            (1, "1ns"),
            (1_500, "1.5µs"),
            (300_000_000, "300ms"),
            (1_500_000_000, "1.5s"),
            (90_000_000_000, "1m30s"),
            (3_600_000_000_000, "1h0m0s"),
        ] {
            assert_eq!(go_duration(nanoseconds), text);
        }
    }
}
