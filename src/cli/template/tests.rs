//! Templates as docker's users write them.

use serde_json::json;

use super::*;

#[test]
fn templates_are_filled_in_as_go_does() {
    let value = json!({
        "Id": "sha256:ab", "Size": 12, "None": null, "Yes": true,
        "Config": { "Env": ["A=1", "B=2"], "Labels": { "b": "2", "a.x": "1" } },
        "Layers": [ { "Digest": "d1" }, { "Digest": "d2" } ],
    });
    for (template, expected) in [
        ("{{.Id}}", "sha256:ab"),
        ("id={{ .Id }} {{.Size}}\\n", "id=sha256:ab 12\n"),
        ("{{json .Config.Env}}", r#"["A=1","B=2"]"#),
        ("{{.Config.Env}} {{.Config.Labels}}", "[A=1 B=2] map[a.x:1 b:2]"),
        ("{{range .Layers}}{{.Digest}};{{end}}", "d1;d2;"),
        (
            "{{range $i, $l := .Layers}}{{$i}}={{$l.Digest}}@{{$.Id}} {{end}}",
            "0=d1@sha256:ab 1=d2@sha256:ab ",
        ),
        ("{{range $k, $v := .Config.Labels}}{{$k}}={{$v}},{{end}}", "a.x=1,b=2,"),
        ("{{range .None}}x{{else}}none{{end}}", "none"),
        ("{{if .Yes}}y{{else}}n{{end}}{{if .None}}y{{else}}n{{end}}", "yn"),
        ("{{index .Config.Labels \"a.x\"}} {{(index .Layers 1).Digest}}", "1 d2"),
        (
            "{{len .Layers}} {{.Config.Env | json}} {{join .Config.Env \",\"}}",
            r#"2 ["A=1","B=2"] A=1,B=2"#,
        ),
        ("{{upper .Id}} {{.Id | len}} {{eq .Size 12}} {{not .Yes}}", "SHA256:AB 9 true false"),
        ("a {{- .Size -}} b{{/* nothing */}}", "a12b"),
        (
            "{{.Config.Nothing}} {{range .Layers}}{{.}}{{end}}",
            "<no value> map[Digest:d1]map[Digest:d2]",
        ),
        ("{{`{{}}`}} {{\"a\\\"}}\"}}", "{{}} a\"}}"),
    ] {
        let filled = template.parse::<Template>().expect(template).fill(&value);
        assert_eq!(filled.as_deref(), Ok(expected), "{template}");
    }
}

#[test]
fn what_is_beyond_is_refused_by_name() {
    for (template, part) in [
        ("{{.Id", "never closed"),
        ("{{}}", "nothing between"),
        ("{{with .X}}{{end}}", "{{with}}"),
        ("{{printf \"%s\" .Id}}", "\"printf\""),
        ("{{range .X}}", "no {{end}}"),
        ("{{end}}", "{{end}}"),
        ("{{if .X}}{{else if .Y}}{{end}}", "else if"),
        ("{{.A..B}}", "no field"),
        ("{{.A .B}}", "no function"),
        ("{{(.A}}", "( too many"),
        ("{{.A)}}", ") too many"),
        ("{{join .A}}", "join takes"),
        ("{{\"x}}", "never closed"),
    ] {
        let error = template.parse::<Template>().expect_err(template);
        assert!(error.contains(part), "{template}: {error}");
    }
    let value = json!({ "Id": 1 });
    for (template, part) in [
        ("{{.ID}}", "no field .ID; there are Id"),
        ("{{range .Id}}{{end}}", "range can't go over 1"),
        ("{{$x}}", "no variable $x"),
    ] {
        let error = template.parse::<Template>().expect(template).fill(&value);
        assert!(error.as_ref().is_err_and(|error| error.contains(part)), "{error:?}");
    }
}
