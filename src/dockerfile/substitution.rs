//! `$name`, `${name}` and `${name:-word}` with its relatives: what stands for a variable's value.

use super::expand::Reader;
use super::pattern::{Pattern, Reach};

impl Reader<'_> {
    pub(super) fn dollar(&mut self) -> Result<String, String> {
        self.chars.next();
        if self.chars.next_if_eq(&'{').is_none() {
            let name = self.name();
            return Ok(match (name.as_str(), self.value(&name)) {
                ("", _) => "$".to_owned(),
                (_, None) if self.rules.keep_unset => format!("${name}"),
                (_, value) => value.unwrap_or_default(),
            });
        }
        match self.chars.peek() {
            None => return Err(missing("'}'")),
            Some('{' | '}' | ':') => return Err("syntax error: bad substitution".to_owned()),
            Some(_) => {}
        }
        let name = self.name();
        match self.chars.next() {
            None => Err(missing("'}'")),
            Some('}') => Ok(match self.value(&name) {
                None if self.rules.keep_unset => format!("${{{name}}}"),
                value => value.unwrap_or_default(),
            }),
            Some(':') => match self.chars.next() {
                None => Err(missing("'}'")),
                Some(modifier @ ('#' | '%')) => Err(unsupported(&format!(":{modifier}"))),
                Some(modifier) => self.modified(&name, modifier, true),
            },
            Some('/') => self.replaced(&name),
            Some(modifier @ ('+' | '-' | '?' | '#' | '%')) => self.modified(&name, modifier, false),
            Some(other) => Err(unsupported(&other.to_string())),
        }
    }

    /// `${name:-word}`, with (`colon`: empty counts as unset) and without the colon.
    fn modified(&mut self, name: &str, modifier: char, colon: bool) -> Result<String, String> {
        let shown = if colon { format!(":{modifier}") } else { modifier.to_string() };
        let word = self.part('}', matches!(modifier, '#' | '%'), "'}'")?;
        let value = self.value(name);
        if value.is_none() && self.rules.keep_unset {
            return Ok(format!("${{{name}{shown}{word}}}"));
        }
        let set = value.as_deref().filter(|value| !(colon && value.is_empty()));
        match modifier {
            '-' => Ok(set.unwrap_or(&word).to_owned()),
            '+' => Ok(set.map_or_else(String::new, |_| word)),
            '?' => match (set, word.as_str(), &value) {
                (Some(value), _, _) => Ok(value.to_owned()),
                (None, "", None) => Err(format!("{name}: is not allowed to be unset")),
                (None, "", Some(_)) => Err(format!("{name}: is not allowed to be empty")),
                (None, message, _) => Err(format!("{name}: {message}")),
            },
            '#' | '%' => {
                let value = value.unwrap_or_default();
                let (reach, pattern) = match word.strip_prefix(modifier) {
                    Some(pattern) => (Reach::Longest, Pattern::new(pattern)?),
                    None => (Reach::Shortest, Pattern::new(&word)?),
                };
                Ok(match modifier {
                    '#' => pattern.trim_start(&value, reach),
                    _ => pattern.trim_end(&value, reach),
                })
            }
            _ => Err(unsupported(&shown)),
        }
    }

    /// `${name/pattern/replacement}`
    fn replaced(&mut self, name: &str) -> Result<String, String> {
        let all = self.chars.next_if_eq(&'/').is_some();
        let pattern = self.part('/', true, "'/' in ${}")?;
        let replacement = self.part('}', true, "'}'")?;
        let value = self.value(name);
        if value.is_none() && self.rules.keep_unset {
            return Ok(format!("${{{name}/{pattern}/{replacement}}}"));
        }
        let (value, pattern) = (value.unwrap_or_default(), Pattern::new(&pattern)?);
        Ok(match all {
            true => pattern.replace_all(&value, &replacement),
            false => pattern.replace_first(&value, &replacement),
        })
    }

    /// A part of `${…}` up to `stop`, itself expanded.
    fn part(&mut self, stop: char, keep_escapes: bool, wanted: &str) -> Result<String, String> {
        match self.until(Some(stop), keep_escapes) {
            Ok((text, _)) => Ok(text),
            Err(_) if self.chars.peek().is_none() => Err(missing(wanted)),
            Err(why) => Err(why),
        }
    }

    /// A variable's name: letters, digits and `_`; or only digits; or one special character.
    fn name(&mut self) -> String {
        let mut name = String::new();
        match self.chars.peek() {
            Some(first) if first.is_ascii_digit() => {
                while let Some(digit) = self.chars.next_if(char::is_ascii_digit) {
                    name.push(digit);
                }
            }
            Some('@' | '*' | '#' | '?' | '-' | '$' | '!') => name.extend(self.chars.next()),
            _ => {
                let inside = |char: &char| char.is_alphanumeric() || *char == '_';
                while let Some(char) = self.chars.next_if(inside) {
                    name.push(char);
                }
            }
        }
        name
    }

    fn value(&mut self, name: &str) -> Option<String> {
        if name.is_empty() {
            return None;
        }
        self.uses.push(name.to_owned());
        (self.lookup)(name)
    }
}

fn missing(what: &str) -> String {
    format!("syntax error: missing {what}")
}

fn unsupported(modifier: &str) -> String {
    format!("unsupported modifier ({modifier}) in substitution")
}
