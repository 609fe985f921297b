//! Lists: tags, repositories and referrers, page by page ("Listing Tags", "Listing Referrers").

use serde_json::{Value, json};

use super::names::Repository;
use super::refusal::{Refusal, Result};
use super::route::encoded;
use super::upload::digest;
use super::{Call, Registry};
use crate::http::server::{Answer, Payload};
use crate::image::{Descriptor, media_type};

/// A list of referrers is no longer than a manifest may be, in bytes; the rest is on the next page.
const PAGE: usize = 4 << 20;
/// So many repositories are listed on a page, unless the client wants fewer.
const REPOSITORIES: usize = 1000;

impl Registry {
    /// `GET /v2/NAME/tags/list`
    pub(super) fn tags(&self, call: &Call<'_>, repository: &Repository) -> Result<Answer> {
        let tags = match self.upstream_tags(repository)? {
            Some(tags) => tags,
            None => {
                let contents = self.shelf.contents(&self.store)?;
                let here = contents.get(&repository.key()).ok_or_else(|| {
                    let message = format!("there is no repository {:?}", repository.wire);
                    Refusal::new(404, "NAME_UNKNOWN", message)
                })?;
                here.tags.keys().cloned().collect()
            }
        };
        let (page, last) = page(call, tags.iter().map(String::as_str), usize::MAX)?;
        let body = json!({ "name": repository.wire, "tags": page });
        let path = format!("/v2/{}/tags/list", repository.wire);
        Ok(linked(json_answer(&body), call, &path, last))
    }

    /// `GET /v2/_catalog`
    pub(super) fn catalog(&self, call: &Call<'_>) -> Result<Answer> {
        let contents = self.shelf.contents(&self.store)?;
        let names = contents.values().filter_map(|here| here.name.as_ref());
        let mut names: Vec<String> = names.filter_map(|name| self.names.wire(name)).collect();
        names.sort_unstable();
        let (page, last) = page(call, names.iter().map(String::as_str), REPOSITORIES)?;
        let body = json!({ "repositories": page });
        Ok(linked(json_answer(&body), call, "/v2/_catalog", last))
    }

    /// `GET /v2/NAME/referrers/DIGEST`: whoever has none has an empty list.
    pub(super) fn referrers(
        &self,
        call: &Call<'_>,
        repository: &Repository,
        text: &str,
    ) -> Result<Answer> {
        let subject = digest(text)?;
        let contents = self.shelf.contents(&self.store)?;
        let here = contents.get(&repository.key()).and_then(|here| here.referrers.get(&subject));
        let mut all = here.cloned().unwrap_or_default();
        let elsewhere = self.upstream_referrers(repository, &subject).unwrap_or_default();
        all.extend(elsewhere.into_iter().map(|one| (one.digest.clone(), one)));
        let kind = call.query.get("artifactType").filter(|kind| !kind.is_empty());
        let after = call.query.get("last").map(digest).transpose()?;
        let wanted = all.values().filter(|one| {
            kind.is_none_or(|kind| one.artifact_type.as_deref() == Some(kind))
                && after.as_ref().is_none_or(|after| one.digest > *after)
        });
        let (mut page, mut size, mut last) = (Vec::new(), 0, None);
        for descriptor in wanted {
            let value = shown(descriptor);
            size += value.to_string().len() + 1;
            if size > PAGE && !page.is_empty() {
                last = page.last().map(|(digest, _): &(String, Value)| digest.clone());
                break;
            }
            page.push((descriptor.digest.to_string(), value));
        }
        let manifests: Vec<Value> = page.into_iter().map(|(_, value)| value).collect();
        let body = json!({
            "schemaVersion": 2,
            "mediaType": media_type::OCI_INDEX,
            "manifests": manifests,
        });
        let mut answer = json_answer(&body);
        answer.headers = vec![("content-type", media_type::OCI_INDEX.to_owned())];
        if kind.is_some() {
            answer = answer.header("oci-filters-applied", "artifactType");
        }
        if let Some(last) = last {
            let kind =
                kind.map_or_else(String::new, |kind| format!("&artifactType={}", encoded(kind)));
            let path = format!("/v2/{}/referrers/{subject}", repository.wire);
            answer = answer.header("link", format!("<{path}?last={last}{kind}>; rel=\"next\""));
        }
        Ok(answer)
    }
}

fn shown(descriptor: &Descriptor) -> Value {
    serde_json::to_value(descriptor).expect("a descriptor has string keys")
}

fn json_answer(body: &Value) -> Answer {
    Answer::new(200)
        .header("content-type", "application/json")
        .payload(Payload::Bytes(body.to_string().into_bytes()))
}

/// The names that the parameters `n` and `last` ask for, of a sorted list; and the last of them,
/// where more follow.
fn page<'a>(
    call: &Call<'_>,
    names: impl Iterator<Item = &'a str>,
    most: usize,
) -> Result<(Vec<&'a str>, Option<&'a str>)> {
    let count = match call.query.get("n") {
        None => most,
        Some(text) => text.parse::<usize>().map_err(|_| {
            let message = format!("n is {text:?}, which is no number");
            Refusal::new(400, "PAGINATION_NUMBER_INVALID", message)
        })?,
    };
    let after = call.query.get("last");
    let mut rest = names.filter(|name| after.is_none_or(|after| *name > after));
    let page: Vec<&str> = rest.by_ref().take(count.min(most)).collect();
    let last = page.last().copied().filter(|_| rest.next().is_some());
    Ok((page, last))
}

/// Says where the next page is.
fn linked(answer: Answer, call: &Call<'_>, path: &str, last: Option<&str>) -> Answer {
    let Some(last) = last else { return answer };
    let count = call.query.get("n").map_or_else(String::new, |n| format!("&n={n}"));
    answer.header("link", format!("<{path}?last={}{count}>; rel=\"next\"", encoded(last)))
}
