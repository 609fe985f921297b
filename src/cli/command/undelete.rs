//! `bryo undelete`.

use super::rm::{matching, shown};
use crate::cli::batch;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::dockerfile::Glob;
use crate::image::Reference;
use crate::store::{self, Name, Store};

/// Bring images back that were removed
///
/// A removed image can be brought back until its layers are deleted, as `bryo images --undeletable`
/// lists them. A name that stands for another image by now is refused. Prints what was brought back.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo images --undeletable
  bryo undelete app:1")]
pub(crate) struct Undelete {
    /// Names, or patterns; of images that had none, the digest or the beginning of it
    #[arg(required = true, value_name = "IMAGE|PATTERN")]
    images: Vec<String>,
}

impl Undelete {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let store = invocation.store()?;
        batch::each(&self.images, |text| {
            let names = match Glob::is_pattern(text) {
                true => {
                    let all = store.forgotten_refs()?.into_iter();
                    matching(all.map(|forgotten| forgotten.entry.name), text)?
                }
                false => vec![meant(&store, text)?],
            };
            for name in names {
                let entry = store.restore(&name)?;
                invocation.print(&format!("{}\n", shown(&entry.name)))?;
            }
            Ok(())
        })
    }
}

fn meant(store: &Store, text: &str) -> Result<Name, Error> {
    let hex = text.strip_prefix("sha256:").unwrap_or(text);
    let mut nameless: Vec<Name> = Vec::new();
    for forgotten in store.forgotten_refs()? {
        match forgotten.entry.name {
            Name::Tagged(name) if text.parse::<Reference>().is_ok_and(|text| text == name) => {
                return Ok(Name::Tagged(name));
            }
            Name::Anonymous(digest) if hex.len() >= 4 && digest.hex().starts_with(hex) => {
                nameless.push(Name::Anonymous(digest));
            }
            _ => {}
        }
    }
    match nameless.len() {
        0 if text.parse::<Reference>().is_ok() => Ok(Name::Tagged(text.parse()?)),
        0 => Err(store::Error::NotForgotten(text.to_owned()).into()),
        1 => Ok(nameless.remove(0)),
        _ => Err(store::Error::Ambiguous(text.to_owned()).into()),
    }
}
