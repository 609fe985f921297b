//! The part of Go's templates that people give to `--format`: fields, `json`, `range`, `if`, and a
//! few functions. What is beyond is refused by its name.

use std::fmt::Write as _;
use std::str::FromStr;

use serde_json::Value;

/// A template, ready to be filled in as often as needed.
#[derive(Debug, Clone)]
pub(crate) struct Template(Vec<Part>);

#[derive(Debug, Clone)]
enum Part {
    Text(String),
    Print(Expression),
    Range {
        over: Expression,
        key: Option<String>,
        value: Option<String>,
        body: Vec<Self>,
        otherwise: Vec<Self>,
    },
    If {
        condition: Expression,
        body: Vec<Self>,
        otherwise: Vec<Self>,
    },
}

#[derive(Debug, Clone)]
enum Expression {
    /// `.A.B`, of the dot; or `$.A.B`, of the whole.
    Field {
        from: From,
        path: Vec<String>,
    },
    /// `(…).A.B`
    Within(Box<Self>, Vec<String>),
    Text(String),
    Number(i64),
    Call(Function, Vec<Self>),
}

#[derive(Debug, Clone)]
enum From {
    Dot,
    Whole,
    Variable(String),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Function {
    Json,
    Index,
    Len,
    Join,
    Upper,
    Lower,
    Title,
    Println,
    Eq,
    Ne,
    Not,
    And,
    Or,
}

const FUNCTIONS: [(&str, Function); 13] = [
    ("json", Function::Json),
    ("index", Function::Index),
    ("len", Function::Len),
    ("join", Function::Join),
    ("upper", Function::Upper),
    ("lower", Function::Lower),
    ("title", Function::Title),
    ("println", Function::Println),
    ("eq", Function::Eq),
    ("ne", Function::Ne),
    ("not", Function::Not),
    ("and", Function::And),
    ("or", Function::Or),
];

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

impl Function {
    fn name(self) -> &'static str {
        FUNCTIONS.iter().find(|(_, known)| *known == self).map_or("", |(name, _)| name)
    }

    /// How few and how many arguments.
    fn takes(self) -> (usize, usize) {
        match self {
            Self::Index => (2, usize::MAX),
            Self::Join | Self::Ne => (2, 2),
            Self::Eq => (2, usize::MAX),
            Self::Println => (0, usize::MAX),
            Self::And | Self::Or => (1, usize::MAX),
            Self::Json | Self::Len | Self::Upper | Self::Lower | Self::Title | Self::Not => (1, 1),
        }
    }
}

/// Where names are looked up.
struct Scope<'a> {
    whole: &'a Value,
    dot: &'a Value,
    variables: Vec<(String, Value)>,
}

impl Template {
    /// Fills it in.
    ///
    /// # Errors
    ///
    /// A field that `value` itself does not have; a function that is given what it does not take.
    pub(crate) fn fill(&self, value: &Value) -> Result<String, String> {
        let mut text = String::new();
        let scope = Scope { whole: value, dot: value, variables: Vec::new() };
        scope.fill(&self.0, &mut text)?;
        Ok(text)
    }
}

impl Scope<'_> {
    fn fill(&self, parts: &[Part], text: &mut String) -> Result<(), String> {
        for part in parts {
            match part {
                Part::Text(literal) => text.push_str(literal),
                Part::Print(expression) => text.push_str(&shown(&self.value(expression)?)),
                Part::If { condition, body, otherwise } => {
                    let body = if is_true(&self.value(condition)?) { body } else { otherwise };
                    self.fill(body, text)?;
                }
                Part::Range { over, key, value, body, otherwise } => {
                    let items: Vec<(Value, Value)> = match self.value(over)? {
                        Value::Array(items) => items
                            .into_iter()
                            .enumerate()
                            .map(|(at, item)| (at.into(), item))
                            .collect(),
                        Value::Object(fields) => {
                            let mut fields: Vec<_> = fields.into_iter().collect();
                            fields.sort_by(|(a, _), (b, _)| a.cmp(b));
                            fields.into_iter().map(|(name, item)| (name.into(), item)).collect()
                        }
                        Value::Null => Vec::new(),
                        other => return Err(format!("range can't go over {}", shown(&other))),
                    };
                    if items.is_empty() {
                        self.fill(otherwise, text)?;
                    }
                    for (at, item) in items {
                        let mut variables = self.variables.clone();
                        variables.extend(key.clone().map(|name| (name, at)));
                        variables.extend(value.clone().map(|name| (name, item.clone())));
                        Scope { whole: self.whole, dot: &item, variables }.fill(body, text)?;
                    }
                }
            }
        }
        Ok(())
    }

    fn value(&self, expression: &Expression) -> Result<Value, String> {
        match expression {
            Expression::Text(text) => Ok(text.clone().into()),
            Expression::Number(number) => Ok((*number).into()),
            Expression::Field { from, path } => self.field(from, path),
            Expression::Within(inner, path) => {
                let inner = self.value(inner)?;
                let found = path.iter().try_fold(&inner, |value, name| value.get(name));
                Ok(found.cloned().unwrap_or_default())
            }
            Expression::Call(function, arguments) => {
                let arguments: Vec<Value> = arguments
                    .iter()
                    .map(|argument| self.value(argument))
                    .collect::<Result<_, _>>()?;
                call(*function, &arguments)
            }
        }
    }

    fn field(&self, from: &From, path: &[String]) -> Result<Value, String> {
        let mut value = match from {
            From::Dot => self.dot,
            From::Whole => self.whole,
            From::Variable(name) => {
                let known = self.variables.iter().rev().find(|(known, _)| known == name);
                &known.ok_or_else(|| format!("there is no variable {name}"))?.1
            }
        };
        for (depth, name) in path.iter().enumerate() {
            match value.get(name) {
                Some(inner) => value = inner,
                // What is not set is often left out further in; on top it's most likely a typo.
                None if depth == 0 && std::ptr::eq(value, self.whole) => {
                    let names = value.as_object().map(|fields| {
                        fields.keys().map(String::as_str).collect::<Vec<_>>().join(", ")
                    });
                    let names = names.unwrap_or_default();
                    return Err(format!("there is no field .{name}; there are {names}"));
                }
                None => return Ok(Value::Null),
            }
        }
        Ok(value.clone())
    }
}

fn call(function: Function, arguments: &[Value]) -> Result<Value, String> {
    let first = arguments.first().unwrap_or(&Value::Null);
    let text = |value: &Value| value.as_str().map_or_else(|| shown(value), str::to_owned);
    Ok(match function {
        Function::Json => first.to_string().into(),
        Function::Index => {
            let mut value = first;
            for key in &arguments[1..] {
                let inner = match key {
                    Value::String(name) => value.get(name),
                    key => key.as_u64().and_then(|at| value.get(usize::try_from(at).ok()?)),
                };
                value = match (inner, value) {
                    (Some(inner), _) => inner,
                    (None, Value::Array(_)) => {
                        return Err(format!("index {} is out of range", shown(key)));
                    }
                    (None, _) => &Value::Null,
                };
            }
            value.clone()
        }
        Function::Len => match first {
            Value::Array(items) => items.len().into(),
            Value::Object(fields) => fields.len().into(),
            Value::String(text) => text.len().into(),
            Value::Null => 0.into(),
            other => return Err(format!("{} has no length", shown(other))),
        },
        Function::Join => match first {
            Value::Array(items) => {
                let items: Vec<String> = items.iter().map(text).collect();
                items.join(&text(&arguments[1])).into()
            }
            Value::Null => String::new().into(),
            other => return Err(format!("{} is no list", shown(other))),
        },
        Function::Upper => text(first).to_uppercase().into(),
        Function::Lower => text(first).to_lowercase().into(),
        Function::Title => {
            let text = text(first);
            let mut chars = text.chars();
            let start = chars.next().map(|c| c.to_uppercase().to_string()).unwrap_or_default();
            (start + chars.as_str()).into()
        }
        Function::Println => {
            let words: Vec<String> = arguments.iter().map(shown).collect();
            format!("{}\n", words.join(" ")).into()
        }
        Function::Eq => arguments[1..].contains(first).into(),
        Function::Ne => (arguments[1] != *first).into(),
        Function::Not => (!is_true(first)).into(),
        Function::And => {
            let decisive = arguments.iter().find(|argument| !is_true(argument));
            decisive.or(arguments.last()).cloned().unwrap_or_default()
        }
        Function::Or => {
            let decisive = arguments.iter().find(|argument| is_true(argument));
            decisive.or(arguments.last()).cloned().unwrap_or_default()
        }
    })
}

fn is_true(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::Bool(is) => *is,
        Value::Number(number) => number.as_f64() != Some(0.0),
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(fields) => !fields.is_empty(),
    }
}

/// As Go prints it.
fn shown(value: &Value) -> String {
    match value {
        Value::Null => "<no value>".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) => {
            format!("[{}]", items.iter().map(shown).collect::<Vec<_>>().join(" "))
        }
        Value::Object(fields) => {
            let mut fields: Vec<_> = fields.iter().collect();
            fields.sort_by_key(|(name, _)| *name);
            let mut text = String::from("map[");
            for (at, (name, value)) in fields.into_iter().enumerate() {
                let space = if at == 0 { "" } else { " " };
                write!(text, "{space}{name}:{}", shown(value)).expect("a String");
            }
            text + "]"
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests;
