//! YAML as JSON's values, with the types of its core schema.

use saphyr_parser::{Event, Parser, ScalarStyle};
use serde_json::{Map, Number, Value};

/// How deep values may lie in each other.
const DEPTH: usize = 32;

/// What words without quotes are.
#[derive(Debug, Clone, Copy)]
pub(super) enum Scalars {
    /// What they look like.
    Typed,
    /// Texts; nothing at all is null.
    Texts,
}

/// The first document; there are no anchors in it.
pub(super) fn parse(text: &str, scalars: Scalars) -> Result<Value, String> {
    let mut events = Parser::new_from_str(text).map(|event| match event {
        Ok((event, _)) => Ok(event),
        Err(error) => Err(error.to_string()),
    });
    loop {
        match events.next().transpose()? {
            Some(Event::StreamStart | Event::DocumentStart(_) | Event::Nothing) => {}
            Some(Event::StreamEnd) | None => return Ok(Value::Null),
            Some(first) => return value(first, &mut events, DEPTH, scalars),
        }
    }
}

fn value<'t, E>(
    first: Event<'t>,
    events: &mut E,
    depth: usize,
    scalars: Scalars,
) -> Result<Value, String>
where
    E: Iterator<Item = Result<Event<'t>, String>>,
{
    let depth = depth.checked_sub(1).ok_or("it is nested too deeply")?;
    match first {
        Event::Scalar(text, ScalarStyle::Plain, ..) => Ok(match scalars {
            Scalars::Typed => plain(&text),
            Scalars::Texts if text.is_empty() || text == "~" => Value::Null,
            Scalars::Texts => Value::String(text.into_owned()),
        }),
        Event::Scalar(text, ..) => Ok(Value::String(text.into_owned())),
        Event::SequenceStart(..) => {
            let mut items = Vec::new();
            loop {
                match next(events)? {
                    Event::SequenceEnd => return Ok(Value::Array(items)),
                    first => items.push(value(first, events, depth, scalars)?),
                }
            }
        }
        Event::MappingStart(..) => {
            let mut map = Map::new();
            loop {
                let key = match next(events)? {
                    Event::MappingEnd => return Ok(Value::Object(map)),
                    Event::Scalar(text, ..) => text.into_owned(),
                    _ => return Err("a key is no text".to_owned()),
                };
                let first = next(events)?;
                map.insert(key, value(first, events, depth, scalars)?);
            }
        }
        Event::Alias(_) => Err("aliases are not supported".to_owned()),
        other => Err(format!("{other:?} has no place there")),
    }
}

fn next<'t>(
    events: &mut impl Iterator<Item = Result<Event<'t>, String>>,
) -> Result<Event<'t>, String> {
    events.next().unwrap_or_else(|| Err("it ends too early".to_owned()))
}

/// What a word without quotes is.
fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let number = match text.strip_prefix("0o").or(text.strip_prefix('0')) {
        // Modes; the older form, too.
        Some(octal) if !octal.is_empty() => u64::from_str_radix(octal, 8).ok().map(Number::from),
        _ => text.parse::<i64>().ok().map(Number::from),
    };
    number.map_or_else(|| Value::String(text.to_owned()), Value::Number)
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn values_are_those_of_json() {
        for (text, expected) in [
            (
                "a: 1\nb: [x, 'y', \"z\"]\nc:\n  - d: true\n    e: ~\n",
                json!({"a": 1, "b": ["x", "y", "z"], "c": [{"d": true, "e": null}]}),
            ),
            (
                "---\n# nothing\nm: 0o644\nn: 0644\no: \"0644\"\n",
                json!({"m": 420, "n": 420, "o": "0644"}),
            ),
            ("v: 0.6.0\nw: 1.5\nx: |\n  text\n", json!({"v": "0.6.0", "w": "1.5", "x": "text\n"})),
            ("", Value::Null),
            ("[]", json!([])),
        ] {
            assert_eq!(parse(text, Scalars::Typed), Ok(expected), "{text}");
        }
        for text in ["a: [", "a: *b", "? [a]\n: b\n", "a: b: c"] {
            assert!(parse(text, Scalars::Typed).is_err(), "{text}");
        }
        let deep = "[".repeat(100) + &"]".repeat(100);
        assert!(parse(&deep, Scalars::Typed).is_err());
        let text = "a: [1.10, 010, true, \"~\"]\nb:\nc: ~\n";
        let texts = json!({"a": ["1.10", "010", "true", "~"], "b": null, "c": null});
        assert_eq!(parse(text, Scalars::Texts), Ok(texts));
    }
}
