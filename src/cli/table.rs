//! [`Table`]: columns of text; and figures as people read them.

use std::borrow::Cow;
use std::fmt;

use crate::image::Timestamp;

/// Rows of cells, each column as wide as its widest cell.
#[derive(Debug)]
pub(crate) struct Table {
    rows: Vec<Vec<String>>,
}

impl Table {
    pub(crate) fn new(heads: &[&str]) -> Self {
        Self { rows: vec![heads.iter().map(|head| (*head).to_owned()).collect()] }
    }

    /// Cells may come from anybody, and stay in their line.
    pub(crate) fn row(&mut self, cells: Vec<String>) {
        let cells = cells.into_iter().map(|cell| {
            let changed = match plain(&cell) {
                Cow::Borrowed(_) => None,
                Cow::Owned(shown) => Some(shown),
            };
            changed.unwrap_or(cell)
        });
        self.rows.push(cells.collect());
    }
}

impl fmt::Display for Table {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let columns = self.rows.iter().map(Vec::len).max().unwrap_or(0);
        let width = |column: usize| {
            let cells = self.rows.iter().filter_map(|row| row.get(column));
            cells.map(|cell| cell.chars().count()).max().unwrap_or(0)
        };
        let widths: Vec<usize> = (0..columns).map(width).collect();
        for row in &self.rows {
            let mut line = String::new();
            for (cell, width) in row.iter().zip(&widths) {
                line.push_str(&format!("{cell:width$}   "));
            }
            writeln!(f, "{}", line.trim_end())?;
        }
        Ok(())
    }
}

/// Text of somebody else's that is to confuse no terminal, and nobody who reads it there.
pub(crate) fn plain(text: &str) -> Cow<'_, str> {
    let is_odd = |c: char| c.is_control() || turns(c);
    if !text.chars().any(is_odd) {
        return text.into();
    }
    let mut shown = String::new();
    for c in text.chars() {
        match is_odd(c) {
            true => shown.extend(c.escape_debug()),
            false => shown.push(c),
        }
    }
    shown.into()
}

/// Whether it turns the direction of what follows (UAX #9, explicit formatting).
fn turns(c: char) -> bool {
    matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A size in decimal units, as docker prints it.
pub(crate) fn bytes(size: u64) -> String {
    let mut size = size as f64;
    for unit in ["B", "kB", "MB", "GB"] {
        if size < 1000.0 {
            let digits = usize::from(size < 99.95 && unit != "B");
            return format!("{size:.digits$} {unit}");
        }
        size /= 1000.0;
    }
    format!("{size:.1} TB")
}

/// A text without the ends of its lines, cut to so many characters.
pub(crate) fn one_line(text: &str, width: usize) -> String {
    let text = text.split_whitespace().collect::<Vec<_>>().join(" ");
    if text.chars().count() <= width {
        return text;
    }
    let start: String = text.chars().take(width - 1).collect();
    format!("{start}…")
}

/// How long ago that was, in the largest unit that fits.
pub(crate) fn ago(then: Timestamp, now: Timestamp) -> String {
    const MINUTE: i64 = 60;
    const HOUR: i64 = 60 * MINUTE;
    const DAY: i64 = 24 * HOUR;
    let seconds = (now.seconds() - then.seconds()).max(0);
    // Up to which age, by which unit.
    let units = [
        (MINUTE, 1, "second"),
        (HOUR, MINUTE, "minute"),
        (DAY, HOUR, "hour"),
        (14 * DAY, DAY, "day"),
        (60 * DAY, 7 * DAY, "week"),
        (730 * DAY, 30 * DAY, "month"),
        (i64::MAX, 365 * DAY, "year"),
    ];
    let fits = units.into_iter().find(|(limit, ..)| seconds < *limit);
    let (_, length, unit) = fits.expect("the last limit is the largest number");
    let count = seconds / length;
    let plural = if count == 1 { "" } else { "s" };
    format!("{count} {unit}{plural} ago")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nobody_writes_to_the_terminal() {
        let mut table = Table::new(&["A", "B"]);
        table.row(vec!["\u{1b}[31mred\nx\"".to_owned(), "a\u{202e}b".to_owned()]);
        let text = table.to_string();
        assert_eq!(text, "A                   B\n\\u{1b}[31mred\\nx\"   a\\u{202e}b\n");
    }

    #[test]
    fn columns_line_up() {
        let mut table = Table::new(&["A", "LONG", "C"]);
        table.row(vec!["möre".into(), "x".into(), String::new()]);
        assert_eq!(table.to_string(), "A      LONG   C\nmöre   x\n");
    }

    #[test]
    fn long_texts_are_cut() {
        assert_eq!(one_line("a\n  b", 3), "a b");
        assert_eq!(one_line("äöüß", 3), "äö…");
    }

    #[test]
    fn sizes_and_times() {
        for (size, text) in [
            (0, "0 B"),
            (999, "999 B"),
            (1000, "1.0 kB"),
            (99_900, "99.9 kB"),
            (100_000, "100 kB"),
            (1_234_567, "1.2 MB"),
            (5_000_000_000, "5.0 GB"),
            (7_000_000_000_000, "7.0 TB"),
        ] {
            assert_eq!(bytes(size), text);
        }
        for (seconds, text) in [
            (-5, "0 seconds ago"),
            (1, "1 second ago"),
            (3600, "1 hour ago"),
            (86_400 * 13, "13 days ago"),
            (86_400 * 21, "3 weeks ago"),
            (86_400 * 400, "13 months ago"),
            (86_400 * 365 * 3, "3 years ago"),
        ] {
            let now = Timestamp::from_seconds(1_000_000_000);
            assert_eq!(ago(Timestamp::from_seconds(1_000_000_000 - seconds), now), text);
        }
    }
}
