//! Any bytes as a Dockerfile, and its lines as everything that the language has: nothing panics,
//! and what is read is consistent.
#![no_main]

use libfuzzer_sys::fuzz_target;

// The room alone: it needs no other, and is built in seconds.
#[allow(dead_code, unused_imports)]
#[path = "../../../src/dockerfile/mod.rs"]
mod dockerfile;

use dockerfile::{Device, Expander, GitRef, Glob, Ignore, Mode, Mount, Word, lint, value};

fuzz_target!(|data: &[u8]| {
    let text = String::from_utf8_lossy(data);
    file(&text);
    let lookup = |name: &str| (name.len() % 2 == 1).then(|| text.chars().rev().take(40).collect());
    for escape in ['\\', '`'] {
        let expander = Expander::new(escape, &lookup);
        for line in text.lines() {
            let (word, words) = (expander.text(line), expander.words(&Word::new(line)));
            assert_eq!(word.is_ok(), words.is_ok(), "{line:?}");
            drop((expander.body(line), expander.uses(line), expander.uses_of_body(line)));
            drop((Mount::parse(line, &expander), Mount::from(line), Device::parse(line)));
        }
    }
    let lines: Vec<&str> = text.lines().collect();
    for pair in lines.windows(2) {
        patterns(pair[0], pair[1]);
    }
    for line in lines {
        drop((GitRef::parse(line), value::duration(line), value::size(line), value::ulimit(line)));
        drop((value::stop_signal(line), lint::Settings::parse(line), lint::is_secret(line)));
        if let Ok(mode) = Mode::parse(line) {
            assert!(mode.apply(0o644, true) <= 0o7777);
        }
        // Ranges are as long as they are.
        if !line.contains('-') {
            drop(value::expose(&[line.to_owned()]));
        }
    }
    drop(Ignore::parse(&text));
});

fn file(text: &str) {
    let (syntax, read) = dockerfile::read(text);
    let (file, parsed) = dockerfile::parse(text);
    for diagnostic in read.iter().chain(&parsed) {
        assert!(text.get(diagnostic.span.bytes()).is_some(), "{diagnostic:?}");
    }
    let mut last = 0;
    for node in &syntax.nodes {
        assert!(text.get(node.span.bytes()).is_some() && node.span.line > last, "{:?}", node.span);
        assert!(node.span.line <= node.span.end_line);
        last = node.span.end_line;
    }
    drop(lint::filter(lint::syntax(&syntax), &syntax, &lint::Settings::default()));
    let steps = file.stages.iter().flat_map(|stage| &stage.steps);
    for step in steps {
        match &step.value {
            dockerfile::Instruction::Run(run) => drop(run.script()),
            dockerfile::Instruction::Onbuild(onbuild) => {
                drop(dockerfile::parse_trigger(&onbuild.trigger));
            }
            _ => {}
        }
    }
}

/// A directory that is not read has nothing in it that is wanted.
fn patterns(pattern: &str, path: &str) {
    if let Ok(glob) = Glob::new(pattern) {
        let _ = glob.matches(path);
    }
    let Ok(ignore) = Ignore::new([pattern, "!x"]) else { return };
    if !ignore.is_ignored(path) {
        for (at, _) in path.match_indices('/') {
            let above = &path[..at];
            let is_read = !ignore.is_ignored(above) || ignore.may_reinclude_below(above);
            assert!(is_read, "{pattern:?} {path:?} {above:?}");
        }
    }
}
