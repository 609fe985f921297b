//! [`Listing`]: `--format` of lists, in docker's words.

use std::str::FromStr;

use serde_json::Value;

use super::error::Error;
use super::table::Table;
use super::template::Template;

/// How a list is printed.
#[derive(Debug, Clone)]
pub(crate) enum Listing {
    /// As a table, with the columns that it has by itself.
    Table,
    /// A JSON object a line.
    Json,
    /// A template for each row, whose tabs part columns, under these titles.
    Columns(Vec<String>, Template),
    /// A template for each row.
    Lines(Template),
}

impl FromStr for Listing {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        // Docker's command line writes tabs and ends of lines so.
        let template = |text: &str| text.replace("\\t", "\t").replace("\\n", "\n");
        match text.trim() {
            "table" => Ok(Self::Table),
            "json" => Ok(Self::Json),
            text => match text.strip_prefix("table ") {
                Some(rest) => {
                    let text = template(rest.trim_start());
                    Ok(Self::Columns(titles(&text), text.parse()?))
                }
                None => Ok(Self::Lines(template(text).parse()?)),
            },
        }
    }
}

impl Listing {
    /// The rows' text, each from its fields; None for the list's own table.
    pub(crate) fn of(&self, rows: &[Value]) -> Result<Option<String>, Error> {
        let fill = |template: &Template, row: &Value| {
            template.fill(row).map_err(|problem| {
                let hint = Some("--format json shows all fields".to_owned());
                Error::Usage { text: format!("--format: {problem}"), hint }
            })
        };
        Ok(Some(match self {
            Self::Table => return Ok(None),
            Self::Json => rows.iter().map(|row| format!("{row}\n")).collect(),
            Self::Lines(template) => {
                let lines = rows.iter().map(|row| Ok(fill(template, row)? + "\n"));
                lines.collect::<Result<_, Error>>()?
            }
            Self::Columns(titles, template) => {
                let titles: Vec<&str> = titles.iter().map(String::as_str).collect();
                let mut table = Table::new(&titles);
                for row in rows {
                    table.row(fill(template, row)?.split('\t').map(str::to_owned).collect());
                }
                table.to_string()
            }
        }))
    }
}

/// The titles of the columns of a template: docker's for the fields in them.
fn titles(text: &str) -> Vec<String> {
    text.split('\t').map(title).collect()
}

fn title(column: &str) -> String {
    let field = column.split('.').nth(1).unwrap_or_default();
    let end = field.find(|c: char| !c.is_alphanumeric()).unwrap_or(field.len());
    match &field[..end] {
        "ID" => "IMAGE ID".to_owned(),
        "CreatedSince" => "CREATED".to_owned(),
        "TotalCount" => "TOTAL".to_owned(),
        name => {
            let mut title = String::new();
            for (at, c) in name.chars().enumerate() {
                if at > 0 && c.is_uppercase() {
                    title.push(' ');
                }
                title.extend(c.to_uppercase());
            }
            title
        }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn rows_are_printed_as_docker_prints_them() {
        let rows =
            [json!({"Repository": "app", "Tag": "1"}), json!({"Repository": "b", "Tag": "latest"})];
        for (format, expected) in [
            ("{{.Repository}}:{{.Tag}}", "app:1\nb:latest\n"),
            (
                "json",
                "{\"Repository\":\"app\",\"Tag\":\"1\"}\n{\"Repository\":\"b\",\"Tag\":\"latest\"}\n",
            ),
            (
                "table {{.Repository}}\\t{{.Tag}}",
                "REPOSITORY   TAG\napp          1\nb            latest\n",
            ),
        ] {
            let listing: Listing = format.parse().expect(format);
            assert_eq!(listing.of(&rows).expect(format).as_deref(), Some(expected));
        }
        assert_eq!("table".parse::<Listing>().expect("valid").of(&rows).expect("rows"), None);
        assert!("{{.Nothing}}".parse::<Listing>().expect("valid").of(&rows).is_err());
        assert_eq!(titles("{{.ID}}\t{{.CreatedAt}}\tx"), ["IMAGE ID", "CREATED AT", ""]);
    }
}
