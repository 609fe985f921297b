//! The part of Go's templates that people give to `--format`: fields, `json`, `range`, `if`, and a
//! few functions. What is beyond is refused by its name.

mod parse;

use std::fmt::Write as _;

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
