//! Commands in the text of a shell script: which are named in it, and where one's arguments begin.

use super::Insertion;

/// Programs whose argument after `-c` is a script like those that are read here.
const SHELLS: [&str; 8] = ["sh", "ash", "bash", "busybox", "dash", "ksh", "mksh", "zsh"];

/// After these words comes a command, as at the beginning.
const KEYWORDS: [&str; 10] =
    ["!", "do", "elif", "else", "if", "then", "time", "until", "while", "{"];

/// After these come options, and then the command that they run. With their short options that take
/// an argument.
const WRAPPERS: [(&str, &str); 16] = [
    ("builtin", ""),
    ("command", ""),
    ("doas", "Cu"),
    ("eatmydata", ""),
    ("env", "uCS"),
    ("exec", "a"),
    ("fakeroot", "lsbi"),
    ("ionice", "cn"),
    ("nice", "n"),
    ("nohup", ""),
    ("setsid", ""),
    ("stdbuf", "ioe"),
    ("sudo", "CDRTUghpru"),
    ("time", "fo"),
    ("timeout", "ks"),
    ("xargs", "EILPadns"),
];

/// So many scripts within scripts are read; what is deeper stays as it is.
const MAX_DEPTH: usize = 50;

/// The first of `words` that a script, or a command's argument, names: with or without the
/// directories before it, quoted or not, as a command or not (so `echo dnf` names dnf).
pub(super) fn mentioned<'w>(text: &str, words: &'w [String]) -> Option<&'w str> {
    let inside = |c: char| c.is_alphanumeric() || "_-+.@%/".contains(c);
    let text = text.replace("\\\n", "").replace('\\', "");
    let named: Vec<&str> =
        text.split(|c| !inside(c)).map(|word| word.rsplit('/').next().unwrap_or(word)).collect();
    words.iter().map(String::as_str).find(|word| named.contains(word))
}

/// A script with arguments inserted after the commands that want them, where these stand as
/// commands: `echo apt-get` stays as it is, and so does what expansions make.
pub(super) fn insert_in_script(text: &str, insertions: &[Insertion]) -> String {
    let mut scan = Scan::new(text, insertions);
    scan.script(None);
    let mut found = scan.found;
    found.sort_by_key(|(at, _)| *at);
    let mut result = String::with_capacity(text.len());
    let mut from = 0;
    for (at, insertion) in found {
        result.push_str(&text[from..at]);
        for argument in &insertion.arguments {
            result.push(' ');
            result.push_str(&quoted(argument));
        }
        from = at;
    }
    result + &text[from..]
}

/// The words of a command, likewise.
pub(super) fn insert_in_words(argv: &[String], insertions: &[Insertion]) -> Vec<String> {
    let mut argv = argv.to_vec();
    let mut position = Position::Command;
    for at in 0..argv.len() {
        // An argument of execve(2) is no keyword.
        let step = match KEYWORDS.contains(&argv[at].as_str()) {
            true => Step::Go(Position::Arguments),
            false => position.after(&argv[at], insertions),
        };
        match step {
            Step::Go(Position::Arguments) => break,
            Step::Go(next) => position = next,
            Step::Insert(insertion) => {
                argv.splice(at + 1..at + 1, insertion.arguments.iter().cloned());
                break;
            }
            Step::Script => {
                argv[at] = insert_in_script(&argv[at], insertions);
                break;
            }
        }
    }
    argv
}

/// Whether a shell would run this file: its first line says so, or says nothing.
pub(super) fn is_shell_script(content: &str) -> bool {
    let Some(line) = content.lines().next().and_then(|line| line.strip_prefix("#!")) else {
        return true;
    };
    let mut words = line.split_whitespace().map(|word| word.rsplit('/').next().unwrap_or(word));
    match words.next() {
        Some("env") => words.any(|word| SHELLS.contains(&word)),
        Some(program) => SHELLS.contains(&program),
        None => true,
    }
}

/// What the next word may be.
#[derive(Debug, Clone, Copy)]
enum Position {
    Command,
    /// Of a wrapper, whose short options with an argument are these.
    Options(&'static str),
    /// The argument of one of these.
    Option(&'static str),
    /// Of a shell.
    ShellOptions,
    /// `-o NAME`
    ShellOption,
    /// What a shell runs: it follows `-c`.
    Script,
    Arguments,
}

enum Step<'i> {
    Go(Position),
    /// The word is a command that wants arguments.
    Insert(&'i Insertion),
    /// The word is a script.
    Script,
}

impl Position {
    fn after<'i>(self, word: &str, insertions: &'i [Insertion]) -> Step<'i> {
        let go = Step::Go;
        match self {
            Self::Command if KEYWORDS.contains(&word) || is_assignment(word) => go(Self::Command),
            Self::Options(takes) => match word.strip_prefix('-') {
                Some(option) if option.len() == 1 && takes.contains(option) => {
                    go(Self::Option(takes))
                }
                Some(_) => go(self),
                // `timeout 5m`, `env A=1`
                None if is_assignment(word) || word.starts_with(|c: char| c.is_ascii_digit()) => {
                    go(self)
                }
                None => Self::command(word, insertions),
            },
            Self::Command => Self::command(word, insertions),
            Self::Option(takes) => go(Self::Options(takes)),
            Self::ShellOptions => match word.strip_prefix(['-', '+']) {
                Some(option) if !option.starts_with('-') && option.contains('c') => {
                    go(Self::Script)
                }
                Some(option) if !option.starts_with('-') && option.ends_with('o') => {
                    go(Self::ShellOption)
                }
                Some(_) => go(self),
                // `busybox sh -c`
                None if SHELLS.contains(&word) => go(self),
                None => go(Self::Arguments),
            },
            Self::ShellOption => go(Self::ShellOptions),
            Self::Script => Step::Script,
            Self::Arguments => go(Self::Arguments),
        }
    }

    fn command<'i>(word: &str, insertions: &'i [Insertion]) -> Step<'i> {
        let name = word.rsplit('/').next().unwrap_or(word);
        if let Some(insertion) = insertions.iter().find(|insertion| insertion.command == name) {
            return Step::Insert(insertion);
        }
        Step::Go(match WRAPPERS.iter().find(|(wrapper, _)| *wrapper == name) {
            Some((_, takes)) => Self::Options(takes),
            None if SHELLS.contains(&name) => Self::ShellOptions,
            None => Self::Arguments,
        })
    }
}

fn is_assignment(word: &str) -> bool {
    word.split_once('=').is_some_and(|(name, _)| {
        !name.is_empty()
            && !name.starts_with(|c: char| c.is_ascii_digit())
            && name.chars().all(|c| c == '_' || c.is_ascii_alphanumeric())
    })
}

/// Whether it means the same in quotes of any kind, and without.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || "_-+.@%/:=,".contains(c))
}

fn quoted(text: &str) -> String {
    match is_plain(text) {
        true => text.to_owned(),
        false => format!("'{}'", text.replace('\'', "'\\''")),
    }
}

/// Goes through a script as a shell's parser does, as far as that tells where commands stand.
struct Scan<'t> {
    text: &'t [u8],
    at: usize,
    end: usize,
    /// Scripts within scripts.
    depth: usize,
    /// Inside of quotes: what is inserted must need none.
    nested: bool,
    insertions: &'t [Insertion],
    found: Vec<(usize, &'t Insertion)>,
    /// Delimiters of here-documents whose bodies begin after this line; true: tabs are stripped.
    documents: Vec<(String, bool)>,
}

/// A word of a script.
struct Word {
    /// Without quotes; None: only its expansion would tell.
    value: Option<String>,
    /// What is between the quotes, if the whole word is one quoted text.
    inside: Option<(usize, usize)>,
}

impl<'t> Scan<'t> {
    fn new(text: &'t str, insertions: &'t [Insertion]) -> Self {
        let (text, documents) = (text.as_bytes(), Vec::new());
        let end = text.len();
        Self { text, at: 0, end, depth: 0, nested: false, insertions, found: Vec::new(), documents }
    }

    fn byte(&self, ahead: usize) -> Option<u8> {
        Some(self.at + ahead).filter(|at| *at < self.end).map(|at| self.text[at])
    }

    /// Up to the end, or past an unquoted `closing`.
    fn script(&mut self, closing: Option<u8>) {
        if self.depth == MAX_DEPTH {
            self.at = self.end;
            return;
        }
        self.depth += 1;
        self.commands(closing);
        self.depth -= 1;
    }

    fn commands(&mut self, closing: Option<u8>) {
        let mut position = Position::Command;
        let mut open = 0_usize;
        while let Some(byte) = self.byte(0) {
            self.at += 1;
            match byte {
                b' ' | b'\t' | b'\r' => {}
                b'\\' if self.byte(0) == Some(b'\n') => self.at += 1,
                b'#' => self.skip_until(b"\n"),
                b'`' if closing == Some(byte) => return,
                b')' if closing == Some(byte) && open == 0 => return,
                b'&' if self.byte(0) == Some(b'>') => {}
                b'<' | b'>' => self.redirection(byte),
                b'\n' | b';' | b'&' | b'|' | b'(' | b')' => {
                    match byte {
                        b'\n' => self.skip_documents(),
                        b'(' => open += 1,
                        b')' => open = open.saturating_sub(1),
                        _ => {}
                    }
                    position = Position::Command;
                }
                _ => {
                    self.at -= 1;
                    let word = self.word(closing);
                    let pattern = closing.is_none() && open == 0 && self.byte(0) == Some(b')');
                    position = match pattern {
                        true => Position::Arguments, // of `case`
                        false => self.take(&word, position),
                    };
                }
            }
        }
    }

    /// What comes after a word.
    fn take(&mut self, word: &Word, position: Position) -> Position {
        let Some(value) = &word.value else { return Position::Arguments };
        let redirected = matches!(self.byte(0), Some(b'<' | b'>'));
        if redirected && !value.is_empty() && value.bytes().all(|byte| byte.is_ascii_digit()) {
            return position; // `2>` is no word
        }
        match position.after(value, self.insertions) {
            Step::Go(next) => next,
            Step::Insert(insertion) => {
                if !self.nested || insertion.arguments.iter().all(|text| is_plain(text)) {
                    self.found.push((self.at, insertion));
                }
                Position::Arguments
            }
            Step::Script => {
                if let Some((from, to)) = word.inside {
                    let (at, end) = (self.at, self.end);
                    let nested = std::mem::replace(&mut self.nested, true);
                    let documents = std::mem::take(&mut self.documents);
                    (self.at, self.end) = (from, to);
                    self.script(None);
                    (self.at, self.end, self.nested) = (at, end, nested);
                    self.documents = documents;
                }
                Position::Arguments
            }
        }
    }

    /// One word, which ends at a character that is special to a shell.
    fn word(&mut self, closing: Option<u8>) -> Word {
        let start = self.at;
        let (mut bytes, mut known, mut inside) = (Vec::new(), true, None);
        while let Some(byte) = self.byte(0) {
            match byte {
                b' ' | b'\t' | b'\r' | b'\n' | b';' | b'&' | b'|' | b'(' | b')' | b'<' | b'>' => {
                    break;
                }
                b'`' if closing == Some(b'`') => break,
                b'\'' => {
                    self.at += 1;
                    let from = self.at;
                    self.skip_until(b"'");
                    bytes.extend_from_slice(&self.text[from..self.at]);
                    inside = Some((from, self.at)).filter(|_| from == start + 1);
                    self.at += 1;
                }
                b'"' => {
                    self.at += 1;
                    let from = self.at;
                    known &= self.double_quoted(&mut bytes);
                    inside = Some((from, self.at)).filter(|_| from == start + 1);
                    self.at += 1;
                }
                b'\\' => {
                    bytes.extend(self.byte(1).filter(|byte| *byte != b'\n'));
                    self.at += 2;
                }
                b'$' | b'`' => known &= self.expansion(&mut bytes),
                _ => {
                    bytes.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at = self.at.min(self.end);
        let value = String::from_utf8(bytes).ok().filter(|_| known);
        // Something before or after the quotes makes it no text of its own.
        let inside = inside.filter(|(_, to)| to + 1 == self.at);
        Word { value, inside }
    }

    /// Up to the closing quote. False when there are expansions in it.
    fn double_quoted(&mut self, bytes: &mut Vec<u8>) -> bool {
        let mut known = true;
        while let Some(byte) = self.byte(0) {
            match byte {
                b'"' => break,
                b'\\' => {
                    bytes.extend(self.byte(1));
                    self.at += 2;
                }
                b'$' | b'`' => known &= self.expansion(bytes),
                _ => {
                    bytes.push(byte);
                    self.at += 1;
                }
            }
        }
        self.at = self.at.min(self.end);
        known
    }

    /// `$…` or a back-quoted command. False unless the `$` is only itself.
    fn expansion(&mut self, bytes: &mut Vec<u8>) -> bool {
        match (self.byte(0), self.byte(1), self.byte(2)) {
            (Some(b'`'), ..) => {
                self.at += 1;
                self.script(Some(b'`'));
            }
            (_, Some(b'('), Some(b'(')) => {
                self.skip_until(b"))");
                self.at += 2;
            }
            (_, Some(b'('), _) => {
                self.at += 2;
                self.script(Some(b')'));
            }
            (_, Some(b'{'), _) => {
                self.skip_until(b"}");
                self.at += 1;
            }
            (_, None | Some(b' ' | b'"' | b'\n'), _) => {
                bytes.push(b'$');
                self.at += 1;
                return true;
            }
            _ => self.at += 1,
        }
        self.at = self.at.min(self.end);
        false
    }

    /// What follows `<` or `>`.
    fn redirection(&mut self, first: u8) {
        let from = self.at - 1;
        while matches!(self.byte(0), Some(b'<' | b'>' | b'&' | b'|' | b'-')) {
            self.at += 1;
        }
        // `<(…)` and `>(…)` have commands in them.
        if self.byte(0) == Some(b'(') {
            return;
        }
        let operator = &self.text[from..self.at];
        while matches!(self.byte(0), Some(b' ' | b'\t')) {
            self.at += 1;
        }
        let target = self.word(None).value;
        if first == b'<' && matches!(operator, b"<<" | b"<<-") {
            self.documents.push((target.unwrap_or_default(), operator == b"<<-"));
        }
    }

    /// The bodies of here-documents are no commands of this script.
    fn skip_documents(&mut self) {
        for (delimiter, strips) in std::mem::take(&mut self.documents) {
            while self.at < self.end {
                let from = self.at;
                self.skip_until(b"\n");
                let line = String::from_utf8_lossy(&self.text[from..self.at]);
                self.at = (self.at + 1).min(self.end);
                let line = if strips { line.trim_start_matches('\t') } else { &line };
                if line == delimiter {
                    break;
                }
            }
        }
    }

    /// To the next `needle`, not past it; or to the end.
    fn skip_until(&mut self, needle: &[u8]) {
        let rest = &self.text[self.at.min(self.end)..self.end];
        let found = rest.windows(needle.len()).position(|window| window == needle);
        self.at = found.map_or(self.end, |found| self.at + found);
    }
}

#[cfg(test)]
mod tests;
