//! [`Lines`]: what a command writes, cut into whole lines.

use crate::report::Outcome;

/// The beginning of a line whose end has not come yet.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pending: Vec<u8>,
}

/// A line without an end is shown after that many bytes.
const LONGEST: usize = 16 * 1024;

impl Lines {
    /// Adds bytes and hands out the lines that are whole now.
    pub(crate) fn push(&mut self, bytes: &[u8], mut line: impl FnMut(&str)) {
        self.pending.extend_from_slice(bytes);
        let mut from = 0;
        while let Some(end) = self.pending[from..].iter().position(|b| *b == b'\n') {
            line(&visible(&self.pending[from..from + end]));
            from += end + 1;
        }
        self.pending.drain(..from);
        if self.pending.len() > LONGEST {
            self.finish(line);
        }
    }

    /// Hands out what came after the last line's end.
    pub(crate) fn finish(&mut self, mut line: impl FnMut(&str)) {
        let pending = std::mem::take(&mut self.pending);
        if !pending.is_empty() {
            line(&visible(&pending));
        }
    }
}

/// What a terminal would show in the end: a program's own progress overwrites itself with `\r`.
fn visible(line: &[u8]) -> String {
    let last = line.split(|b| *b == b'\r').rfind(|part| !part.is_empty()).unwrap_or_default();
    String::from_utf8_lossy(last).into_owned()
}

/// How the lines of an activity begin: its number (`[2/5]`) if its title has one.
pub(crate) fn prefix(title: &str) -> &str {
    match title.find(']') {
        Some(end) if title.starts_with('[') => &title[..=end],
        _ => " |",
    }
}

/// A title with a mark behind its number that says how it ended, as of ch-image: `*` from the
/// cache, `.` done; `!` failed.
pub(crate) fn marked(title: &str, outcome: Outcome) -> String {
    let number = prefix(title);
    if !number.starts_with('[') {
        return title.to_owned();
    }
    let mark = match outcome {
        Outcome::Done => '.',
        Outcome::Cached => '*',
        Outcome::Failed => '!',
        Outcome::Cancelled => ' ',
    };
    format!("{number}{mark}{}", &title[number.len()..])
}

/// A title in one line of bearable length: a RUN can be a whole script.
pub(crate) fn title(text: &str) -> String {
    const WIDTH: usize = 120;
    let line = text.split_whitespace().collect::<Vec<_>>().join(" ");
    match line.char_indices().nth(WIDTH) {
        Some((end, _)) => format!("{}…", &line[..end]),
        None => line,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_cut_where_they_end() {
        let mut lines = Lines::default();
        let mut seen = Vec::new();
        for piece in ["a", "b\nc\r\n", "10%\r20%\rall", "\n\n", "end"] {
            lines.push(piece.as_bytes(), |line| seen.push(line.to_owned()));
        }
        assert_eq!(seen, ["ab", "c", "all", ""]);
        lines.finish(|line| seen.push(line.to_owned()));
        lines.finish(|line| seen.push(line.to_owned()));
        assert_eq!(seen[4..], ["end"]);
    }

    #[test]
    fn an_endless_line_does_not_fill_the_memory() {
        let mut lines = Lines::default();
        let mut seen = 0;
        for _ in 0..100 {
            lines.push(&[b'x'; 1024], |line| seen += line.len());
        }
        assert!(seen > 80 * 1024 && lines.pending.len() <= LONGEST, "{seen}");
    }

    #[test]
    fn titles_are_one_line() {
        assert_eq!(title("[1/2] RUN a \\\n   b"), "[1/2] RUN a \\ b");
        assert_eq!(title(&"é ".repeat(100)).chars().count(), 121);
    }

    #[test]
    fn steps_are_told_apart() {
        assert_eq!(prefix("[build 2/5] RUN x [y]"), "[build 2/5]");
        assert_eq!(prefix("layer [x]"), " |");
        for (title, outcome, expected) in [
            ("[2/5] RUN x [y]", Outcome::Cached, "[2/5]* RUN x [y]"),
            ("[build 2/5] RUN x", Outcome::Done, "[build 2/5]. RUN x"),
            ("[1/1]", Outcome::Failed, "[1/1]!"),
            ("layer [x]", Outcome::Done, "layer [x]"),
        ] {
            assert_eq!(marked(title, outcome), expected);
        }
    }
}
