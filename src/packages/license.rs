//! What a package says of its licenses, in the terms of SPDX where that can be: [`expression`].
//!
//! Databases have free text: SPDX expressions in new ones, names like `GPLv2+` joined by `and` in
//! old ones. What SPDX knows is kept, and anything else stands in the expression as a reference to
//! its own text (SPDX 2.3, annex D): so nothing that a package says is lost or guessed at.

use std::collections::{BTreeMap, HashMap};
use std::sync::OnceLock;

/// The identifiers of SPDX's lists of licenses and of exceptions to them (spdx.org/licenses),
/// deprecated ones too.
const LICENSES: &str = include_str!("licenses.txt");
const EXCEPTIONS: &str = include_str!("exceptions.txt");

/// The expression that a text means; None when it says nothing. Texts that SPDX does not know come
/// into `others`, by the references that the expression has for them.
pub fn expression(text: &str, others: &mut BTreeMap<String, String>) -> Option<String> {
    let text = super::said(text)?;
    let mut more = others.clone();
    match parse(&tokens(&text), &mut more) {
        Some(expression) => {
            *others = more;
            Some(expression)
        }
        None => Some(other(&text, others)),
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token<'t> {
    Open,
    Close,
    /// `AND` or `OR`.
    Operator(&'static str),
    Word(&'t str),
}

fn tokens(text: &str) -> Vec<Token<'_>> {
    let mut tokens = Vec::new();
    for word in text.split_whitespace() {
        let mut rest = word;
        while let Some(at) = rest.find(['(', ')']) {
            tokens.extend((at > 0).then(|| Token::Word(&rest[..at])));
            tokens.push(if rest[at..].starts_with('(') { Token::Open } else { Token::Close });
            rest = &rest[at + 1..];
        }
        if !rest.is_empty() {
            tokens.push(match rest {
                "AND" | "and" | "&" => Token::Operator("AND"),
                "OR" | "or" | "|" => Token::Operator("OR"),
                _ => Token::Word(rest),
            });
        }
    }
    tokens
}

/// Operands and operators in turn, with parentheses that match; None when it is not that.
fn parse(tokens: &[Token<'_>], others: &mut BTreeMap<String, String>) -> Option<String> {
    let mut text = String::new();
    let mut depth = 0_usize;
    let mut wants_operand = true;
    let mut left = tokens;
    while let Some((token, rest)) = left.split_first() {
        left = rest;
        match (token, wants_operand) {
            (Token::Open, true) => {
                depth += 1;
                text.push('(');
            }
            (Token::Word(first), true) => {
                let mut words = vec![*first];
                while let Some((Token::Word(word), rest)) = left.split_first() {
                    words.push(word);
                    left = rest;
                }
                text.push_str(&operand(&words, others));
                wants_operand = false;
            }
            (Token::Close, false) => {
                depth = depth.checked_sub(1)?;
                text.push(')');
            }
            (Token::Operator(operator), false) => {
                text.push_str(&format!(" {operator} "));
                wants_operand = true;
            }
            _ => return None,
        }
    }
    (depth == 0 && !wants_operand).then_some(text)
}

fn operand(words: &[&str], others: &mut BTreeMap<String, String>) -> String {
    let known = match words {
        [license] => known_license(license),
        [license, with, exception] if with.eq_ignore_ascii_case("with") => known_license(license)
            .zip(known(EXCEPTIONS, &EXCEPTION_IDS, exception))
            .map(|(license, exception)| format!("{license} WITH {exception}")),
        _ => None,
    };
    known.unwrap_or_else(|| other(&words.join(" "), others))
}

/// With a `+`: that version or a later one.
fn known_license(word: &str) -> Option<String> {
    let find = |word| known(LICENSES, &LICENSE_IDS, word);
    find(word).map(str::to_owned).or_else(|| Some(format!("{}+", find(word.strip_suffix('+')?)?)))
}

type Ids = OnceLock<HashMap<String, &'static str>>;

static LICENSE_IDS: Ids = OnceLock::new();
static EXCEPTION_IDS: Ids = OnceLock::new();

/// As the list spells it: case does not matter.
fn known(list: &'static str, ids: &'static Ids, word: &str) -> Option<&'static str> {
    let make = || list.split_whitespace().map(|id| (id.to_ascii_lowercase(), id)).collect();
    ids.get_or_init(make).get(&word.to_ascii_lowercase()).copied()
}

/// A reference to the text itself; may have letters, digits, points and hyphens only.
fn other(text: &str, others: &mut BTreeMap<String, String>) -> String {
    let plain = |c: char| if c.is_ascii_alphanumeric() || c == '.' { c } else { '-' };
    let name: String = text.replace('+', "-or-later").chars().map(plain).collect();
    let name = name.trim_matches('-');
    let base = format!("LicenseRef-{}", if name.is_empty() { "other" } else { name });
    let mut reference = base.clone();
    let mut number = 1;
    while others.get(&reference).is_some_and(|known| known != text) {
        number += 1;
        reference = format!("{base}-{number}");
    }
    others.insert(reference.clone(), text.to_owned());
    reference
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn what_packages_say_becomes_an_expression() {
        for (text, expected) in [
            ("MIT", "MIT"),
            ("mit and gpl-2.0-ONLY", "MIT AND GPL-2.0-only"),
            ("(MIT OR Apache-2.0) AND BSD-3-Clause", "(MIT OR Apache-2.0) AND BSD-3-Clause"),
            (
                "GPL-2.0-only with classpath-exception-2.0",
                "GPL-2.0-only WITH Classpath-exception-2.0",
            ),
            ("GPL-2.0+", "GPL-2.0+"),
            (
                "GPLv2+ and LGPLv2+ with exceptions",
                "LicenseRef-GPLv2-or-later AND LicenseRef-LGPLv2-or-later-with-exceptions",
            ),
            ("Public Domain or MIT", "LicenseRef-Public-Domain OR MIT"),
            ("GPL-2.0-only WITH nothing", "LicenseRef-GPL-2.0-only-WITH-nothing"),
            ("(MIT", "LicenseRef-MIT"),
            ("MIT)", "LicenseRef-MIT"),
            ("MIT AND", "LicenseRef-MIT-AND"),
            ("MIT (or so)", "LicenseRef-MIT--or-so"),
            ("???", "LicenseRef-other"),
        ] {
            let mut others = BTreeMap::new();
            let found = expression(text, &mut others).expect(text);
            assert_eq!(found, expected, "{text}");
            assert_eq!(others.len(), found.matches("LicenseRef-").count(), "{text}");
        }
        assert_eq!(expression("  ", &mut BTreeMap::new()), None);
    }

    #[test]
    fn texts_are_kept_apart() {
        let mut others = BTreeMap::new();
        let found = expression("A B and A-B and A B", &mut others).expect("something");
        assert_eq!(found, "LicenseRef-A-B AND LicenseRef-A-B-2 AND LicenseRef-A-B");
        assert_eq!(others["LicenseRef-A-B-2"], "A-B");
        // Of several packages, too.
        let found = expression("A+B", &mut others).expect("something");
        assert_eq!(others[&found], "A+B");
    }

    proptest! {
        #[test]
        fn no_text_is_too_odd(text in "\\PC{0,40}|[ ()ABandorWITH+-]{0,40}") {
            if let Some(found) = expression(&text, &mut BTreeMap::new()) {
                let allowed = |c: char| c.is_ascii_alphanumeric() || " ()+.-".contains(c);
                prop_assert!(found.chars().all(allowed), "{found}");
            }
        }
    }
}
