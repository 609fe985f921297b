//! Logical lines to [`Node`]s: the syntax, which accepts much that means nothing.

use super::lexer::{Lexer, Line};
use super::words::{Json, blank_separated, first_word, json, leading_flags, quoted};
use super::{Diagnostic, Directives, Heredoc, Span, heredoc};

/// A file's syntax.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Syntax {
    pub directives: Directives,
    pub nodes: Vec<Node>,
}

/// One instruction, split but not understood.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Node {
    /// As it is written.
    pub keyword: String,
    pub keyword_span: Span,
    /// With their leading `--`, without quotes.
    pub flags: Vec<(String, Span)>,
    /// As written, quotes and escapes included. ENV and LABEL have three for each pair: key,
    /// value, and `=` or nothing; HEALTHCHECK its type, then the command.
    pub arguments: Vec<String>,
    pub form: Form,
    pub heredocs: Vec<Heredoc>,
    /// ONBUILD's trigger.
    pub trigger: Option<Box<Self>>,
    /// The logical line as it is, blanks at its end included, without the here-documents' bodies.
    pub original: String,
    pub span: Span,
    /// The comments right above.
    pub comments: Vec<String>,
}

/// How the arguments are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Form {
    #[default]
    Shell,
    /// As a JSON array of strings.
    Exec,
}

/// Reads a file's syntax. What is wrong with it is in the diagnostics.
pub fn read(text: &str) -> (Syntax, Vec<Diagnostic>) {
    let mut lexer = Lexer::new(text);
    let mut nodes = Vec::new();
    let mut diagnostics = Vec::new();
    while let Some(line) = lexer.line() {
        let escape = lexer.directives.escape;
        match node(&line, 0, 0, escape).and_then(|node| with_heredocs(node, &line, &mut lexer)) {
            Ok(node) => nodes.push(node),
            Err(diagnostic) => diagnostics.push(diagnostic),
        }
    }
    diagnostics.extend(lexer.diagnostics);
    diagnostics.sort_by_key(|diagnostic| diagnostic.span.start);
    (Syntax { directives: lexer.directives, nodes }, diagnostics)
}

/// How deep `ONBUILD ONBUILD …` is read as triggers of triggers, which all are errors in the end:
/// each level is a stack frame, here and for whoever looks at the nodes.
const DEPTH: usize = 16;

/// The instruction that begins at a byte of a line: 0, or where a trigger stands.
fn node(line: &Line, at: usize, depth: usize, escape: char) -> Result<Node, Diagnostic> {
    let original = if depth == 0 { &line.text } else { line.text[at..].trim() }.to_owned();
    let text = line.text[at..].trim_end();
    let at = at + (text.len() - text.trim_start().len());
    let text = text.trim_start();
    let (keyword, rest) = first_word(text);
    let rest = rest.unwrap_or_default();
    let rest_at = at + (text.len() - rest.len());
    // Its options are rsync's, and stand anywhere.
    let is_rsync = ["RSYNC", "NSYNC"].iter().any(|name| keyword.eq_ignore_ascii_case(name));
    let (flags, end) = if is_rsync { (Vec::new(), 0) } else { leading_flags(rest) };
    let arguments = rest[end..].trim();
    let arguments_at = rest_at + end;
    let mut node = Node {
        keyword: keyword.to_owned(),
        keyword_span: line.locate(at, at + keyword.len()),
        flags: flags
            .into_iter()
            .map(|flag| {
                let span = line.locate(rest_at + flag.range.start, rest_at + flag.range.end);
                (flag.text, span)
            })
            .collect(),
        arguments: Vec::new(),
        form: Form::Shell,
        heredocs: Vec::new(),
        trigger: None,
        original,
        span: line.span,
        comments: line.comments.clone(),
    };
    let wrong = |message: String| Diagnostic::error(line.span, message);
    let name = keyword.to_ascii_uppercase();
    match name.as_str() {
        "RUN" | "CMD" | "ENTRYPOINT" | "SHELL" => node.command(arguments).map_err(wrong)?,
        "ADD" | "COPY" | "VOLUME" => match json(arguments) {
            Json::No => node.arguments = blank_separated(arguments),
            json => node.strings(json).map_err(wrong)?,
        },
        "EXPOSE" | "FROM" => node.arguments = blank_separated(arguments),
        "MAINTAINER" | "STOPSIGNAL" | "USER" | "WORKDIR" => node.single(arguments),
        "ENV" | "LABEL" => node.arguments = pairs(&name, arguments, escape).map_err(wrong)?,
        "ARG" | "NSYNC" | "RSYNC" => node.arguments = quoted(arguments, escape),
        "HEALTHCHECK" => {
            let (kind, command) = match arguments.split_once(char::is_whitespace) {
                Some((kind, command)) => (kind, command.trim_start()),
                None => (arguments, ""),
            };
            node.command(command).map_err(wrong)?;
            if !kind.is_empty() {
                node.arguments.insert(0, kind.to_owned());
            }
        }
        "ONBUILD" if depth < DEPTH && !arguments.is_empty() => {
            node.trigger = Some(Box::new(self::node(line, arguments_at, depth + 1, escape)?));
        }
        "ONBUILD" => node.single(arguments),
        _ => {}
    }
    Ok(node)
}

impl Node {
    /// One raw text, or a JSON array.
    fn command(&mut self, text: &str) -> Result<(), String> {
        match json(text) {
            Json::No => self.single(text),
            json => self.strings(json)?,
        }
        Ok(())
    }

    fn strings(&mut self, json: Json) -> Result<(), String> {
        let Json::Strings(strings) = json else {
            let why = "when using JSON array syntax, arrays must be comprised of strings only";
            return Err(why.to_owned());
        };
        self.arguments = strings;
        self.form = Form::Exec;
        Ok(())
    }

    fn single(&mut self, text: &str) {
        if !text.is_empty() {
            self.arguments = vec![text.to_owned()];
        }
    }

    /// Whether here-documents mean anything in it.
    fn takes_heredocs(&self) -> bool {
        let node = self.trigger.as_deref().unwrap_or(self);
        let takes = ["RUN", "COPY", "ADD"].iter().any(|name| node.is(name));
        takes && node.form == Form::Shell
    }

    /// Whether this is the instruction of that (upper case) name.
    pub fn is(&self, name: &str) -> bool {
        self.keyword.eq_ignore_ascii_case(name)
    }
}

/// `KEY=VALUE …`, or the old `KEY VALUE`.
fn pairs(name: &str, text: &str, escape: char) -> Result<Vec<String>, String> {
    let words = quoted(text, escape);
    let Some(first) = words.first() else { return Ok(Vec::new()) };
    if !first.contains('=') {
        let (key, Some(value)) = first_word(text) else {
            return Err(format!("{name} must have two arguments"));
        };
        return Ok(vec![key.to_owned(), value.to_owned(), String::new()]);
    }
    let mut pairs = Vec::new();
    for word in &words {
        let (key, value) = word.split_once('=').ok_or_else(|| {
            format!("Syntax error - can't find = in {word:?}. Must be of the form: name=value")
        })?;
        pairs.extend([key.to_owned(), value.to_owned(), "=".to_owned()]);
    }
    Ok(pairs)
}

/// Takes the bodies that the line asks for from the lines after it.
fn with_heredocs(mut node: Node, line: &Line, lexer: &mut Lexer<'_>) -> Result<Node, Diagnostic> {
    if !node.takes_heredocs() {
        return Ok(node);
    }
    for opened in heredoc::opened(&line.text) {
        let name = opened.name.clone();
        let Some(heredoc) = lexer.heredoc(opened) else {
            let hint = format!("no line after it is exactly `{name}`");
            let error = Diagnostic::error(line.span, "unterminated heredoc");
            return Err(error.with_hint(Some(if line.text.contains("$((") {
                format!("{hint}; a shift is written without blanks: `$((1<<3))`")
            } else {
                hint
            })));
        };
        node.heredocs.push(heredoc);
        (node.span.end, node.span.end_line) = lexer.end();
    }
    if let Some(trigger) = &mut node.trigger {
        trigger.heredocs.clone_from(&node.heredocs);
        trigger.span = node.span;
    }
    Ok(node)
}
