//! A URL: one file, fetched with the client that fetches images.

use std::fs::{self, File, Permissions};
use std::io::{self, Read as _, Write as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::time::{Duration, SystemTime};

use super::{Error, Fetched, Fetcher};
use crate::build::error::Fault;
use crate::build::files::Files;
use crate::build::key::{CacheKey, KeyMaker};
use crate::dockerfile::decoded;
use crate::http::{self, Attempts, Method, Request, Response, Url, retry_after};
use crate::image::{Digest, Hasher};
use crate::report;
use crate::rootfs::Root;
use crate::store::CacheEntry;

/// What a file is called whose URL says nothing about that. The reference's word.
const UNNAMED: &str = "__unnamed__";
/// Nobody but root may read it, unless `--chmod` says so.
const MODE: u32 = 0o600;
/// What it is called as long as it is not in the image.
const CONTENT: &str = "content";

/// A file behind a URL.
#[derive(Debug)]
pub(super) struct Address {
    url: Url,
    name: String,
    checksum: Option<Digest>,
}

/// What came of asking for a file.
#[derive(Debug)]
pub(super) enum Answer {
    /// It is what it was: the digest of its content.
    Known(Digest),
    Fetched(Box<Fetched>, Digest),
}

/// What came of one try.
enum Said {
    Known(Digest),
    /// Its content is in the file; `modified` is what the server says about its time.
    Saved {
        modified: Option<String>,
        digest: Digest,
    },
}

impl Address {
    pub(super) fn new(text: &str, checksum: Option<&str>) -> Result<Self, Error> {
        let wrong = |why: String| Error::Url { url: super::without_password(text), why };
        let url: Url = text.parse().map_err(|error| wrong(format!("{error}")))?;
        let checksum = checksum.map(|checksum| {
            checksum.parse().map_err(|error: crate::image::Error| Error::BadChecksum {
                checksum: checksum.to_owned(),
                why: error.to_string(),
            })
        });
        Ok(Self { name: name(&url), checksum: checksum.transpose()?, url })
    }

    /// For people: without what may be secret.
    pub(super) fn shown(&self) -> String {
        http::shown(&self.url)
    }

    /// Where it is, without user and password.
    pub(super) fn address(&self) -> String {
        super::without_password(self.url.as_str())
    }

    /// The last name of its path.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// What the Dockerfile says about its content.
    pub(super) fn checksum(&self) -> Option<&Digest> {
        self.checksum.as_ref()
    }

    /// Fetches it, and compares it with its checksum if there is one.
    pub(super) fn fetch(&self, fetcher: Fetcher<'_>) -> Result<Fetched, Fault> {
        match self.ask(fetcher, false)? {
            Answer::Fetched(fetched, _) => Ok(*fetched),
            Answer::Known(_) => unreachable!("all of it was asked for"),
        }
    }

    /// Asks for it. With `knows_content`, an answer that was fetched before is not read again: its
    /// entity tag says so.
    pub(super) fn ask(&self, fetcher: Fetcher<'_>, knows_content: bool) -> Result<Answer, Fault> {
        let workspace = fetcher.store.workspace()?;
        let path = workspace.path().join(CONTENT);
        let mut attempts = fetcher.services.web.patience.begin();
        let (modified, digest) = loop {
            match self.once(fetcher, &path, knows_content) {
                Ok(Said::Known(digest)) => return Ok(Answer::Known(digest)),
                Ok(Said::Saved { modified, digest }) => break (modified, digest),
                Err(Fault::Remote(error)) => wait(fetcher, &mut attempts, error)?,
                Err(fault) => return Err(fault),
            }
        };
        // As the reference: 1970 when the server does not say.
        let seconds = modified.as_deref().and_then(http::date).unwrap_or(0);
        let time = SystemTime::UNIX_EPOCH + Duration::from_secs(seconds);
        let write = |source| Error::Write { path: path.clone(), source };
        fs::set_permissions(&path, Permissions::from_mode(MODE)).map_err(write)?;
        File::options()
            .write(true)
            .open(&path)
            .and_then(|f| f.set_modified(time))
            .map_err(write)?;
        let files = Files::of_folder(Root::open(workspace.path())?);
        let mut source = files.at(Path::new(CONTENT))?;
        source.name = self.name.clone().into();
        Ok(Answer::Fetched(Box::new(Fetched { files, source, workspace }), digest))
    }

    /// By what its content is remembered while the server calls it so.
    fn tagged(&self, response: &Response) -> Option<CacheKey> {
        let tag = response.header("etag").filter(|tag| !tag.is_empty())?;
        let key = KeyMaker::new("fetched", None).field("url", self.url.as_str());
        Some(key.field("tag", tag).finish())
    }

    /// One try.
    fn once(&self, fetcher: Fetcher<'_>, path: &Path, knows_content: bool) -> Result<Said, Fault> {
        let web = fetcher.services.web;
        let trust = web.trust(&self.url);
        let request = Request { trust, ..Request::new(Method::Get, self.url.clone()) };
        let response = web.client.send(&request).map_err(Error::from)?;
        let shown = http::shown(&self.url);
        if !response.is_success() {
            let pause = response.header("retry-after").and_then(retry_after);
            return Err(Error::Status { url: shown, status: response.status(), pause }.into());
        }
        let tagged = self.tagged(&response);
        if let Some(key) = tagged.as_ref().filter(|_| knows_content)
            && let Some(known) = fetcher.store.cache_get(key.digest())?
            && let Some(digest) = known.content
        {
            return Ok(Said::Known(digest));
        }
        let modified = response.header("last-modified").map(str::to_owned);
        let title = format!("fetching {shown}");
        let running = report::start(fetcher.reporter, title, response.length());
        let actual = self.save(response, path, &running)?;
        if let Some(expected) = self.checksum.as_ref().filter(|expected| **expected != actual) {
            let (expected, actual) = (expected.to_string(), actual.to_string());
            return Err(Error::Digest { url: shown, expected, actual }.into());
        }
        running.finish(report::Outcome::Done);
        if let Some(key) = tagged.filter(|_| self.checksum.is_none()) {
            let created = String::new();
            let entry =
                CacheEntry { created, content: Some(actual.clone()), ..CacheEntry::default() };
            fetcher.store.cache_put(key.digest(), &entry)?;
        }
        Ok(Said::Saved { modified, digest: actual })
    }

    fn save(
        &self,
        mut response: Response,
        path: &Path,
        running: &report::Running<'_>,
    ) -> Result<Digest, Error> {
        let write = |source| Error::Write { path: path.to_owned(), source };
        let mut hasher = match &self.checksum {
            Some(checksum) => Hasher::new(checksum.algorithm()),
            None => Hasher::sha256(),
        };
        let mut file = File::create(path).map_err(write)?;
        let mut buffer = vec![0; 128 << 10];
        loop {
            match response.read(&mut buffer) {
                Ok(0) => return Ok(hasher.finish()),
                Ok(count) => {
                    hasher.update(&buffer[..count]);
                    file.write_all(&buffer[..count]).map_err(write)?;
                    running.advance(count as u64);
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(source) => return Err(Error::Cut { url: http::shown(&self.url), source }),
            }
        }
    }
}

/// Waits if another try may end better; else returns the error.
fn wait(fetcher: Fetcher<'_>, attempts: &mut Attempts, error: Error) -> Result<(), Error> {
    let pause = match &error {
        error if !error.is_passing() => None,
        Error::Http(error) if error.is_unreachable() => attempts.next_call(),
        Error::Status { pause, .. } => attempts.next(*pause),
        _ => attempts.next(None),
    };
    let Some(pause) = pause else { return Err(error) };
    let seconds = pause.as_secs_f32();
    fetcher.reporter.note(format!("{error}; next try in {seconds:.1} s"));
    std::thread::sleep(pause);
    Ok(())
}

/// The last name of a URL's path.
fn name(url: &Url) -> String {
    let path = decoded(url.path());
    let last = path.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
    match last {
        "" | "." | ".." => UNNAMED.to_owned(),
        _ if last.contains('\0') => UNNAMED.to_owned(),
        _ => last.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_named_after_their_urls() {
        for (url, expected) in [
            ("http://h/a/b.tar.gz", "b.tar.gz"),
            ("http://h/a/b?x=/c#d", "b"),
            ("http://h/a/", "a"),
            ("http://h/", UNNAMED),
            ("http://h", UNNAMED),
            ("http://h?x", UNNAMED),
            ("http://h/a%20b", "a b"),
            ("http://h/a%2Fb", "b"),
            ("http://h/..%2F..", UNNAMED),
            ("http://h/%00", UNNAMED),
        ] {
            assert_eq!(Address::new(url, None).expect(url).name(), expected, "{url}");
        }
    }

    #[test]
    fn what_is_wrong_is_said() {
        for (url, checksum, expected) in [
            ("http://", None, "\"http://\" is no URL: empty host"),
            ("http://u:p@h:x/", None, "\"http://h:x/\" is no URL: invalid port number"),
            ("http://h/", Some("md5:00"), "invalid checksum \"md5:00\""),
            ("http://h/", Some("abc"), "invalid checksum \"abc\""),
        ] {
            let error = Address::new(url, checksum).expect_err(url).to_string();
            assert!(error.starts_with(expected), "{error}");
        }
    }
}
