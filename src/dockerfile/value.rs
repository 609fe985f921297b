//! Values that can only be judged once variables are expanded.

use core::net::IpAddr; // a value: nothing here speaks to a network

use super::Error;

/// Ports of EXPOSE to `port/proto`, as often as they are named and in that order: `80`, `80/TCP`,
/// `80-82`; `[IP:][HOST:]CONTAINER` must make sense as a whole, but only the last part counts.
pub fn expose(words: &[String]) -> Result<Vec<String>, Error> {
    let mut ports = Vec::new();
    for word in words {
        let (before, container) = word.rsplit_once(':').unwrap_or(("", word));
        let (address, host) = before.rsplit_once(':').unwrap_or(("", before));
        let (container, protocol) = container.split_once('/').unwrap_or((container, ""));
        let wrong = |why| Error::PortOf { word: word.clone(), why };
        if container.is_empty() {
            return Err(wrong("no port specified".to_owned()));
        }
        let protocol = match protocol.to_lowercase().as_str() {
            "" | "tcp" => "tcp",
            "udp" => "udp",
            "sctp" => "sctp",
            _ => return Err(wrong(format!("invalid proto: {protocol}"))),
        };
        let bare = address.strip_prefix('[').and_then(|rest| rest.strip_suffix(']'));
        if !address.is_empty() && bare.unwrap_or(address).parse::<IpAddr>().is_err() {
            return Err(Error::Address(address.to_owned()));
        }
        let (from, to) = port_range(container).ok_or_else(|| Error::Port(container.to_owned()))?;
        if !host.is_empty() {
            let (first, last) = port_range(host).ok_or_else(|| Error::HostPort(host.to_owned()))?;
            // Several of the host's may stand for one of the container's.
            if to != from && to - from != last - first {
                return Err(Error::PortRanges(container.to_owned(), host.to_owned()));
            }
        }
        ports.extend((from..=to).map(|port| format!("{port}/{protocol}")));
    }
    Ok(ports)
}

/// `80` or `80-82`.
fn port_range(text: &str) -> Option<(u16, u16)> {
    let (from, to) = text.split_once('-').unwrap_or((text, text));
    let (from, to) = (from.parse().ok()?, to.parse().ok()?);
    (from <= to).then_some((from, to))
}

/// Linux's, in the order of their numbers.
const SIGNALS: &str = "HUP INT QUIT ILL TRAP ABRT BUS FPE KILL USR1 SEGV USR2 PIPE ALRM TERM STKFLT \
                       CHLD CONT STOP TSTP TTIN TTOU URG XCPU XFSZ VTALRM PROF WINCH IO PWR SYS \
                       IOT CLD POLL UNUSED";

/// Checks a STOPSIGNAL, which the image's configuration keeps as it was written: a number other
/// than 0, or a name with or without `SIG`.
pub fn stop_signal(text: &str) -> Result<(), Error> {
    let upper = text.to_ascii_uppercase();
    let name = upper.strip_prefix("SIG").unwrap_or(&upper);
    let real_time = |name: &str| match name.strip_prefix("RTMIN").or(name.strip_prefix("RTMAX")) {
        Some("") => true,
        Some(offset) => {
            let sign = if name.starts_with("RTMIN") { '+' } else { '-' };
            let number = offset.strip_prefix(sign).and_then(|digits| digits.parse::<u8>().ok());
            number.is_some_and(|number| (1..=15).contains(&number))
        }
        None => false,
    };
    let known = match text.parse::<i64>() {
        Ok(number) => number != 0,
        Err(_) => SIGNALS.split_whitespace().any(|known| known == name) || real_time(name),
    };
    if known { Ok(()) } else { Err(Error::Signal(text.to_owned())) }
}

/// A Go duration (`1h30m`, `1.5s`, `-100ms`) in nanoseconds.
pub fn duration(text: &str) -> Result<i64, Error> {
    let wrong = || Error::Duration(text.to_owned());
    let (negative, mut rest) = match text.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, text.strip_prefix('+').unwrap_or(text)),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(wrong());
    }
    let mut total = 0_f64;
    while !rest.is_empty() {
        let number = rest.find(|char: char| !char.is_ascii_digit() && char != '.');
        let (number, after) = rest.split_at(number.ok_or_else(wrong)?);
        let unit = after.find(|char: char| char.is_ascii_digit() || char == '.');
        let (unit, after) = after.split_at(unit.unwrap_or(after.len()));
        let scale = match unit {
            "ns" => 1.0,
            "us" | "µs" | "μs" => 1e3,
            "ms" => 1e6,
            "s" => 1e9,
            "m" => 60e9,
            "h" => 3600e9,
            _ => return Err(wrong()),
        };
        total += number.parse::<f64>().map_err(|_| wrong())? * scale;
        rest = after;
    }
    // 2^63 ns: 292 years.
    if total >= 9.2e18 {
        return Err(wrong());
    }
    #[expect(clippy::cast_possible_truncation, reason = "bounded above")]
    let nanoseconds = total.round() as i64;
    Ok(if negative { -nanoseconds } else { nanoseconds })
}

/// A size in bytes: `64m`, `1.5GiB`, `100 kb`; all units are powers of 1024.
pub fn size(text: &str) -> Result<u64, Error> {
    size_in(text, 1024.0)
}

/// A size in bytes whose units are powers of 1000: `64MB` is 64,000,000.
pub fn decimal_size(text: &str) -> Result<u64, Error> {
    size_in(text, 1000.0)
}

/// `NAME=SOFT[:HARD]`, as `--ulimit` takes it; -1 is no limit. Without a hard limit it is the soft
/// one.
pub fn ulimit(text: &str) -> Result<(String, i64, i64), Error> {
    const NAMES: &str = "core cpu data fsize locks memlock msgqueue nice nofile nproc rss rtprio \
                         rttime sigpending stack";
    let wrong = || Error::Limit(text.to_owned());
    let (name, limits) = text.split_once('=').ok_or_else(wrong)?;
    if !NAMES.split_whitespace().any(|known| known == name) {
        return Err(wrong());
    }
    let (soft, hard) = limits.split_once(':').unwrap_or((limits, limits));
    let soft = soft.parse().map_err(|_| wrong())?;
    let hard: i64 = hard.parse().map_err(|_| wrong())?;
    let is_above = hard != -1 && (soft == -1 || soft > hard);
    if is_above { Err(wrong()) } else { Ok((name.to_owned(), soft, hard)) }
}

/// The number is what ends with the last digit, point or blank.
fn size_in(text: &str, unit_step: f64) -> Result<u64, Error> {
    let wrong = || Error::Size(text.to_owned());
    let digit = |char: char| char.is_ascii_digit() || matches!(char, '.' | ' ');
    let end = text.rfind(digit).ok_or_else(wrong)?;
    let number = if text[end..].starts_with(' ') { &text[..end] } else { &text[..=end] };
    let size = number.parse::<f64>().ok().filter(|size| size.is_finite() && *size >= 0.0);
    let suffix = text[end + 1..].to_lowercase();
    let power = match suffix.as_str() {
        "" | "b" => 0,
        "k" | "kb" | "kib" => 1,
        "m" | "mb" | "mib" => 2,
        "g" | "gb" | "gib" => 3,
        "t" | "tb" | "tib" => 4,
        "p" | "pb" | "pib" => 5,
        _ => return Err(Error::SizeSuffix(suffix)),
    };
    let bytes = size.ok_or_else(wrong)? * unit_step.powi(power);
    #[expect(clippy::cast_possible_truncation, clippy::cast_sign_loss, reason = "it saturates")]
    Ok(bytes as u64)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn reads_ports() {
        for (words, expected) in [
            (&["80"][..], &["80/tcp"][..]),
            (&["80/TCP", "53/udp", "80"], &["80/tcp", "53/udp", "80/tcp"]),
            (&["80-82"], &["80/tcp", "81/tcp", "82/tcp"]),
            (&["8080:80", "127.0.0.1:1:2/sctp"], &["80/tcp", "2/sctp"]),
            (&["80/"], &["80/tcp"]),
            (&["0"], &["0/tcp"]),
            (
                &["1-2:3", "[::1]:80:81/UDP", "::1:2:3", ":4", "::5"],
                &["3/tcp", "81/udp", "3/tcp", "4/tcp", "5/tcp"],
            ),
        ] {
            let words: Vec<String> = words.iter().map(ToString::to_string).collect();
            assert_eq!(expose(&words).expect("ports"), expected, "{words:?}");
        }
        for (word, error) in [
            ("80:", "invalid port: \"80:\": no port specified"),
            ("/tcp", "invalid port: \"/tcp\": no port specified"),
            ("a:80", "invalid hostPort: a"),
            ("1.2.3:1:80", "invalid IP address: 1.2.3"),
            ("[::x]::80", "invalid IP address: [::x]"),
            ("1-3:4-5", "invalid ranges specified for container and host Ports: 4-5 and 1-3"),
            ("80/tcp/udp", "invalid port: \"80/tcp/udp\": invalid proto: tcp/udp"),
            ("80-82-84", "invalid containerPort: 80-82-84"),
            ("foo", "invalid containerPort: foo"),
            ("65536", "invalid containerPort: 65536"),
            ("82-80", "invalid containerPort: 82-80"),
            ("", "invalid port: \"\": no port specified"),
            ("80/xyz", "invalid port: \"80/xyz\": invalid proto: xyz"),
        ] {
            let got = expose(&[word.to_owned()]).expect_err(word).to_string();
            assert_eq!(got, error);
        }
    }

    #[test]
    fn knows_signals() {
        for good in ["SIGTERM", "term", "9", "37", "SIGRTMIN+3", "RTMAX-14", "RTMIN", "sigkill"] {
            assert_eq!(stop_signal(good), Ok(()), "{good}");
        }
        for bad in ["", "0", "SIG", "SIGFOO", "RTMIN-1", "RTMIN+16", "SIGSIGTERM", "TERM "] {
            assert_eq!(stop_signal(bad), Err(Error::Signal(bad.to_owned())), "{bad}");
        }
    }

    #[test]
    fn reads_durations() {
        for (text, expected) in [
            ("0", 0),
            ("0s", 0),
            ("1ns", 1),
            ("5us", 5_000),
            ("5µs", 5_000),
            ("100ms", 100_000_000),
            ("1.5s", 1_500_000_000),
            (".5s", 500_000_000),
            ("1h30m", 5_400_000_000_000),
            ("1m30s", 90_000_000_000),
            ("-2s", -2_000_000_000),
            ("+2s", 2_000_000_000),
        ] {
            assert_eq!(duration(text), Ok(expected), "{text}");
        }
        for bad in ["", "s", "5", "5x", "1.2.3s", "-", ".s", "1s 2s", "99999999999h", "1e3s"] {
            assert!(duration(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn reads_sizes() {
        for (text, expected) in [
            ("32", 32),
            ("32b", 32),
            ("32k", 32 << 10),
            ("32 kB", 32 << 10),
            ("32KiB", 32 << 10),
            ("1.5G", 3 << 29),
            ("2TiB", 2 << 40),
            ("1e3", 1000),
            ("1.5e1k", 15 << 10),
            (".5k", 512),
            ("5.", 5),
            ("-0b", 0),
            ("+1", 1),
        ] {
            assert_eq!(size(text), Ok(expected), "{text}");
        }
        for bad in
            ["", "k", "-1", "1x", "1  k", "1.2.3", "1ki b", "1mi", "1kbb", "inf ", "nan b", " 1"]
        {
            assert!(size(bad).is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn reads_decimal_sizes_and_limits() {
        for (text, expected) in [("32k", 32_000), ("1.5GB", 1_500_000_000), ("7", 7)] {
            assert_eq!(decimal_size(text), Ok(expected), "{text}");
        }
        for (text, expected) in [
            ("nofile=1024:2048", Some(("nofile", 1024, 2048))),
            ("core=0", Some(("core", 0, 0))),
            ("nproc=-1", Some(("nproc", -1, -1))),
            ("nofile=9:-1", Some(("nofile", 9, -1))),
            ("nofile=2:1", None),
            ("nofile=-1:1", None),
            ("files=1", None),
            ("nofile", None),
            ("nofile=a", None),
            ("nofile=1:2:3", None),
        ] {
            let expected = expected.map(|(name, soft, hard)| (name.to_owned(), soft, hard));
            assert_eq!(ulimit(text).ok(), expected, "{text}");
        }
    }

    proptest! {
        #[test]
        fn never_panics(text in r"[0-9./:+hmsnuµkKiRTMINAX-]{0,12}") {
            drop((duration(&text), size(&text), stop_signal(&text)));
            drop(expose(&[text]));
        }
    }
}
