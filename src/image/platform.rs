//! [`Platform`]: operating system, architecture, variant; and how one is picked from an index.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use super::Error;

/// As an index's descriptor writes it (image-spec image-index.md, `platform`). Unknown fields
/// (`os.features`, …) are kept.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Platform {
    #[serde(default)]
    pub architecture: String,
    #[serde(default)]
    pub os: String,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub variant: Option<String>,
    #[serde(flatten)]
    pub extra: Map<String, Value>,
}

impl Platform {
    /// The machine that we run on.
    pub fn host() -> Self {
        Self::new("linux", architecture(std::env::consts::ARCH), None)
    }

    pub fn new(os: &str, architecture: &str, variant: Option<&str>) -> Self {
        Self {
            architecture: architecture.to_owned(),
            os: os.to_owned(),
            variant: variant.map(str::to_owned),
            extra: Map::new(),
        }
    }

    /// The same in the form that builders tell it in: what an architecture's default variant is
    /// goes without saying, except for 32-bit arm's, which many take for another one.
    #[must_use]
    pub fn normalized(&self) -> Self {
        let variant = match (self.architecture.as_str(), self.variant.as_deref()) {
            ("arm64", Some("v8" | "8")) | ("amd64", Some("v1")) => None,
            ("arm", None) => Some("v7"),
            ("arm", Some("5")) => Some("v5"),
            ("arm", Some("6")) => Some("v6"),
            ("arm", Some("7")) => Some("v7"),
            ("arm", Some("8")) => Some("v8"),
            (_, other) => other,
        };
        Self { variant: variant.map(str::to_owned), ..self.clone() }
    }

    /// How well an entry of an index serves somebody who wants `self`: None when it does not run
    /// there, else the smaller the better. arm64 means v8; a later 32-bit arm runs earlier code
    /// (v7 runs v6 and v5).
    pub fn distance(&self, offered: &Self) -> Option<u32> {
        if self.os != offered.os || self.architecture != offered.architecture {
            return None;
        }
        let (wanted, offered) = (self.level(), offered.level());
        match self.architecture.as_str() {
            "arm" => wanted.checked_sub(offered),
            // x86-64-v3 runs v2 and v1, never the other way round.
            "amd64" => wanted.checked_sub(offered),
            _ => (wanted == offered).then_some(0),
        }
    }

    /// The variant as a number, with each architecture's default.
    fn level(&self) -> u32 {
        let default = match self.architecture.as_str() {
            "arm64" => 8,
            "arm" => 7,
            "amd64" => 1,
            _ => 0,
        };
        match &self.variant {
            Some(variant) => variant.trim_start_matches('v').parse().unwrap_or(u32::MAX),
            None => default,
        }
    }
}

/// Go's names. One that stands alone must be among them: it may be anything else mistyped.
const ARCHITECTURES: [&str; 16] = [
    "386", "amd64", "arm", "arm64", "loong64", "mips", "mips64", "mips64le", "mipsle", "ppc64",
    "ppc64le", "riscv64", "s390x", "sparc64", "wasm", "ppc",
];

/// The variant that the name of an architecture says.
fn variant(name: &str) -> Option<&'static str> {
    matches!(name, "armel" | "armv6l").then_some("v6")
}

/// Go's name, which images use, for the machine's own (`uname -m`, Rust) or any other spelling.
fn architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" | "armv8l" => "arm64",
        "i386" | "i686" | "x86" => "386",
        "armhf" | "armel" | "armv7l" | "armv6l" => "arm",
        "powerpc64le" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

impl FromStr for Platform {
    type Err = Error;

    /// `OS/ARCH[/VARIANT]`, or an architecture alone, which means linux.
    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = |why| Error::Platform(text.to_owned(), why);
        let parts: Vec<&str> = text.split('/').collect();
        let word = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '-' | '.');
        if parts.iter().any(|part| part.is_empty() || !part.chars().all(word)) {
            return Err(wrong("the form is OS/ARCH or OS/ARCH/VARIANT"));
        }
        let lower = |part: &str| part.to_ascii_lowercase();
        Ok(match parts[..] {
            ["linux"] => Self::host(),
            [alone] if !ARCHITECTURES.contains(&architecture(&lower(alone))) => {
                return Err(wrong("unknown operating system or architecture"));
            }
            [arch] => Self::new("linux", architecture(&lower(arch)), variant(&lower(arch))),
            [os, arch] => Self::new(&lower(os), architecture(&lower(arch)), variant(&lower(arch))),
            [os, arch, variant] => {
                Self::new(&lower(os), architecture(&lower(arch)), Some(&lower(variant)))
            }
            _ => return Err(wrong("the form is OS/ARCH or OS/ARCH/VARIANT")),
        })
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parses_what_people_write() {
        for (text, shown) in [
            ("linux/amd64", "linux/amd64"),
            ("arm64", "linux/arm64"),
            ("x86_64", "linux/amd64"),
            ("Linux/aarch64", "linux/arm64"),
            ("linux/arm/v7", "linux/arm/v7"),
            ("armhf", "linux/arm"),
            ("linux/armel", "linux/arm/v6"),
            ("linux/anything", "linux/anything"),
        ] {
            assert_eq!(text.parse::<Platform>().expect(text).to_string(), shown);
        }
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/am d64", "foo", "amd46"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad} was accepted");
        }
    }

    #[test]
    fn defaults_go_without_saying() {
        for (text, shown) in [
            ("linux/arm64/v8", "linux/arm64"),
            ("linux/arm64/v9", "linux/arm64/v9"),
            ("linux/arm", "linux/arm/v7"),
            ("linux/arm/6", "linux/arm/v6"),
            ("linux/amd64/v1", "linux/amd64"),
            ("linux/amd64/v3", "linux/amd64/v3"),
            ("linux/riscv64", "linux/riscv64"),
        ] {
            let platform: Platform = text.parse().expect(text);
            assert_eq!(platform.normalized().to_string(), shown);
        }
    }

    #[test]
    fn variants_match_as_machines_do() {
        let distance = |wanted: &str, offered: &str| {
            let parse = |text: &str| text.parse::<Platform>().expect(text);
            parse(wanted).distance(&parse(offered))
        };
        assert_eq!(distance("linux/arm64", "linux/arm64/v8"), Some(0));
        assert_eq!(distance("linux/arm/v7", "linux/arm/v6"), Some(1));
        assert_eq!(distance("linux/arm/v6", "linux/arm/v7"), None);
        assert_eq!(distance("linux/amd64", "linux/arm64"), None);
        assert_eq!(distance("linux/amd64", "linux/amd64/v3"), None);
    }
}
