//! Scripts, and where their commands stand.

use proptest::prelude::*;

use super::*;

fn insertion(command: &str, arguments: &[&str]) -> Insertion {
    let arguments = arguments.iter().map(|text| (*text).to_owned()).collect();
    Insertion { command: command.to_owned(), arguments, why: String::new() }
}

fn words(text: &str) -> Vec<String> {
    text.split(' ').map(str::to_owned).collect()
}

#[test]
fn a_command_is_mentioned_however_it_is_written() {
    let known = words("dnf apt-get");
    for (text, expected) in [
        ("dnf install x", Some("dnf")),
        ("true&&dnf install x", Some("dnf")),
        ("true && (dnf install x)", Some("dnf")),
        ("/usr/bin/apt-get update", Some("apt-get")),
        ("set -e;apt-get update", Some("apt-get")),
        ("sh -c 'apt-get update'", Some("apt-get")),
        ("x=$(apt-get --version)", Some("apt-get")),
        ("\"dnf\" install", Some("dnf")),
        ("a\\pt-get update", Some("apt-get")),
        ("ap\\\nt-get update", Some("apt-get")),
        ("a\ndnf\n", Some("dnf")),
        // Not worth telling apart: fakeroot does no harm there.
        ("echo dnf", Some("dnf")),
        ("dnf-makecache", None),
        ("apt-get2 x", None),
        ("/opt/dnf.d/x", None),
        ("libdnf", None),
        ("", None),
    ] {
        assert_eq!(mentioned(text, &known), expected, "{text}");
    }
}

#[test]
fn arguments_are_inserted_after_commands() {
    let insertions =
        [insertion("apt-get", &["-o", "A::B=root"]), insertion("foo", &["a b", "it's"])];
    for (text, expected) in [
        ("apt-get update", "apt-get+ update"),
        ("apt-get", "apt-get+"),
        ("true&&apt-get update", "true&&apt-get+ update"),
        ("apt-get update && apt-get install -y x", "apt-get+ update && apt-get+ install -y x"),
        ("set -eux; apt-get update;", "set -eux; apt-get+ update;"),
        ("/usr/bin/apt-get x", "/usr/bin/apt-get+ x"),
        ("'apt-get' x; \"apt-get\" x", "'apt-get'+ x; \"apt-get\"+ x"),
        ("a\\pt-get x", "a\\pt-get+ x"),
        ("apt-get \\\n  update", "apt-get+ \\\n  update"),
        ("A=1 B='x y' apt-get x", "A=1 B='x y' apt-get+ x"),
        ("if apt-get x; then apt-get y; fi", "if apt-get+ x; then apt-get+ y; fi"),
        ("for p in apt-get b; do apt-get $p; done", "for p in apt-get b; do apt-get+ $p; done"),
        ("case $x in apt-get) apt-get x;; esac", "case $x in apt-get) apt-get+ x;; esac"),
        ("case $x in\napt-get) apt-get x\nesac", "case $x in\napt-get) apt-get+ x\nesac"),
        ("(apt-get x) & { apt-get y; }", "(apt-get+ x) & { apt-get+ y; }"),
        ("(apt-get)", "(apt-get+)"),
        ("! apt-get x || apt-get y | apt-get z", "! apt-get+ x || apt-get+ y | apt-get+ z"),
        ("f() { apt-get x; }; f", "f() { apt-get+ x; }; f"),
        ("sudo -E apt-get x", "sudo -E apt-get+ x"),
        ("sudo -u root A=1 apt-get x", "sudo -u root A=1 apt-get+ x"),
        ("env A=1 apt-get x", "env A=1 apt-get+ x"),
        ("timeout -k 5 5m apt-get x", "timeout -k 5 5m apt-get+ x"),
        ("xargs -n 1 apt-get install", "xargs -n 1 apt-get+ install"),
        ("exec nice -n 5 apt-get x", "exec nice -n 5 apt-get+ x"),
        ("2>&1 apt-get x > log 2>&1", "2>&1 apt-get+ x > log 2>&1"),
        ("> apt-get apt-get x", "> apt-get apt-get+ x"),
        ("x &> apt-get", "x &> apt-get"),
        ("x=$(apt-get x) y=`apt-get y`", "x=$(apt-get+ x) y=`apt-get+ y`"),
        ("echo \"$(apt-get x | foo)\"", "echo \"$(apt-get+ x | foo@)\""),
        ("echo ${x:-apt-get} $((1 * 2)); apt-get x", "echo ${x:-apt-get} $((1 * 2)); apt-get+ x"),
        ("diff <(apt-get x) y", "diff <(apt-get+ x) y"),
        ("sh -c 'apt-get x'", "sh -c 'apt-get+ x'"),
        ("bash -euo pipefail -c \"true; apt-get x\"", "bash -euo pipefail -c \"true; apt-get+ x\""),
        ("busybox sh -c 'apt-get x' apt-get", "busybox sh -c 'apt-get+ x' apt-get"),
        ("foo x", "foo@ x"),
        // Quotes within quotes would end them.
        ("sh -c 'foo x'", "sh -c 'foo x'"),
        ("sh -c \"x\"'apt-get x'", "sh -c \"x\"'apt-get x'"),
        ("cat <<EOF\napt-get x\nEOF\napt-get y", "cat <<EOF\napt-get x\nEOF\napt-get+ y"),
        (
            "cat <<-'E' && apt-get a\napt-get x\n\tE\napt-get y",
            "cat <<-'E' && apt-get+ a\napt-get x\n\tE\napt-get+ y",
        ),
        // None of these is the command.
        ("echo apt-get update", "echo apt-get update"),
        ("echo 'x; apt-get update'", "echo 'x; apt-get update'"),
        ("# apt-get\necho", "# apt-get\necho"),
        ("man apt-get | cat", "man apt-get | cat"),
        ("apt-get-x; xapt-get; apt-get.d", "apt-get-x; xapt-get; apt-get.d"),
        ("$APT apt-get", "$APT apt-get"),
        ("apt-get\"$x\" y", "apt-get\"$x\" y"),
        ("ls /usr/bin/apt-get", "ls /usr/bin/apt-get"),
        ("", ""),
    ] {
        let expected = expected.replace('+', " -o A::B=root").replace('@', " 'a b' 'it'\\''s'");
        assert_eq!(insert_in_script(text, &insertions), expected, "{text}");
    }
}

#[test]
fn arguments_are_inserted_into_lists_of_words() {
    let insertions = [insertion("apt-get", &["-o", "a b"])];
    for (argv, expected) in [
        (vec!["apt-get", "update"], vec!["apt-get", "-o", "a b", "update"]),
        (vec!["/usr/bin/apt-get"], vec!["/usr/bin/apt-get", "-o", "a b"]),
        (vec!["env", "A=1", "apt-get", "x"], vec!["env", "A=1", "apt-get", "-o", "a b", "x"]),
        (
            vec!["sh", "-c", "apt-get x; apt-get y"],
            vec!["sh", "-c", "apt-get -o 'a b' x; apt-get -o 'a b' y"],
        ),
        (
            vec!["/bin/bash", "-o", "pipefail", "-c", "apt-get x"],
            vec!["/bin/bash", "-o", "pipefail", "-c", "apt-get -o 'a b' x"],
        ),
        (vec!["echo", "apt-get"], vec!["echo", "apt-get"]),
        (vec!["sh", "script", "-c", "apt-get"], vec!["sh", "script", "-c", "apt-get"]),
        (vec!["if", "apt-get"], vec!["if", "apt-get"]),
        (vec![], vec![]),
    ] {
        let argv: Vec<String> = argv.into_iter().map(str::to_owned).collect();
        assert_eq!(insert_in_words(&argv, &insertions), expected, "{argv:?}");
    }
}

#[test]
fn scripts_of_shells_are_known() {
    for (content, expected) in [
        ("#!/bin/sh\nx", true),
        ("#! /usr/bin/env bash\nx", true),
        ("#!/usr/bin/env -S bash -e\nx", true),
        ("#!/usr/bin/python3\nx", false),
        ("#!/usr/bin/env python3\nx", false),
        ("apt-get x", true),
        ("", true),
    ] {
        assert_eq!(is_shell_script(content), expected, "{content}");
    }
}

proptest! {
    /// Whatever is written: nothing is lost, and there is an end.
    #[test]
    fn any_text_stays_but_for_what_is_inserted(
        pieces in proptest::collection::vec(
            prop::sample::select(vec![
                "apt-get", " ", "'", "\"", "\\", "$(", ")", "(", "`", "${", "}", "$((", "<<E", "\n",
                "E\n", ";", "&", ">", "|", "#", "x=", "sh", "-c", "é", "$",
            ]),
            0..40,
        )
    ) {
        let text = pieces.concat();
        let changed = insert_in_script(&text, &[insertion("apt-get", &["+"])]);
        prop_assert_eq!(changed.replace(" +", ""), text);
    }
}

#[test]
fn depth_has_an_end() {
    let text = "$(".repeat(100_000);
    assert_eq!(insert_in_script(&text, &[insertion("x", &["y"])]), text);
}
