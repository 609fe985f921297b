//! How long the Dockerfile language takes: `cargo bench --bench language`. Fails when a file of 1,000
//! lines is not read in 5 ms, or when a hostile text takes out of proportion long.

#![allow(clippy::print_stdout)] // a bench talks

use std::hint::black_box;
use std::time::{Duration, Instant};

use bryo::dockerfile::{Expander, Glob, Ignore, Mount, lint, parse, read};

/// A long file as people write them.
fn ordinary(lines: usize) -> String {
    const BLOCK: &str = "# what follows\n\
        ARG VERSION=1.2.3\n\
        ENV PATH=/opt/bin:$PATH LANG=\"C.UTF-8\" OPTIONS='a b c'\n\
        LABEL org.example.version=\"${VERSION:-0}\" org.example.name=name\n\
        COPY --from=base --chown=1000:1000 src/ include/ /work/\n\
        RUN --mount=type=cache,target=/var/cache/apt apt-get update && \\\n    \
            apt-get install -y --no-install-recommends \\\n    \
            # a comment between\n    \
            build-essential ca-certificates curl git && \\\n    \
            rm -rf /var/lib/apt/lists/*\n\
        RUN <<EOF\n\
        set -e\n\
        make all\n\
        EOF\n\
        WORKDIR /work\n\
        EXPOSE 80 443/tcp\n\
        CMD [\"/usr/bin/program\", \"--flag\", \"value\"]\n";
    let block: Vec<&str> = BLOCK.lines().collect();
    let body = block.iter().cycle().take(lines / block.len() * block.len());
    let mut text = "FROM scratch AS base\n".to_owned();
    body.for_each(|line| text += &format!("{line}\n"));
    text
}

/// The median of several runs.
fn time(name: &str, limit: Duration, mut work: impl FnMut()) -> bool {
    let mut times: Vec<Duration> = (0..9)
        .map(|_| {
            let start = Instant::now();
            work();
            start.elapsed()
        })
        .collect();
    times.sort();
    let median = times[times.len() / 2];
    let verdict = if median <= limit { "ok" } else { "TOO SLOW" };
    println!("{name:44} {median:>12.1?}   (limit {limit:?}) {verdict}");
    median <= limit
}

fn main() {
    let ms = Duration::from_millis;
    let environment = |name: &str| (name.len() < 4).then(|| "a value".to_owned());
    let expander = Expander::new('\\', &environment);
    let file = ordinary(1000);
    let mut fast = vec![
        time("parse 1,000 lines", ms(5), || drop(black_box(parse(&file)))),
        time("lint the syntax of 1,000 lines", ms(5), || {
            black_box(lint::syntax(&read(&file).0));
        }),
        time("expand 1,000 words", ms(20), || {
            for _ in 0..1000 {
                drop(black_box(expander.text("/opt/${A:-${B}}/\"$C x\"/${D%.*}/${E//a/b}")));
            }
        }),
    ];
    let megabyte = 1_000_000;
    let hostile: [(&str, String); 12] = [
        ("ONBUILD ONBUILD …", "ONBUILD ".repeat(megabyte / 8)),
        ("a line of 1 MB", format!("RUN {}", "x y ".repeat(megabyte / 4))),
        ("1 MB of continuations", format!("RUN a{}", "\\\n".repeat(megabyte / 2))),
        ("1 MB of comments in a continuation", format!("RUN a\\\n{}", "#\n".repeat(megabyte / 2))),
        (
            "100,000 here-documents in a line",
            format!("RUN {}\n{}", "<<E ".repeat(100_000), "E\n".repeat(100_000)),
        ),
        ("100,000 here-documents without an end", format!("RUN {}\n", "<<E ".repeat(100_000))),
        ("100,000 lines with one each", "RUN <<E\nx\nE\n".repeat(100_000)),
        ("1 MB of [", format!("CMD {}", "[".repeat(megabyte))),
        ("1 MB of quotation marks", format!("ENV {}", "\"'".repeat(megabyte / 2))),
        ("1 MB of flags", format!("COPY {}", "--a ".repeat(megabyte / 4))),
        ("1 MB of pairs", format!("ENV {}", "a=b ".repeat(megabyte / 4))),
        ("1 MB of NUL", "\0".repeat(megabyte)),
    ];
    for (name, text) in &hostile {
        let text = format!("FROM a\n{text}");
        fast.push(time(name, ms(3000), || {
            black_box(lint::syntax(&read(&text).0));
            drop(black_box(parse(&text)));
        }));
    }
    let words: [(&str, String); 7] = [
        ("${a:-${a:-…", "${a:-".repeat(100_000)),
        ("1 MB of variables", "$a".repeat(megabyte / 2)),
        ("1 MB of quotation marks", "\"'".repeat(megabyte / 2)),
        ("a long pattern", format!("${{a%%{}b}}", "*a".repeat(50_000))),
        ("a long replacement", format!("${{a//{}/b}}", "?".repeat(100_000))),
        ("1 MB of <<", "<<".repeat(megabyte / 2)),
        ("1 MB of blanks", " ".repeat(megabyte)),
    ];
    for (name, text) in &words {
        fast.push(time(&format!("expand: {name}"), ms(3000), || {
            drop(black_box((expander.text(text), expander.body(text), expander.uses(text))));
        }));
    }
    let value = "a".repeat(5_000);
    let same = |_: &str| Some(value.clone());
    let pattern = format!("${{a##{}b}}", "*a".repeat(500));
    fast.push(time("expand: *a*a*a…b against aaa…", ms(3000), || {
        drop(black_box(Expander::new('\\', &same).text(&pattern)));
    }));
    let path = format!("{}a", "a/".repeat(1_000));
    for pattern in ["**/".repeat(300) + "b", "*a".repeat(300) + "b", "**".repeat(300) + "b"] {
        fast.push(time(&format!("ignore: {pattern:.12}… a/a/a/…"), ms(3000), || {
            let ignore = Ignore::new([&pattern]).expect("a pattern");
            black_box((ignore.is_ignored(&path), ignore.may_reinclude_below(&path)));
        }));
    }
    let names = "a".repeat(5_000);
    fast.push(time("glob: *a*a*a…b against aaa…", ms(3000), || {
        black_box(Glob::new(&("*a".repeat(500) + "b")).expect("a pattern").matches(&names));
    }));
    fast.push(time("mount: 1 MB of commas", ms(3000), || {
        drop(black_box(Mount::parse(&",".repeat(megabyte), &expander)));
    }));
    assert!(!fast.contains(&false), "something is too slow");
}
