//! One record of comma-separated values, as `RUN --mount` and `--device` are written.

/// The fields of a record. A field that begins with a quotation mark may contain commas and
/// doubled quotation marks.
///
/// # Errors
///
/// The reason, in the words of the reference's reader; columns are counted in bytes.
pub fn fields(text: &str) -> Result<Vec<String>, String> {
    let wrong = |column: usize, why: &str| format!("parse error on line 1, column {column}: {why}");
    let quoted = "extraneous or missing \" in quoted-field";
    if text.is_empty() {
        return Err("EOF".to_owned());
    }
    let mut fields = Vec::new();
    let mut rest = text;
    loop {
        let begin = text.len() - rest.len();
        let Some(mut inside) = rest.strip_prefix('"') else {
            let (field, after) = rest.split_once(',').map_or((rest, None), |(f, a)| (f, Some(a)));
            if let Some(at) = field.find('"') {
                return Err(wrong(begin + at + 1, "bare \" in non-quoted-field"));
            }
            fields.push(field.to_owned());
            match after {
                Some(after) => rest = after,
                None => return Ok(fields),
            }
            continue;
        };
        let mut field = String::new();
        loop {
            let Some((part, after)) = inside.split_once('"') else {
                return Err(wrong(text.len() + 1, quoted));
            };
            field.push_str(part);
            match after.chars().next() {
                None => {
                    fields.push(field);
                    return Ok(fields);
                }
                Some(',') => {
                    fields.push(std::mem::take(&mut field));
                    rest = &after[1..];
                    break;
                }
                Some('"') => {
                    field.push('"');
                    inside = &after[1..];
                }
                Some(_) => return Err(wrong(text.len() - after.len(), quoted)),
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_protect_commas() {
        for (text, expected) in [
            ("a", &["a"][..]),
            ("a,b=c", &["a", "b=c"]),
            (",", &["", ""]),
            ("a,,b", &["a", "", "b"]),
            ("\"a,b\",c", &["a,b", "c"]),
            ("a,\"b\"\"c\"", &["a", "b\"c"]),
            ("\"\"", &[""]),
            (" a ,b", &[" a ", "b"]),
        ] {
            assert_eq!(
                fields(text).as_deref(),
                Ok(&expected.iter().map(ToString::to_string).collect::<Vec<_>>()[..]),
                "{text}"
            );
        }
        for (text, expected) in [
            ("", "EOF"),
            ("a\"b,c", "parse error on line 1, column 2: bare \" in non-quoted-field"),
            (
                "\"a\"b,c",
                "parse error on line 1, column 3: extraneous or missing \" in quoted-field",
            ),
        ] {
            assert_eq!(fields(text), Err(expected.to_owned()), "{text}");
        }
    }

    proptest! {
        #[test]
        fn what_is_quoted_comes_back(words in prop::collection::vec(r#"[a"=, é]{0,6}"#, 1..5)) {
            let quoted: Vec<String> =
                words.iter().map(|word| format!("\"{}\"", word.replace('"', "\"\""))).collect();
            prop_assert_eq!(fields(&quoted.join(",")), Ok(words));
        }

        #[test]
        fn never_panics(text in r#"[a",=é]{0,20}"#) {
            drop(fields(&text));
        }
    }
}
