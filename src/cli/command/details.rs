//! All about one image, as ch-image's `list` has it: here, in the build cache, in its registry.

use std::collections::HashSet;
use std::fmt::Write as _;

use crate::cli::error::Error;
use crate::cli::network::Remote;
use crate::cli::table::Table;
use crate::image::{Content, Descriptor, Platform, Reference, Timestamp};
use crate::inspect::info;
use crate::registry;
use crate::store::{self, Store};
use crate::transfer::{self, Source as _, source};

/// The block of text about what `text` names. The registry is asked; when it cannot be, that is part of
/// the answer.
pub(super) fn of(store: &Store, remote: &Remote, text: &str) -> Result<String, Error> {
    let entry = match store.find(text) {
        Ok(entry) => Some(entry),
        Err(store::Error::NotFound(_)) => None,
        Err(error) => return Err(error.into()),
    };
    // Of an image that was named by its ID, the name is what a registry knows.
    let reference = match &entry {
        Some(store::RefEntry { name: store::Name::Tagged(name), .. }) => Some(name.clone()),
        _ => text.parse::<Reference>().ok(),
    };
    let mut block = String::new();
    let mut line = |title: &str, value: &str| {
        writeln!(block, "{:<22}{value}", format!("{title}:")).expect("a String");
    };
    line("details of image", text);
    let found = entry.as_ref().map(|entry| info(store, entry)).transpose()?;
    line(
        "in local storage",
        &match (&entry, &found) {
            (Some(entry), Some(found)) => {
                let platform = found.platform().map(|platform| architecture(&platform));
                let modified = store.named_at(&entry.name).map(Timestamp::from);
                let modified = modified.map(|time| Timestamp::from_seconds(time.seconds()));
                let modified =
                    modified.map_or_else(String::new, |time| format!(", modified: {time}"));
                format!("yes ({}){modified}", platform.unwrap_or_else(|| "index".to_owned()))
            }
            _ => "no".to_owned(),
        },
    );
    line(
        "in build cache",
        &match &found {
            Some(found) => in_cache(store, &found.layers)?,
            None => "no".to_owned(),
        },
    );
    let Some(reference) = reference else {
        line("full remote ref", "n/a");
        return Ok(block);
    };
    line("full remote ref", &reference.to_string());
    let source = source::Registry::new(remote.registry(reference.registry()), reference);
    let answer = source.root();
    line("available remotely", &available(&answer));
    let aware = match &answer {
        Ok(Content::Index(_)) => "yes",
        Ok(_) => "no",
        Err(_) => "n/a",
    };
    line("remote arch-aware", aware);
    line("host architecture", &architecture(&Platform::host()));
    match answer {
        Ok(Content::Index(index)) => {
            line("archs available", "");
            let mut table = Table::new(&[]);
            for entry in &index.manifests {
                let platform = entry.platform.as_ref().filter(|platform| platform.os != "unknown");
                if let Some(platform) = platform {
                    table.row(vec![
                        format!("  {}", architecture(platform)),
                        entry.digest.short().to_owned(),
                    ]);
                }
            }
            block += table.to_string().trim_start_matches('\n');
        }
        Ok(_) => line("archs available", "unknown"),
        Err(_) => line("archs available", "n/a"),
    }
    Ok(block)
}

/// `arm64/v8`; with the system where that is not Linux.
fn architecture(platform: &Platform) -> String {
    let whole = platform.to_string();
    whole.strip_prefix("linux/").unwrap_or(&whole).to_owned()
}

/// How many of the layers a step of a build made, and is remembered to have made.
fn in_cache(store: &Store, layers: &[Descriptor]) -> Result<String, Error> {
    let cached: HashSet<_> = store
        .cached_steps()?
        .into_iter()
        .filter_map(|(_, entry)| entry.layer)
        .map(|layer| layer.descriptor.digest)
        .collect();
    let count = layers.iter().filter(|layer| cached.contains(&layer.digest)).count();
    Ok(match count {
        0 => "no".to_owned(),
        count => format!("yes ({count} of {} layers)", layers.len()),
    })
}

fn available(answer: &Result<Content, transfer::Error>) -> String {
    match answer {
        Ok(_) => "yes".to_owned(),
        Err(transfer::Error::Registry(error)) => match error.kind() {
            registry::Kind::NotFound | registry::Kind::Denied => {
                "no (or you are not authorized)".to_owned()
            }
            _ => format!("unknown ({error})"),
        },
        Err(error) => format!("unknown ({error})"),
    }
}
