//! Here-documents: which words of a line open one, and what a RUN makes of them.

use super::expand::{Rules, expand};
use super::{Command, Heredoc, Run, Script};

/// The here-documents that an instruction's line opens, their bodies still empty.
pub(super) fn opened(line: &str) -> Vec<Heredoc> {
    let rules =
        Rules { keep_quotes: true, keep_escapes: true, keep_unset: true, ..Rules::default() };
    // A line whose quotes do not match is the shell's affair, and opens nothing.
    let words = expand(line, rules, &|_| None).map_or_else(|_| Vec::new(), |(_, words)| words);
    words.iter().filter_map(|word| open(word)).collect()
}

/// Whether a word opens a here-document: `<<EOF`, `<<-EOF`, `3<<'EOF'`.
pub(super) fn open(word: &str) -> Option<Heredoc> {
    let (descriptor, rest) = word.split_once("<<")?;
    if !descriptor.chars().all(|char| char.is_ascii_digit()) || rest.contains('<') {
        return None;
    }
    let (strip_tabs, rest) = match rest.strip_prefix('-') {
        Some(rest) => (true, rest),
        None => (false, rest),
    };
    let rest = rest.trim_start();
    let bare = Rules { keep_unset: true, ..Rules::default() };
    let quoted = Rules { keep_quotes: true, ..bare };
    let word = |rules| match expand(rest, rules, &|_| None).ok()?.1 {
        words if words.len() == 1 => words.into_iter().next(),
        _ => None,
    };
    let (name, with_quotes) = (word(bare)?, word(quoted)?);
    let descriptor = descriptor.parse().unwrap_or(0);
    // An escaped quote is in both.
    let expand = name == with_quotes;
    Some(Heredoc { name, content: String::new(), expand, strip_tabs, descriptor })
}

impl Heredoc {
    /// The body, without leading tabs if it was opened with `<<-`.
    pub fn text(&self) -> String {
        if !self.strip_tabs {
            return self.content.clone();
        }
        self.content.split_inclusive('\n').map(|line| line.trim_start_matches('\t')).collect()
    }
}

impl Run {
    /// The shell form with its here-documents resolved; `None` for the exec form.
    pub fn script(&self) -> Option<Script> {
        let Command::Shell(line) = &self.command else { return None };
        let Some(first) = self.heredocs.first() else { return Some(Script::Text(line.clone())) };
        if open(line).is_some() {
            // The whole command is one here-document: any shell can run its text.
            let content = first.text();
            return Some(if first.content.starts_with("#!") {
                Script::File { path: format!("/dev/pipes/{}", first.name), content }
            } else {
                Script::Text(content)
            });
        }
        Some(Script::Text(with_bodies(line, &self.heredocs)))
    }
}

/// The line and the bodies that it asks for, as they stand in a file.
pub(super) fn with_bodies(line: &str, heredocs: &[Heredoc]) -> String {
    let bodies = heredocs.iter().map(|heredoc| format!("\n{}{}", heredoc.content, heredoc.name));
    std::iter::once(line.to_owned()).chain(bodies).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finds_what_opens_one() {
        for (line, expected) in [
            ("RUN <<EOF", &["EOF"][..]),
            ("RUN <<-EOF", &["EOF -"]),
            ("RUN 3<<EOF cat", &["EOF 3"]),
            ("RUN << EOF", &["EOF"]),
            ("RUN <<  EOF  > foo", &["EOF"]),
            ("RUN <<- EOF", &[]),
            ("RUN << -EOF", &["-EOF"]),
            ("RUN <<'EOF'", &["EOF literal"]),
            ("RUN <<\"EOF\"", &["EOF literal"]),
            ("RUN <<E\"O\"F", &["EOF literal"]),
            ("RUN <<eo\\'f", &["eo'f"]),
            ("RUN <<'e'o\\'f", &["eo'f literal"]),
            ("RUN <<'one two'", &["one two literal"]),
            ("RUN <<$EOF", &["$EOF"]),
            ("RUN <<${EOF}", &["${EOF}"]),
            ("RUN <<a <<b; x", &["a", "b;"]),
            ("COPY <<a.txt <<-b /c", &["a.txt", "b -"]),
            ("RUN echo $((1 << 3))", &["3))"]),
            ("RUN echo $((1<<3))", &[]),
            ("RUN echo 1<<3", &["3 1"]),
            ("RUN '<<EOF'", &[]),
            ("RUN \"<<EOF\"", &[]),
            ("RUN \\<<EOF", &[]),
            ("RUN x<<EOF", &[]),
            ("RUN <<<EOF", &[]),
            ("RUN cat <<<\"x\" y", &[]),
            ("RUN <<", &[]),
            ("RUN <<-", &[]),
            ("RUN it's <<EOF", &[]),
        ] {
            let shown: Vec<String> = opened(line)
                .into_iter()
                .map(|heredoc| {
                    let mut shown = heredoc.name;
                    if heredoc.descriptor > 0 {
                        shown.push_str(&format!(" {}", heredoc.descriptor));
                    }
                    shown.push_str(if heredoc.strip_tabs { " -" } else { "" });
                    shown.push_str(if heredoc.expand { "" } else { " literal" });
                    shown
                })
                .collect();
            assert_eq!(shown, expected, "{line}");
        }
    }
}
