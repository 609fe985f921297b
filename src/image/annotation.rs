//! [`Annotations`]: what people say about an image beside its configuration, as buildx takes it.

use std::collections::BTreeMap;

use super::{Error, Platform};

/// What an annotation stands on (image-spec annotations.md).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Annotated {
    Manifest,
    /// What points to the manifest.
    ManifestDescriptor,
    Index,
    /// What points to the index.
    IndexDescriptor,
}

const KINDS: [(&str, Annotated); 4] = [
    ("manifest", Annotated::Manifest),
    ("manifest-descriptor", Annotated::ManifestDescriptor),
    ("index", Annotated::Index),
    ("index-descriptor", Annotated::IndexDescriptor),
];

/// One of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Annotation {
    pub on: Annotated,
    /// The one image that it is about; None: all. Of indexes always None.
    pub platform: Option<Platform>,
    pub name: String,
    pub value: String,
}

/// All of them. Of two with one name on one thing the later counts, but what is said of one platform
/// beats what is said of all.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Annotations(Vec<Annotation>);

impl Annotations {
    /// Adds what the text after `--annotation` says: `[KIND[PLATFORM],…:]NAME=VALUE`.
    pub fn add(&mut self, text: &str) -> Result<(), Error> {
        let wrong = |why: &str| Error::Annotation(text.to_owned(), why.to_owned());
        let (key, value) =
            text.split_once('=').ok_or_else(|| wrong("it is not of the form NAME=VALUE"))?;
        let (kinds, name) = key.split_once(':').unwrap_or(("manifest", key));
        for kind in kinds.split(',') {
            self.push(text, kind, name, value)?;
        }
        Ok(())
    }

    /// Adds what a field of an output says, whose key is `annotation[-KIND][PLATFORM].NAME`; false
    /// when it is none of these.
    pub fn add_field(&mut self, key: &str, value: &str) -> Result<bool, Error> {
        let Some(rest) = key.strip_prefix("annotation") else { return Ok(false) };
        if !rest.starts_with(['-', '.', '[']) {
            return Ok(false);
        }
        // A platform's name has no dot, and a kind's neither.
        let (kind, name) = rest.split_once('.').ok_or_else(|| {
            Error::Annotation(key.to_owned(), "it is not of the form annotation.NAME".to_owned())
        })?;
        let kind = match kind.strip_prefix('-') {
            Some(kind) => kind.to_owned(),
            None => format!("manifest{kind}"),
        };
        self.push(key, &kind, name, value)?;
        Ok(true)
    }

    fn push(&mut self, text: &str, kind: &str, name: &str, value: &str) -> Result<(), Error> {
        let wrong = |why: String| Error::Annotation(text.to_owned(), why);
        let (kind, platform) = match kind.split_once('[') {
            None => (kind, None),
            Some((kind, platform)) => {
                let platform = platform
                    .strip_suffix(']')
                    .ok_or_else(|| wrong("the platform does not end with ]".to_owned()))?;
                (kind, Some(platform.parse::<Platform>()?))
            }
        };
        let known = KINDS.iter().find(|(known, _)| *known == kind);
        let (_, on) = known.ok_or_else(|| {
            let all = KINDS.map(|(name, _)| name).join(", ");
            wrong(format!("{kind:?} is none of {all}"))
        })?;
        if name.is_empty() {
            return Err(wrong("it has no name".to_owned()));
        }
        if platform.is_some() && matches!(on, Annotated::Index | Annotated::IndexDescriptor) {
            return Err(wrong("an index is of no one platform".to_owned()));
        }
        let (name, value) = (name.to_owned(), value.to_owned());
        self.0.push(Annotation { on: *on, platform, name, value });
        Ok(())
    }

    /// Those on a thing; of one platform, those of that platform too.
    pub fn on(&self, on: Annotated, platform: Option<&Platform>) -> BTreeMap<String, String> {
        let mut found = BTreeMap::new();
        let fits = |wanted: &Platform| platform.is_some_and(|offered| is_same(wanted, offered));
        for is_special in [false, true] {
            for annotation in &self.0 {
                let taken = match &annotation.platform {
                    None => !is_special,
                    Some(wanted) => is_special && fits(wanted),
                };
                if annotation.on == on && taken {
                    found.insert(annotation.name.clone(), annotation.value.clone());
                }
            }
        }
        found
    }

    /// The first that is about an image for none of `platforms`.
    pub fn about_none_of(&self, platforms: &[Platform]) -> Option<&Annotation> {
        self.0.iter().find(|annotation| {
            annotation
                .platform
                .as_ref()
                .is_some_and(|wanted| !platforms.iter().any(|platform| is_same(wanted, platform)))
        })
    }

    /// Whether any is on an index, or on what points to one.
    pub fn need_an_index(&self) -> bool {
        self.0.iter().any(|one| matches!(one.on, Annotated::Index | Annotated::IndexDescriptor))
    }

    /// Whether Docker's manifests have no place for some.
    pub fn need_oci(&self) -> bool {
        self.0.iter().any(|one| one.on != Annotated::Manifest)
    }

    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// With those of `more`, which are later.
    #[must_use]
    pub fn and(&self, more: &Self) -> Self {
        Self([&self.0[..], &more.0[..]].concat())
    }
}

/// The same machine, however its variant is written.
fn is_same(a: &Platform, b: &Platform) -> bool {
    a.distance(b) == Some(0)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shown(annotations: &Annotations, on: Annotated, platform: Option<&str>) -> String {
        let platform = platform.map(|text| text.parse::<Platform>().expect(text));
        let found = annotations.on(on, platform.as_ref());
        let words: Vec<String> = found.into_iter().map(|(k, v)| format!("{k}={v}")).collect();
        words.join(" ")
    }

    #[test]
    fn kinds_and_platforms_are_told_apart() {
        let mut all = Annotations::default();
        for text in [
            "a=1",
            "manifest:a=2",
            "manifest[linux/amd64]:b=amd",
            "b=all",
            "manifest-descriptor,index-descriptor:c=x=y",
            "index,manifest[linux/arm64]:d=",
            "org.example:port=1", // of no known kind
        ] {
            assert_eq!(all.add(text).is_ok(), text != "org.example:port=1", "{text}");
        }
        for (on, platform, expected) in [
            (Annotated::Manifest, None, "a=2 b=all"),
            (Annotated::Manifest, Some("linux/amd64"), "a=2 b=amd"),
            (Annotated::Manifest, Some("linux/arm64/v8"), "a=2 b=all d="),
            (Annotated::ManifestDescriptor, Some("linux/amd64"), "c=x=y"),
            (Annotated::IndexDescriptor, None, "c=x=y"),
            (Annotated::Index, None, "d="),
        ] {
            assert_eq!(shown(&all, on, platform), expected, "{on:?} {platform:?}");
        }
        assert!(all.need_an_index() && all.need_oci());
        let amd = [Platform::new("linux", "amd64", None)];
        assert_eq!(all.about_none_of(&amd).map(|one| one.name.as_str()), Some("d"));
    }

    #[test]
    fn fields_of_outputs_say_the_same() {
        let mut all = Annotations::default();
        for key in [
            "annotation.a.b",
            "annotation-index.i",
            "annotation[linux/arm/v7].p",
            "annotation-manifest-descriptor[linux/arm/v7].q",
        ] {
            assert_eq!(all.add_field(key, "v").ok(), Some(true), "{key}");
        }
        assert_eq!(shown(&all, Annotated::Manifest, Some("linux/arm")), "a.b=v p=v");
        assert_eq!(shown(&all, Annotated::ManifestDescriptor, Some("linux/arm")), "q=v");
        assert_eq!(shown(&all, Annotated::Index, None), "i=v");
        for key in ["annotations.a", "annotation", "name"] {
            assert_eq!(all.add_field(key, "v").ok(), Some(false), "{key}");
        }
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for (text, why) in [
            ("a", "NAME=VALUE"),
            ("=v", "no name"),
            ("manifest:=v", "no name"),
            ("layer:a=v", "none of manifest, manifest-descriptor, index, index-descriptor"),
            ("index[linux/amd64]:a=v", "no one platform"),
            ("manifest[linux/amd64:a=v", "does not end"),
            ("manifest[a/b/c/d]:a=v", "platform"),
        ] {
            let error = Annotations::default().add(text).expect_err(text).to_string();
            assert!(error.contains(why), "{text}: {error}");
        }
        for key in ["annotation-layer.a", "annotation-", "annotation."] {
            assert!(Annotations::default().add_field(key, "v").is_err(), "{key}");
        }
    }
}
