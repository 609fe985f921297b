//! What somebody who misspelt a word may have meant.

/// The candidate nearest to `word`, if fewer than three changes lead from one to the other. Of
/// several as near, one with the same letters in another order, else the first. `None` for a word
/// that is a candidate itself.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let own_letters = letters(word);
    candidates
        .into_iter()
        .map(|candidate| (distance(word, candidate), candidate))
        .filter(|(distance, _)| *distance < 3)
        .min_by_key(|(distance, candidate)| (*distance, own_letters != letters(candidate)))
        .filter(|(distance, _)| *distance > 0)
        .map(|(_, candidate)| candidate)
}

/// [`suggest`] for keywords, which are in capitals here and in whatever case there: the answer is
/// in that of the word.
pub(super) fn suggest_keyword(word: &str, candidates: &[&str]) -> Option<String> {
    let found = suggest(&word.to_uppercase(), candidates.iter().copied())?;
    Some(if word == word.to_uppercase() { found.to_owned() } else { found.to_lowercase() })
}

fn letters(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
}

/// Levenshtein's, or more than anybody cares for.
fn distance(a: &str, b: &str) -> usize {
    // A character has up to four bytes.
    if a.len() > 4 * (b.len() + 3) || b.len() > 4 * (a.len() + 3) {
        return usize::MAX;
    }
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let changed = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(diagonal + 1).min(row[j] + 1);
        }
    }
    row[b.len()]
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn suggests_what_is_near() {
        let words = ["RUN", "COPY", "FROM", "ENTRYPOINT"];
        for (word, expected) in [
            ("RUNN", Some("RUN")),
            ("RUN", None),
            ("run", None),
            ("CPOY", Some("COPY")),
            ("FORM", Some("FROM")),
            ("ENTRYPIONT", Some("ENTRYPOINT")),
            ("HELLO", None),
            ("", None),
        ] {
            assert_eq!(suggest(word, words), expected, "{word}");
        }
        assert_eq!(suggest("chwon", ["chmod", "chown"]), Some("chown"));
        for (word, expected) in
            [("RNU", Some("RUN")), ("frmo", Some("from")), ("Cpy", Some("copy"))]
        {
            assert_eq!(suggest_keyword(word, &words).as_deref(), expected, "{word}");
        }
    }
}
