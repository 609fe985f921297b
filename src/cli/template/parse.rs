//! The text of a template: pieces, words, expressions.

use std::str::FromStr;

use super::{Expression, FUNCTIONS, From, Part, Template};

/// One word of an action.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Word {
    Name(String),
    Text(String),
    Number(i64),
    Open,
    Close,
    Pipe,
    Comma,
    Declare,
}

impl FromStr for Template {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let pieces = split(text)?;
        let mut pieces = pieces.into_iter();
        match block(&mut pieces)? {
            (parts, None) => Ok(Self(parts)),
            (_, Some(word)) => Err(format!("{{{{{word}}}}} stands where nothing has begun")),
        }
    }
}

/// Text, or the inside of `{{…}}`.
enum Piece {
    Text(String),
    Action(String),
}

fn split(text: &str) -> Result<Vec<Piece>, String> {
    let mut pieces = Vec::new();
    let mut rest = text;
    let mut trims = false;
    while let Some(at) = rest.find("{{") {
        let (before, from) = (&rest[..at], &rest[at + 2..]);
        let end = closing(from).ok_or_else(|| "a {{ is never closed".to_owned())?;
        let mut action = &from[..end];
        let mut before = if trims { before.trim_start() } else { before };
        if let Some(inner) = action.strip_prefix("- ") {
            (action, before) = (inner, before.trim_end());
        }
        trims = action.ends_with(" -");
        action = action.strip_suffix(" -").unwrap_or(action).trim();
        if !before.is_empty() {
            pieces.push(Piece::Text(unescaped(before)));
        }
        if !action.starts_with("/*") {
            pieces.push(Piece::Action(action.to_owned()));
        }
        rest = &from[end + 2..];
    }
    let rest = if trims { rest.trim_start() } else { rest };
    if !rest.is_empty() {
        pieces.push(Piece::Text(unescaped(rest)));
    }
    Ok(pieces)
}

/// Where the `}}` is that is in no string.
fn closing(text: &str) -> Option<usize> {
    let mut quote = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match quote {
            Some(_) if escaped => escaped = false,
            Some('"') if c == '\\' => escaped = true,
            Some(open) if c == open => quote = None,
            Some(_) => {}
            None if matches!(c, '"' | '`') => quote = Some(c),
            None if text[at..].starts_with("}}") => return Some(at),
            None => {}
        }
    }
    None
}

/// docker takes these two in the text of a format, for shells that have no way to write them.
fn unescaped(text: &str) -> String {
    text.replace("\\n", "\n").replace("\\t", "\t")
}

/// Parts up to the end, or up to a word that ends or continues a block.
fn block(pieces: &mut std::vec::IntoIter<Piece>) -> Result<(Vec<Part>, Option<String>), String> {
    let mut parts = Vec::new();
    while let Some(piece) = pieces.next() {
        let action = match piece {
            Piece::Text(text) => {
                parts.push(Part::Text(text));
                continue;
            }
            Piece::Action(action) => action,
        };
        let words = words(&action)?;
        let Some(Word::Name(first)) = words.first() else {
            parts.push(Part::Print(pipeline(&words)?));
            continue;
        };
        match first.as_str() {
            "end" | "else" => {
                if first == "else" && words.len() > 1 {
                    return Err("{{else if}} is not known here; nest a second {{if}}".to_owned());
                }
                return Ok((parts, Some(first.clone())));
            }
            "if" => {
                let condition = pipeline(&words[1..])?;
                let (body, otherwise) = bodies(pieces)?;
                parts.push(Part::If { condition, body, otherwise });
            }
            "range" => {
                let (key, value, over) = range(&words[1..])?;
                let (body, otherwise) = bodies(pieces)?;
                parts.push(Part::Range { over, key, value, body, otherwise });
            }
            "with" | "define" | "template" | "block" | "break" | "continue" => {
                return Err(format!("{{{{{first}}}}} is not known here"));
            }
            _ => parts.push(Part::Print(pipeline(&words)?)),
        }
    }
    Ok((parts, None))
}

fn bodies(pieces: &mut std::vec::IntoIter<Piece>) -> Result<(Vec<Part>, Vec<Part>), String> {
    let missing = || "a block has no {{end}}".to_owned();
    let (body, ended) = block(pieces)?;
    if ended.ok_or_else(missing)? == "end" {
        return Ok((body, Vec::new()));
    }
    let (otherwise, ended) = block(pieces)?;
    match ended.ok_or_else(missing)?.as_str() {
        "end" => Ok((body, otherwise)),
        _ => Err("a block has two {{else}}".to_owned()),
    }
}

/// `.X`, `$v := .X`, `$k, $v := .X`.
fn range(words: &[Word]) -> Result<(Option<String>, Option<String>, Expression), String> {
    let Some(at) = words.iter().position(|word| *word == Word::Declare) else {
        return Ok((None, None, pipeline(words)?));
    };
    let over = pipeline(&words[at + 1..])?;
    let name = |word: &Word| match word {
        Word::Name(name) if name.len() > 1 && name.starts_with('$') => Ok(name.clone()),
        _ => Err("what stands before := is no variable".to_owned()),
    };
    match &words[..at] {
        [value] => Ok((None, Some(name(value)?), over)),
        [key, Word::Comma, value] => Ok((Some(name(key)?), Some(name(value)?), over)),
        _ => Err("a range declares one variable or two".to_owned()),
    }
}

fn words(action: &str) -> Result<Vec<Word>, String> {
    let mut words = Vec::new();
    let mut rest = action.trim_start();
    while let Some(first) = rest.chars().next() {
        let (word, length) = match first {
            '(' => (Word::Open, 1),
            ')' => (Word::Close, 1),
            '|' => (Word::Pipe, 1),
            ',' => (Word::Comma, 1),
            ':' if rest.starts_with(":=") => (Word::Declare, 2),
            '"' | '`' => quoted(rest)?,
            _ => {
                let stops = |c: char| c.is_whitespace() || "()|,\"`".contains(c);
                let length = rest.find(stops).unwrap_or(rest.len());
                let word = &rest[..length];
                match word.parse() {
                    Ok(number) => (Word::Number(number), length),
                    Err(_) => (Word::Name(word.to_owned()), length),
                }
            }
        };
        words.push(word);
        rest = rest[length..].trim_start();
    }
    if words.is_empty() {
        return Err("there is nothing between {{ and }}".to_owned());
    }
    Ok(words)
}

fn quoted(text: &str) -> Result<(Word, usize), String> {
    let open = text.chars().next().unwrap_or('"');
    let mut content = String::new();
    let mut escaped = false;
    for (at, c) in text.char_indices().skip(1) {
        match c {
            'n' if escaped => content.push('\n'),
            't' if escaped => content.push('\t'),
            c if escaped => content.push(c),
            '\\' if open == '"' => {
                escaped = true;
                continue;
            }
            c if c == open => return Ok((Word::Text(content), at + 1)),
            c => content.push(c),
        }
        escaped = false;
    }
    Err("a string is never closed".to_owned())
}

/// Commands with `|` between them: what one gives is the last argument of the next.
fn pipeline(words: &[Word]) -> Result<Expression, String> {
    let mut depth = 0_usize;
    let mut commands = vec![Vec::new()];
    for word in words {
        match word {
            Word::Open => depth += 1,
            Word::Close => depth = depth.checked_sub(1).ok_or("there is a ) too many")?,
            Word::Pipe if depth == 0 => {
                commands.push(Vec::new());
                continue;
            }
            _ => {}
        }
        commands.last_mut().expect("there is always one").push(word.clone());
    }
    if depth > 0 {
        return Err("there is a ( too many".to_owned());
    }
    let mut given = None;
    for command in commands {
        given = Some(self::command(&command, given)?);
    }
    given.ok_or_else(|| "there is nothing between {{ and }}".to_owned())
}

fn command(words: &[Word], given: Option<Expression>) -> Result<Expression, String> {
    let mut operands = Vec::new();
    let mut at = 0;
    let function = match words.first() {
        Some(Word::Name(name)) if !name.starts_with(['.', '$']) => {
            at = 1;
            let known = FUNCTIONS.iter().find(|(known, _)| known == name);
            let unknown = || {
                let names = FUNCTIONS.map(|(name, _)| name).join(", ");
                format!("there is no function {name:?}; there are {names}")
            };
            Some(known.ok_or_else(unknown)?.1)
        }
        _ => None,
    };
    while at < words.len() {
        let (operand, next) = operand(words, at)?;
        operands.push(operand);
        at = next;
    }
    operands.extend(given);
    match (function, operands.len()) {
        (Some(function), count) => {
            let (least, most) = function.takes();
            match (least..=most).contains(&count) {
                true => Ok(Expression::Call(function, operands)),
                false => Err(format!("{} takes other arguments", function.name())),
            }
        }
        (None, 1) => Ok(operands.remove(0)),
        (None, 0) => Err("a command is empty".to_owned()),
        (None, _) => Err("a value is followed by another one, and is no function".to_owned()),
    }
}

fn operand(words: &[Word], at: usize) -> Result<(Expression, usize), String> {
    match &words[at] {
        Word::Text(text) => Ok((Expression::Text(text.clone()), at + 1)),
        Word::Number(number) => Ok((Expression::Number(*number), at + 1)),
        Word::Open => {
            let mut depth = 0_usize;
            for (end, word) in words.iter().enumerate().skip(at) {
                match word {
                    Word::Open => depth += 1,
                    Word::Close => depth -= 1,
                    _ => {}
                }
                if depth == 0 {
                    let inner = pipeline(&words[at + 1..end])?;
                    return match words.get(end + 1) {
                        Some(Word::Name(name)) if name.starts_with('.') => {
                            let Expression::Field { path, .. } = field(name)? else { break };
                            Ok((Expression::Within(Box::new(inner), path), end + 2))
                        }
                        _ => Ok((inner, end + 1)),
                    };
                }
            }
            Err("there is a ( too many".to_owned())
        }
        Word::Name(name) => Ok((field(name)?, at + 1)),
        word => Err(format!("{word:?} stands where a value should")),
    }
}

fn field(name: &str) -> Result<Expression, String> {
    let (from, rest) = match name.strip_prefix('$') {
        Some(rest) => {
            let (variable, rest) = rest.split_at(rest.find('.').unwrap_or(rest.len()));
            match variable.is_empty() {
                true => (From::Whole, rest),
                false => (From::Variable(format!("${variable}")), rest),
            }
        }
        None => (From::Dot, name),
    };
    let wrong = || format!("{name:?} is no field: they are written .Name");
    let path = match rest {
        "" | "." => Vec::new(),
        rest => {
            let rest = rest.strip_prefix('.').ok_or_else(wrong)?;
            rest.split('.').map(str::to_owned).collect()
        }
    };
    match path.iter().any(String::is_empty) {
        true => Err(wrong()),
        false => Ok(Expression::Field { from, path }),
    }
}
