//! `--attest`, `--provenance` and `--sbom`: what shall be said about an image, in docker's words.

use crate::build::{Attestations, Mode, Provenance, Sbom};
use crate::cli::error::Error;

#[derive(Debug, clap::Args)]
pub(crate) struct Attest {
    /// Say something about the image, in the index that it gets: type=provenance[,mode=min|max],
    /// how it came to be (SLSA), or type=sbom, what is in it (SPDX); may be repeated
    #[arg(long, value_name = "type=TYPE[,KEY=VALUE]...")]
    attest: Vec<String>,
    /// The same as --attest type=provenance
    #[arg(long, value_name = "true|false|KEY=VALUE[,KEY=VALUE]...")]
    #[arg(num_args = 0..=1, default_missing_value = "true")]
    provenance: Option<String>,
    /// The same as --attest type=sbom
    #[arg(long, value_name = "true|false")]
    #[arg(num_args = 0..=1, default_missing_value = "true")]
    sbom: Option<String>,
}

impl Attest {
    /// What was asked for.
    pub(crate) fn wish(&self) -> Result<Attestations, Error> {
        let mut wish = Attestations::default();
        let mut seen: Vec<String> = Vec::new();
        let short = |kind: &str, text: &Option<String>| {
            let text = text.as_deref()?;
            Some(match switch(text) {
                Some(on) => format!("type={kind},disabled={}", !on),
                None => format!("type={kind},{text}"),
            })
        };
        let more = [short("provenance", &self.provenance), short("sbom", &self.sbom)];
        for text in self.attest.iter().cloned().chain(more.into_iter().flatten()) {
            let wrong = |why: String| Error::Usage {
                text: format!("invalid attestation {text:?}: {why}"),
                hint: None,
            };
            let fields = fields(&text).map_err(wrong)?;
            let kind = fields.iter().find(|(key, _)| key == "type");
            let (_, kind) =
                kind.ok_or_else(|| wrong("attestation type not specified".to_owned()))?;
            if seen.contains(kind) {
                return Err(wrong(format!("duplicate attestation field {kind}")));
            }
            seen.push(kind.clone());
            match kind.as_str() {
                "provenance" => wish.provenance = provenance(&fields).map_err(wrong)?,
                "sbom" => wish.sbom = sbom(&fields).map_err(wrong)?,
                other => {
                    return Err(wrong(format!("type {other:?}: provenance and sbom are known")));
                }
            }
        }
        Ok(wish)
    }
}

/// A list of values separated by commas; one in quotation marks may have commas itself.
fn fields(text: &str) -> Result<Vec<(String, String)>, String> {
    let mut fields: Vec<(String, String)> = Vec::new();
    let (mut field, mut quoted) = (String::new(), false);
    for c in text.chars().chain([',']) {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => {
                let field = std::mem::take(&mut field);
                let (key, value) =
                    field.split_once('=').ok_or_else(|| format!("{field:?} is no KEY=VALUE"))?;
                let key = key.trim().to_lowercase();
                if fields.iter().any(|(known, _)| *known == key) {
                    return Err(format!("{key} is said twice"));
                }
                fields.push((key, value.to_owned()));
            }
            other => field.push(other),
        }
    }
    if quoted { Err("a quotation mark has no second one".to_owned()) } else { Ok(fields) }
}

/// None when it is disabled.
fn provenance(fields: &[(String, String)]) -> Result<Option<Provenance>, String> {
    let mut wish = Provenance::default();
    let mut disabled = false;
    for (key, value) in fields {
        match key.as_str() {
            "type" => {}
            "disabled" => disabled = boolean(key, value)?,
            "mode" => {
                wish.mode = match value.as_str() {
                    "min" => Mode::Min,
                    "max" | "full" => Mode::Max,
                    _ => return Err(format!("invalid mode {value:?}: min and max are known")),
                }
            }
            "version" if value == "v1" => {}
            "version" if value == "v0.2" => {
                return Err("only version=v1 of SLSA provenance is written".to_owned());
            }
            "version" => return Err(format!("invalid provenance SLSA version: {value}")),
            "builder-id" => wish.builder_id.clone_from(value),
            "reproducible" => wish.reproducible = boolean(key, value)?,
            "inline-only" => wish.inline_only = boolean(key, value)?,
            "filename" => wish.file = file_name(value)?,
            _ => {
                return Err(unknown(
                    key,
                    "mode, version, builder-id, reproducible, inline-only and filename",
                ));
            }
        }
    }
    Ok((!disabled).then_some(wish))
}

/// None when it is disabled.
fn sbom(fields: &[(String, String)]) -> Result<Option<Sbom>, String> {
    let mut wish = Sbom::default();
    let mut disabled = false;
    for (key, value) in fields {
        match key.as_str() {
            "type" => {}
            "disabled" => disabled = boolean(key, value)?,
            "inline-only" => wish.inline_only = boolean(key, value)?,
            "generator" => {
                return Err(format!(
                    "no generator is run: bryo reads the databases of dpkg, apk and rpm itself; \
                     leave out generator={value}"
                ));
            }
            _ => return Err(unknown(key, "inline-only")),
        }
    }
    Ok((!disabled).then_some(wish))
}

fn unknown(key: &str, known: &str) -> String {
    match key.contains('=') || key.is_empty() {
        true => format!("{key:?} is no KEY=VALUE"),
        false => format!("{key:?} is not known: {known} are"),
    }
}

/// The words that docker takes for a switch.
fn switch(text: &str) -> Option<bool> {
    match text {
        "1" | "t" | "T" | "true" | "TRUE" | "True" => Some(true),
        "0" | "f" | "F" | "false" | "FALSE" | "False" => Some(false),
        _ => None,
    }
}

fn boolean(key: &str, value: &str) -> Result<bool, String> {
    switch(value).ok_or_else(|| format!("{key}={value:?} is neither true nor false"))
}

/// Beside an image's files, not anywhere else.
fn file_name(value: &str) -> Result<String, String> {
    match value.is_empty() || value.contains('/') || matches!(value, "." | "..") {
        true => Err(format!("filename={value:?} is no name of a file")),
        false => Ok(value.to_owned()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn wish(
        attest: &[&str],
        provenance: Option<&str>,
        sbom: Option<&str>,
    ) -> Result<Attestations, String> {
        let attest = attest.iter().map(|text| (*text).to_owned()).collect();
        let (provenance, sbom) = (provenance.map(str::to_owned), sbom.map(str::to_owned));
        Attest { attest, provenance, sbom }.wish().map_err(|error| error.message())
    }

    #[test]
    fn wishes_are_read() {
        let max = Provenance::default();
        let min = Provenance { mode: Mode::Min, ..max.clone() };
        let sbom = Sbom::default();
        for (attest, provenance, sbom_text, expected) in [
            (&[][..], None, None, (None, None)),
            (&["type=provenance"], None, None, (Some(&max), None)),
            (&["mode=min,type=provenance,version=v1"], None, None, (Some(&min), None)),
            (&["type=sbom"], Some("mode=min"), None, (Some(&min), Some(&sbom))),
            (&[], Some("true"), Some("true"), (Some(&max), Some(&sbom))),
            (&[], Some("false"), Some("0"), (None, None)),
            (&["type=provenance,disabled=true"], None, None, (None, None)),
            (&[], Some("mode=full"), None, (Some(&max), None)),
        ] {
            let found = wish(attest, provenance, sbom_text).expect("valid");
            let Attestations { provenance, sbom } = &found;
            assert_eq!((provenance.as_ref(), sbom.as_ref()), expected, "{attest:?}");
        }
        let found = wish(
            &[
                "\"type=provenance\",\"builder-id=https://h/a,b\",reproducible=true,inline-only=1,filename=p.json",
            ],
            None,
            None,
        );
        let found = found.expect("valid").provenance.expect("asked for");
        assert_eq!((&*found.builder_id, &*found.file), ("https://h/a,b", "p.json"));
        assert!(found.reproducible && found.inline_only);
    }

    #[test]
    fn what_makes_no_sense_is_told() {
        for (attest, provenance, sbom, part) in [
            (&["mode=max"][..], None, None, "attestation type not specified"),
            (&["type=signature"], None, None, "provenance and sbom are known"),
            (&["type=sbom", "type=sbom"], None, None, "duplicate attestation field sbom"),
            (&["type=provenance"], Some("true"), None, "duplicate attestation field provenance"),
            (&[], Some("mode=most"), None, "min and max are known"),
            (&[], Some("version=v0.2"), None, "only version=v1"),
            (&[], Some("version=v2"), None, "invalid provenance SLSA version: v2"),
            (&[], Some("."), None, "is no KEY=VALUE"),
            (&[], Some("filename=../x"), None, "is no name of a file"),
            (&[], Some("reproducible=so-so"), None, "neither true nor false"),
            (&[], Some("color=red"), None, "is not known"),
            (&[], None, Some("generator=docker/scout-sbom-indexer"), "no generator is run"),
            (&["type=sbom,type=sbom"], None, None, "said twice"),
            (&["type=\"sbom"], None, None, "quotation mark"),
        ] {
            let error = wish(attest, provenance, sbom).expect_err("made no sense");
            assert!(error.contains(part), "{error}");
        }
    }
}
