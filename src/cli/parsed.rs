//! A Dockerfile as `bryo build --parse-only` prints it.

use serde_json::{Map, Value, json};

use crate::dockerfile::{Diagnostic, Directives, Form, Node, Syntax};

/// For programs: every instruction as it is written, nothing expanded.
pub(crate) fn json(syntax: &Syntax, warnings: &[Diagnostic]) -> Value {
    let warnings: Vec<Value> = warnings
        .iter()
        .filter(|found| found.rule.is_some())
        .map(
            |found| json!({ "rule": found.rule, "line": found.span.line, "detail": found.message }),
        )
        .collect();
    json!({
        "instructions": syntax.nodes.iter().map(instruction).collect::<Vec<_>>(),
        "directives": directives(&syntax.directives),
        "warnings": warnings,
    })
}

/// For people: a line for each instruction.
pub(crate) fn text(syntax: &Syntax) -> String {
    syntax.nodes.iter().map(|node| format!("{:4}  {}\n", node.span.line, node.original)).collect()
}

fn instruction(node: &Node) -> Value {
    let heredocs: Vec<Value> = node
        .heredocs
        .iter()
        .map(|heredoc| {
            json!({
                "name": heredoc.name,
                "body": heredoc.content,
                "expand": heredoc.expand,
                "chomp": heredoc.strip_tabs,
                "fd": heredoc.descriptor,
            })
        })
        .collect();
    json!({
        "line": node.span.line,
        "end_line": node.span.end_line,
        "name": node.keyword.to_ascii_uppercase(),
        "flags": node.flags.iter().map(|(flag, _)| flag).collect::<Vec<_>>(),
        "args": node.arguments,
        "form": match node.form {
            Form::Shell => "shell",
            Form::Exec => "exec",
        },
        "heredocs": heredocs,
        "sub": node.trigger.as_deref().map_or_else(|| json!({}), instruction),
        "original": node.original,
    })
}

fn directives(directives: &Directives) -> Value {
    let Directives { syntax, escape, check } = directives;
    let escape = (*escape != Directives::default().escape).then(|| escape.to_string());
    let given = [("syntax", syntax.clone()), ("escape", escape), ("check", check.clone())];
    let given =
        given.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into())));
    Value::Object(given.collect::<Map<_, _>>())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::dockerfile::read;

    #[test]
    fn everything_is_kept_as_it_is_written() {
        let text = "# escape=`\nfrom a as b\nENV x=\"1 2\" y=$z\nENV old way\n\
                    RUN --mount=type=tmpfs,target=/t <<-E\n\techo\n\tE\n\
                    onbuild COPY [\"a\", \"b\"]\nHEALTHCHECK\n";
        let (syntax, warnings) = read(text);
        let value = json(&syntax, &warnings);
        assert_eq!(value["directives"], json!({ "escape": "`" }));
        let one = |at: usize, key: &str| value["instructions"][at][key].clone();
        assert_eq!((one(0, "name"), one(0, "args")), (json!("FROM"), json!(["a", "as", "b"])));
        assert_eq!(one(1, "args"), json!(["x", "\"1 2\"", "=", "y", "$z", "="]));
        assert_eq!(one(2, "args"), json!(["old", "way", ""]));
        assert_eq!((one(3, "line"), one(3, "end_line")), (json!(5), json!(7)));
        assert_eq!(one(3, "flags"), json!(["--mount=type=tmpfs,target=/t"]));
        assert_eq!(
            one(3, "heredocs"),
            json!([{ "name": "E", "body": "\techo\n", "expand": true, "chomp": true, "fd": 0 }])
        );
        assert_eq!(
            (one(4, "sub")["name"].clone(), one(4, "sub")["form"].clone()),
            (json!("COPY"), json!("exec"))
        );
        assert_eq!(
            (one(5, "args"), one(5, "sub"), one(5, "original")),
            (json!([]), json!({}), json!("HEALTHCHECK"))
        );
        assert!(super::text(&syntax).starts_with("   2  from a as b\n"));
    }
}
