//! The language as a whole: what files say, and what is said about bad ones.

use std::time::Duration;

use proptest::prelude::*;

use super::*;

/// The stages' instructions of a file that nothing is wrong with.
fn steps(text: &str) -> Vec<Instruction> {
    let (file, diagnostics) = parse(&format!("FROM base\n{text}"));
    let errors: Vec<_> = diagnostics.iter().filter(|d| d.is_error()).collect();
    assert!(errors.is_empty(), "{text}: {errors:?}");
    file.stages.into_iter().flat_map(|stage| stage.steps).map(|step| step.value).collect()
}

fn step(text: &str) -> Instruction {
    let mut steps = steps(text);
    assert_eq!(steps.len(), 1, "{text}");
    steps.remove(0)
}

fn word(text: &str) -> Word {
    Word::new(text)
}

fn words(texts: &[&str]) -> Vec<Word> {
    texts.iter().map(|text| word(text)).collect()
}

fn strings(texts: &[&str]) -> Vec<String> {
    texts.iter().map(ToString::to_string).collect()
}

/// `tests/data/dockerfile/errors.txt`: paragraphs of `message`, then the file, indented by `| `.
#[test]
fn says_what_is_wrong() {
    let cases = include_str!("../../tests/data/dockerfile/errors.txt");
    let mut count = 0;
    for case in cases.split("\n\n").filter(|case| !case.starts_with('#')) {
        let mut lines = case.trim_end().lines();
        let expected = lines.next().expect("a case has a message");
        let text: String =
            lines.map(|line| format!("{}\n", line.strip_prefix("| ").unwrap_or(line))).collect();
        let (_, diagnostics) = parse(&text);
        let errors: Vec<&str> =
            diagnostics.iter().filter(|d| d.is_error()).map(|d| d.message.as_str()).collect();
        assert_eq!(errors, [expected], "{text}");
        count += 1;
    }
    assert!(count > 60, "only {count} cases were found");
    for (text, expected) in [
        ("", "the Dockerfile cannot be empty"),
        ("\n", "file with no instructions"),
        ("# comment\n", "file with no instructions"),
        ("ARG a\n", "dockerfile contains no stages to build"),
    ] {
        let (_, diagnostics) = parse(text);
        assert_eq!(diagnostics.len(), 1, "{text:?}: {diagnostics:?}");
        assert_eq!(diagnostics[0].message, expected, "{text:?}");
    }
}

/// `tests/data/dockerfile/parsed.txt`
#[test]
fn files_are_read_as_by_the_reference() {
    fn tell(node: &Node, is_trigger: bool, told: &mut Vec<String>) {
        let flags: Vec<&str> = node.flags.iter().map(|(flag, _)| flag.as_str()).collect();
        let json =
            |list: &[&str]| serde_json::to_string(list).expect("a list").replace("\",\"", "\", \"");
        let arguments: Vec<&str> = node.arguments.iter().map(String::as_str).collect();
        let (flags, arguments) = (json(&flags), json(&arguments));
        let form = if node.form == Form::Exec { "exec" } else { "shell" };
        let place = match is_trigger {
            true => ">".to_owned(),
            false => format!("{}-{}", node.span.line, node.span.end_line),
        };
        told.push(format!("{place} {} {form} {flags} {arguments}", node.keyword.to_uppercase()));
        if let Some(trigger) = &node.trigger {
            tell(trigger, true, told);
        }
        for heredoc in node.heredocs.iter().filter(|_| !is_trigger) {
            told.push(format!(
                "<< {} {} {}{} {}",
                heredoc.name,
                heredoc.descriptor,
                if heredoc.strip_tabs { "-" } else { "=" },
                if heredoc.expand { "" } else { "'" },
                serde_json::to_string(&heredoc.content).expect("a text")
            ));
        }
    }
    let cases = include_str!("../../tests/data/dockerfile/parsed.txt");
    let mut count = 0;
    for case in cases.split("\n\n").filter(|case| !case.starts_with('#')) {
        let (mut told, mut text, mut expected) = (Vec::new(), String::new(), Vec::new());
        for line in case.lines() {
            match line.strip_prefix("| ") {
                Some(line) => text += &format!("{line}\n"),
                None => expected.push(line),
            }
        }
        let text = text.replace("\\r", "\r").replace("\\t", "\t").replace("\\f", "\u{feff}");
        let text = text.replace("\\c\n", "");
        read(&text).0.nodes.iter().for_each(|node| tell(node, false, &mut told));
        assert_eq!(told, expected, "{text}");
        count += 1;
    }
    assert!(count > 70, "only {count} cases were found");
}

#[test]
fn every_error_is_found() {
    let text = "FROM a b\nFROM base\nRUNN x\nRUN ok\nCOPY a\nENV x\n";
    let (file, diagnostics) = parse(text);
    let lines: Vec<usize> = diagnostics.iter().map(|d| d.span.line).collect();
    assert_eq!(lines, [1, 3, 5, 6]);
    assert_eq!(&text[diagnostics[1].span.bytes()], "RUNN");
    assert_eq!(file.stages[0].steps.len(), 1, "what is right is kept");
}

#[test]
fn errors_point_at_flags() {
    let text = "FROM base\nCOPY --from=a \\\n  --chwon=b c d\n";
    let (_, diagnostics) = parse(text);
    assert_eq!(&text[diagnostics[0].span.bytes()], "--chwon=b");
    assert_eq!(diagnostics[0].span.line, 3);
}

#[test]
fn stages_and_global_arguments() {
    let text = "# syntax=docker/dockerfile:1\nARG V=1 W\nFROM --platform=$P a:$V AS Build.1\n\
                RUN x\nFROM build.1\n\nfrom scratch as last\nCMD y\n";
    let (file, diagnostics) = parse(text);
    assert_eq!(diagnostics, []);
    let arguments = &file.arguments[0].value.arguments;
    assert_eq!(arguments[0], Argument { name: word("V"), default: Some(word("1")) });
    assert_eq!(arguments[1], Argument { name: word("W"), default: None });
    let stages: Vec<(&str, Option<&str>, usize)> = file
        .stages
        .iter()
        .map(|stage| {
            let from = &stage.from.value;
            (from.image.raw(), from.name.as_deref(), stage.steps.len())
        })
        .collect();
    assert_eq!(
        stages,
        [("a:$V", Some("build.1"), 1), ("build.1", None, 0), ("scratch", Some("last"), 1)]
    );
    assert_eq!(file.stages[0].from.value.platform, Some(word("$P")));
    assert_eq!(file.stages[2].steps[0].original, "CMD y");
    assert_eq!(file.stages[2].steps[0].span.line, 8);
}

#[test]
fn commands_have_two_forms() {
    let shell = |text: &str| Command::Shell(text.to_owned());
    for (text, expected) in [
        ("CMD a  b # c", shell("a  b # c")),
        ("CMD", shell("")),
        ("CMD [\"a\", \"b c\"]", Command::Exec(strings(&["a", "b c"]))),
        ("CMD []", Command::Exec(Vec::new())),
        ("cmd ['a']", shell("['a']")),
        ("CMD [\"a\" \"b\"]", shell("[\"a\" \"b\"]")),
        ("CMD [\"a\"] && b", shell("[\"a\"] && b")),
        ("CMD \"a\"", shell("\"a\"")),
        ("CMD -- a", shell("a")),
        ("CMD <<EOF", shell("<<EOF")),
    ] {
        assert_eq!(step(text), Instruction::Cmd(Cmd { command: expected }), "{text}");
    }
    let Instruction::Run(run) = step("RUN") else { panic!("not a RUN") };
    assert_eq!(run.command, shell(""));
    let shell = Instruction::Shell(Shell { command: strings(&["/bin/bash", "-c"]) });
    assert_eq!(step("SHELL [\"/bin/bash\", \"-c\"]"), shell);
}

#[test]
fn run_flags_are_typed() {
    let text = "RUN --mount=type=cache,target=/c --mount=target=$X --network=none \
                --security=insecure --device=a --device=b,required x";
    let Instruction::Run(run) = step(text) else { panic!("not a RUN") };
    assert_eq!(run.mounts, ["type=cache,target=/c", "target=$X"]);
    assert_eq!((run.network, run.security), (Network::None, Security::Insecure));
    let device = |name: &str, required| Device { name: name.to_owned(), required };
    assert_eq!(run.devices, [device("a", false), device("b", true)]);
    assert_eq!(run.command, Command::Shell("x".to_owned()));
}

#[test]
fn copy_and_add() {
    let text = "COPY --from=Base --chown=$U:g --chmod=755 --link --parents=TRUE --exclude=*.o \
                --exclude=!a a b\\ c \"d e\" $D/";
    let path = |text: &str| Source::Path(word(text));
    assert_eq!(
        step(text),
        Instruction::Copy(Copy {
            from: Some("Base".to_owned()),
            chown: Some(word("$U:g")),
            chmod: Some(word("755")),
            link: true,
            parents: true,
            exclude: strings(&["*.o", "!a"]),
            sources: ["a", "b\\", "c", "\"d", "e\""].map(path).to_vec(),
            destination: word("$D/"),
        })
    );
    let text =
        "ADD --keep-git-dir=false --unpack --checksum=sha256:0 --chown= [\"a b\", \"c\", \"d e/\"]";
    assert_eq!(
        step(text),
        Instruction::Add(Add {
            chown: None,
            chmod: None,
            checksum: Some(word("sha256:0")),
            link: false,
            exclude: Vec::new(),
            keep_git_dir: Some(false),
            unpack: Some(true),
            sources: ["a b", "c"].map(path).to_vec(),
            destination: word("d e/"),
        })
    );
}

#[test]
fn pairs_keep_their_quotes() {
    let pairs = |pairs: &[(&str, &str)]| {
        pairs.iter().map(|(key, value)| Pair { key: word(key), value: word(value) }).collect()
    };
    for (text, expected) in [
        (
            "a=1 b=\"2 3\" c=4\\ 5 d='6 7' e= f=$a",
            &[("a", "1"), ("b", "\"2 3\""), ("c", "4\\ 5"), ("d", "'6 7'"), ("e", ""), ("f", "$a")]
                [..],
        ),
        ("a  1 \"2\" 3=4", &[("a", "1 \"2\" 3=4")]),
        ("a\tb", &[("a", "b")]),
        ("a=b=c", &[("a", "b=c")]),
        ("a=1 \\\n # comment\n  b=2", &[("a", "1"), ("b", "2")]),
        ("\"a b\"=c", &[("\"a b\"", "c")]),
    ] {
        let got = steps(&format!("ENV {text}\nLABEL {text}"));
        assert_eq!(got[0], Instruction::Env(Env { pairs: pairs(expected) }), "{text}");
        assert_eq!(got[1], Instruction::Label(Label { pairs: pairs(expected) }), "{text}");
    }
}

#[test]
fn the_other_instructions() {
    for (text, expected) in [
        ("WORKDIR a b", Instruction::Workdir(Workdir { path: word("a b") })),
        ("USER  a:b ", Instruction::User(User { user: word("a:b") })),
        ("EXPOSE 80 $P/udp", Instruction::Expose(Expose { ports: words(&["$P/udp", "80"]) })),
        ("VOLUME /a b", Instruction::Volume(Volume { paths: words(&["/a", "b"]) })),
        ("VOLUME [\"/a b\"]", Instruction::Volume(Volume { paths: words(&["/a b"]) })),
        ("VOLUME [\"/a\"", Instruction::Volume(Volume { paths: words(&["[\"/a\""]) })),
        ("STOPSIGNAL $S", Instruction::StopSignal(StopSignal { signal: word("$S") })),
        ("MAINTAINER a <b>", Instruction::Maintainer(Maintainer { name: "a <b>".to_owned() })),
        (
            "ARG a",
            Instruction::Arg(Arg { arguments: vec![Argument { name: word("a"), default: None }] }),
        ),
        (
            "ARG a= b=\"c d\"",
            Instruction::Arg(Arg {
                arguments: vec![
                    Argument { name: word("a"), default: Some(word("")) },
                    Argument { name: word("b"), default: Some(word("\"c d\"")) },
                ],
            }),
        ),
        ("HEALTHCHECK none", Instruction::Healthcheck(Healthcheck::None)),
        (
            "HEALTHCHECK --interval=1m30s --timeout=0 --start-period=1.5s --retries=3 CMD a b",
            Instruction::Healthcheck(Healthcheck::Check(Check {
                command: Command::Shell("a b".to_owned()),
                interval: Some(Duration::from_secs(90)),
                timeout: None,
                start_period: Some(Duration::from_millis(1500)),
                start_interval: None,
                retries: 3,
            })),
        ),
    ] {
        assert_eq!(step(text), expected, "{text}");
    }
    let Instruction::Healthcheck(Healthcheck::Check(check)) = step("HEALTHCHECK CMD [\"a\"]")
    else {
        panic!("not a check");
    };
    assert_eq!(check.command, Command::Exec(strings(&["a"])));
}

#[test]
fn run_makes_scripts_of_heredocs() {
    let text = |text: &str| Script::Text(text.to_owned());
    for (file, expected) in [
        ("RUN a", text("a")),
        ("RUN <<EOF\na\n\tb $x\nEOF", text("a\n\tb $x\n")),
        ("RUN <<-EOF\n\ta\n\t\tb\n\tEOF", text("a\nb\n")),
        ("RUN << EOF\r\na\r\nEOF\r\n", text("a\r\n")),
        ("RUN 3<<'EOF'\na\nEOF", text("a\n")),
        ("RUN <<EOF cat >b\na\nEOF", text("<<EOF cat >b\na\nEOF")),
        ("RUN cat <<a <<-b\n1\na\n\t2\n\tb", text("cat <<a <<-b\n1\na\n\t2\nb")),
        ("RUN --network=none <<EOF\n# no comment\n\n\\\nEOF", text("# no comment\n\n\\\n")),
        (
            "RUN <<X\n#!/bin/x\ny\nX",
            Script::File { path: "/dev/pipes/X".to_owned(), content: "#!/bin/x\ny\n".to_owned() },
        ),
    ] {
        let Instruction::Run(run) = step(file) else { panic!("{file}: not a RUN") };
        assert_eq!(run.script(), Some(expected), "{file}");
    }
    let Instruction::Run(run) = step("RUN [\"<<EOF\"]") else { panic!("not a RUN") };
    assert_eq!((run.script(), run.heredocs), (None, Vec::new()));
}

#[test]
fn copy_takes_heredocs_as_files() {
    let Instruction::Copy(copy) = step("COPY <<a x <<-\"b\" /d/\n$1\na\n\t2\nb") else {
        panic!("not a COPY");
    };
    let [Source::Heredoc(a), Source::Path(x), Source::Heredoc(b)] = &copy.sources[..] else {
        panic!("{:?}", copy.sources);
    };
    assert_eq!((a.name.as_str(), a.text().as_str(), a.expand), ("a", "$1\n", true));
    assert_eq!(x.raw(), "x");
    assert_eq!((b.name.as_str(), b.text().as_str(), b.expand), ("b", "2\n", false));
    assert_eq!(steps("COPY <<a /d\nRUN x\na\nRUN y").len(), 2);
}

#[test]
fn spans_cover_heredocs() {
    let text = "FROM a\nRUN <<E\nx\nE\n\nRUN y\n";
    let (file, _) = parse(text);
    let steps = &file.stages[0].steps;
    assert_eq!(&text[steps[0].span.bytes()], "RUN <<E\nx\nE");
    assert_eq!((steps[0].span.line, steps[0].span.end_line, steps[1].span.line), (2, 4, 6));
    assert_eq!(steps[0].original, "RUN <<E");
}

#[test]
fn triggers_come_back() {
    for (text, trigger) in [
        ("ONBUILD RUN a  b", "RUN a  b"),
        ("onbuild   copy --chown=a \\\n b c", "copy --chown=a  b c"),
        ("ONBUILD RUN <<E\nx\nE", "RUN <<E\nx\nE"),
        ("ONBUILD COPY <<-E /d\n\tx\n\tE", "COPY <<-E /d\n\tx\nE"),
        ("ONBUILD CMD [\"a\"]", "CMD [\"a\"]"),
    ] {
        assert_eq!(step(text), Instruction::Onbuild(Onbuild { trigger: trigger.to_owned() }));
        let parsed = parse_trigger(trigger).expect(trigger);
        assert_eq!(parsed.value, step(trigger), "{trigger}");
    }
    for bad in ["", "FROM a", "ONBUILD RUN a", "RUNN a", "RUN a\nRUN b", "ENV a", "RUN <<E"] {
        assert!(parse_trigger(bad).is_err(), "{bad} was accepted");
    }
    let (_, diagnostics) = parse("FROM a\nONBUILD COPY a\n");
    let [warning] = &diagnostics[..] else { panic!("{diagnostics:?}") };
    assert!(!warning.is_error() && warning.message.contains("at least two arguments"));
}

#[test]
fn syntax_keeps_what_is_written() {
    let text = "FROM a\nENV a=\"b\" c='d e'\nLABEL x y z\nHEALTHCHECK --retries=1 CMD [\"a\"]\n\
                # check=skip=X\nFOO bar\nONBUILD ADD --link a b\nHEALTHCHECK\nARG a=\\ b\n";
    let (syntax, diagnostics) = read(text);
    assert_eq!(diagnostics, []);
    let arguments: Vec<Vec<String>> =
        syntax.nodes.iter().map(|node| node.arguments.clone()).collect();
    assert_eq!(arguments[1], ["a", "\"b\"", "=", "c", "'d e'", "="]);
    assert_eq!(arguments[2], ["x", "y z", ""]);
    assert_eq!(
        (&arguments[3][..], syntax.nodes[3].form),
        (&strings(&["CMD", "a"])[..], Form::Exec)
    );
    assert_eq!(syntax.nodes[3].flags[0].0, "--retries=1");
    assert_eq!((&syntax.nodes[4].keyword[..], arguments[4].len()), ("FOO", 0));
    assert_eq!(syntax.nodes[4].comments, ["check=skip=X"]);
    let trigger = syntax.nodes[5].trigger.as_ref().expect("a trigger");
    assert_eq!((&trigger.keyword[..], &trigger.arguments[..]), ("ADD", &strings(&["a", "b"])[..]));
    assert_eq!(trigger.flags[0].0, "--link");
    assert_eq!((arguments[6].len(), &arguments[7][0][..]), (0, "a=\\ b"));
}

#[test]
fn the_escape_directive_reaches_words() {
    let (file, diagnostics) = parse("# escape=`\nFROM a\nENV a=c:\\ b=d` e\nRUN x `\n y\n");
    assert_eq!(diagnostics, []);
    assert_eq!(file.directives.escape, '`');
    let Instruction::Env(env) = &file.stages[0].steps[0].value else { panic!("not an ENV") };
    assert_eq!(env.pairs[0].value, word("c:\\"));
    assert_eq!(env.pairs[1].value, word("d` e"));
    assert_eq!(file.stages[0].steps[1].original, "RUN x  y");
}

#[test]
fn endless_nesting_is_survived() {
    for text in ["ONBUILD ".repeat(50_000), "[".repeat(50_000), "\\\n".repeat(50_000)] {
        let (_, diagnostics) = parse(&format!("FROM a\nONBUILD {text}\nCMD {text}"));
        assert!(diagnostics.len() < 3);
    }
}

proptest! {
    /// What an instruction was on one line reads as the same instruction.
    #[test]
    fn reading_is_stable(
        keyword in "(RUN|CMD|COPY|ENV|LABEL|ARG|VOLUME|HEALTHCHECK|ONBUILD RUN|USER|FOO)",
        rest in r#"[a-c="'$\\\[\],# \t\n-]{0,30}"#,
    ) {
        for node in read(&format!("{keyword} {rest}\n")).0.nodes {
            let again = read(&node.original).0.nodes;
            prop_assert_eq!(again.len(), 1, "{:?}", &node.original);
            prop_assert_eq!((&again[0].arguments, again[0].form), (&node.arguments, node.form));
            let flags = |node: &Node| node.flags.iter().map(|(f, _)| f.clone()).collect::<Vec<_>>();
            prop_assert_eq!(flags(&again[0]), flags(&node));
        }
    }

    #[test]
    fn any_text_is_read(text in r"\PC{0,80}") {
        parse(&text);
        drop(parse_trigger(&text));
    }

    #[test]
    fn any_file_is_read(lines in prop::collection::vec(
        r#"(FROM|RUN|COPY|ADD|ENV|ARG|LABEL|ONBUILD|HEALTHCHECK|SHELL|EXPOSE|VOLUME|USER|#)? ?(--[a-z]{1,8}=?)?[a-c="'\\$\{\}\[\],<>E# \t-]{0,16}(\\|<<E|<<-'E' x|AS b)?"#,
        0..8,
    ), ending in "\r?\n") {
        let text = lines.join(&ending);
        let (file, diagnostics) = parse(&text);
        for diagnostic in &diagnostics {
            prop_assert!(text.get(diagnostic.span.bytes()).is_some(), "{diagnostic:?}");
        }
        for step in file.stages.iter().flat_map(|stage| &stage.steps) {
            prop_assert!(text.get(step.span.bytes()).is_some());
            prop_assert!(step.span.line <= step.span.end_line);
        }
    }
}
