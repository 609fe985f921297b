//! `bryo delete`.

use crate::cli::args::{Login, Network};
use crate::cli::batch;
use crate::cli::error::Error;
use crate::cli::invocation::Invocation;
use crate::cli::network::Remote;
use crate::image::{Content, Digest, Reference, media_type};

/// Delete tags and images from a registry
///
/// A name with a tag deletes that tag and nothing else: other tags of the same image stay, and so
/// does the image under its digest. A name with a digest deletes the image, with all that names it.
/// Prints what was deleted.
#[derive(Debug, clap::Args)]
#[command(after_long_help = "Examples:
  bryo delete registry.example/team/app:old
  bryo delete --dry-run registry.example/team/app@sha256:…
  bryo digest --full-ref registry.example/team/app:old | xargs bryo delete --force")]
pub(crate) struct Delete {
    /// What to delete: NAME:TAG or NAME@DIGEST
    #[arg(required = true, value_name = "NAME")]
    names: Vec<String>,
    /// Only print what would be deleted
    #[arg(long)]
    dry_run: bool,
    /// Delete an image that tags name or that something refers to (a signature, say)
    #[arg(short, long)]
    force: bool,
    #[command(flatten)]
    network: Network,
    #[command(flatten)]
    login: Login,
}

impl Delete {
    pub(crate) fn run(&self, invocation: &Invocation) -> Result<(), Error> {
        let remote = self.network.remote_as(invocation, self.login.given(invocation)?)?;
        let names = self.names.iter().map(|text| doomed(&remote, text));
        // All of them are looked at before the first is deleted.
        batch::each(names.collect::<Result<Vec<_>, _>>()?, |name| {
            let lines = self.delete(&remote, name)?.into_iter().chain([name.to_string()]);
            invocation.print(&lines.map(|line| line + "\n").collect::<String>())
        })
    }

    /// Deletes one of them; gives what went with it.
    fn delete(&self, remote: &Remote, name: &Reference) -> Result<Vec<String>, Error> {
        let registry = remote.registry(name.registry());
        match (name.digest(), name.tag()) {
            (Some(digest), _) => {
                let held = self.held(remote, name, digest)?;
                if !self.dry_run {
                    registry.delete_manifest(name.repository(), digest)?;
                }
                Ok(held)
            }
            (None, Some(tag)) => {
                remote.head(name)?;
                if !self.dry_run {
                    registry.delete_tag(name.repository(), tag)?;
                }
                Ok(Vec::new())
            }
            (None, None) => unreachable!("a name has one of them"),
        }
    }

    /// The tags that an image would take along.
    fn held(
        &self,
        remote: &Remote,
        name: &Reference,
        digest: &Digest,
    ) -> Result<Vec<String>, Error> {
        let registry = remote.registry(name.registry());
        let repository = name.repository();
        remote.head(name)?;
        let (mut tags, mut whole) = (Vec::new(), Vec::new());
        for tag in registry.tags(repository)? {
            // Somebody may delete it while we look.
            let found = registry.head_manifest(repository, &tag)?;
            let Some(found) = found else { continue };
            let full = format!("{}/{repository}:{tag}", name.registry());
            if found.digest == *digest {
                tags.push(full);
            } else if media_type::is_index(&found.media_type)
                && let Content::Index(index) = registry.manifest(repository, &tag)?
                && index.manifests.iter().any(|part| part.digest == *digest)
            {
                whole.push(full);
            }
        }
        if self.force {
            return Ok(tags);
        }
        let hint = "--force deletes it all the same".to_owned();
        if !tags.is_empty() {
            let text = format!("{name} would take its tags along: {}", tags.join(", "));
            return Err(Error::Refused { text, hint: Some(hint) });
        }
        // The lists that clients keep of referrers are indexes, too; they are changed with it.
        whole.retain(|full| !full.contains(":sha256-") && !full.contains(":sha512-"));
        if !whole.is_empty() {
            let text = format!("{name} is part of an index: {}", whole.join(", "));
            return Err(Error::Refused { text, hint: Some(hint) });
        }
        let referrers = registry.referrers(repository, digest, None)?;
        if let Some(first) = referrers.first() {
            let (count, first) = (referrers.len(), &first.digest);
            let text = format!("something refers to {name}: {count} in all, the first is {first}");
            let hint = format!("`bryo referrers {name}` shows them; {hint}");
            return Err(Error::Refused { text, hint: Some(hint) });
        }
        Ok(tags)
    }
}

/// A name that says what is to be deleted: nobody means `latest` without writing it.
fn doomed(remote: &Remote, text: &str) -> Result<Reference, Error> {
    let name = remote.reference(text)?;
    let usage = |text: String| {
        let hint = Some("write NAME:TAG, which deletes the tag alone, or NAME@DIGEST".to_owned());
        Err(Error::Usage { text, hint })
    };
    if remote.repository(text).is_ok() {
        return usage(format!("{text} has neither a tag nor a digest"));
    }
    if name.tag().is_some() && name.digest().is_some() {
        return usage(format!("{text} has a tag and a digest"));
    }
    Ok(name)
}
