//! What somebody who misspelt a word may have meant.

/// The candidate nearest to `word`, if fewer than three changes lead from one to the other
/// (case does not count). Of several as near, one with the same letters in another order, else the
/// first.
pub fn suggest<'a>(word: &str, candidates: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    let word = word.to_lowercase();
    let rank = |candidate: &str| {
        let candidate = candidate.to_lowercase();
        (distance(&word, &candidate), letters(&word) != letters(&candidate))
    };
    candidates
        .into_iter()
        .map(|candidate| (rank(candidate), candidate))
        .filter(|((distance, _), _)| *distance < 3)
        .min_by_key(|(rank, _)| *rank)
        .map(|(_, candidate)| candidate)
}

fn letters(word: &str) -> Vec<char> {
    let mut letters: Vec<char> = word.chars().collect();
    letters.sort_unstable();
    letters
}

/// Levenshtein's.
fn distance(a: &str, b: &str) -> usize {
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
            ("run", Some("RUN")),
            ("CPOY", Some("COPY")),
            ("FORM", Some("FROM")),
            ("ENTRYPIONT", Some("ENTRYPOINT")),
            ("HELLO", None),
            ("", None),
        ] {
            assert_eq!(suggest(word, words), expected, "{word}");
        }
        assert_eq!(suggest("chwon", ["chmod", "chown"]), Some("chown"));
    }
}
