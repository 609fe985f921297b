//! [`Daemon`]: docker, or podman's service, behind a socket of this machine (Docker Engine API).

use std::fs::File;
use std::io::{self, Read};
use std::path::{Path, PathBuf};

use serde::Deserialize;

use super::Error;
use crate::http::{Body, Client, Method, Request, Response, Settings, Url};

/// The longest answer that is no image.
const ANSWER: u64 = 16 << 20;

/// A daemon that keeps images.
#[derive(Debug)]
pub(super) struct Daemon {
    socket: PathBuf,
    client: Client,
}

#[derive(Deserialize)]
struct Message {
    message: String,
}

#[derive(Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Inspected {
    id: String,
}

impl Daemon {
    /// At `socket`, or at the first of `usual` that is there.
    pub(super) fn find(socket: Option<&Path>, usual: &[PathBuf]) -> Result<Self, Error> {
        let socket = match socket {
            Some(socket) => socket.to_owned(),
            None => match usual.iter().find(|socket| socket.exists()) {
                Some(socket) => socket.clone(),
                None => {
                    let tried: Vec<_> =
                        usual.iter().map(|path| path.display().to_string()).collect();
                    let problem = "there is no such socket".to_owned();
                    return Err(Error::Daemon { socket: tried.join(", "), problem });
                }
            },
        };
        let settings = Settings { socket: Some(socket.clone()), ..Settings::default() };
        Ok(Self { socket, client: Client::new(settings) })
    }

    /// As a person would write it.
    pub(super) fn name(&self, image: &str) -> String {
        format!("{image} of the daemon at {}", self.socket.display())
    }

    /// An archive of `docker save`.
    pub(super) fn save(&self, image: &str) -> Result<Response, Error> {
        let request = Request::new(Method::Get, self.url(&format!("/images/{image}/get")));
        self.send(&request, image)
    }

    /// Takes an archive of `docker save`, and names what is in it.
    pub(super) fn load(&self, archive: &File) -> Result<(), Error> {
        let failed = |error| Error::opening("a temporary file in the storage directory")(error);
        let size = archive.metadata().map_err(failed)?.len();
        let open = || -> io::Result<Box<dyn Read + Send>> {
            let archive = archive.try_clone()?;
            Ok(Box::new(super::source::section(archive, size)))
        };
        let request = Request::new(Method::Post, self.url("/images/load"))
            .header("content-type", "application/x-tar")
            .body(Body::Stream { size, open: &open });
        let bytes = self.send(&request, "")?.bytes(ANSWER).map_err(|error| self.failed(&error))?;
        // A stream of messages, each a JSON object; trouble comes in the middle of it.
        for message in serde_json::Deserializer::from_slice(&bytes).into_iter() {
            let Ok(message): Result<serde_json::Value, _> = message else { break };
            if let Some(error) = message["error"].as_str() {
                return Err(self.failed(&error));
            }
        }
        Ok(())
    }

    /// The digest of the configuration of what has this name.
    pub(super) fn id(&self, image: &str) -> Result<String, Error> {
        let request = Request::new(Method::Get, self.url(&format!("/images/{image}/json")));
        let bytes =
            self.send(&request, image)?.bytes(ANSWER).map_err(|error| self.failed(&error))?;
        let inspected: Inspected =
            serde_json::from_slice(&bytes).map_err(|error| self.failed(&error))?;
        // podman leaves the algorithm out.
        Ok(match inspected.id.contains(':') {
            true => inspected.id,
            false => format!("sha256:{}", inspected.id),
        })
    }

    fn url(&self, path: &str) -> Url {
        let mut url: Url = "http://localhost/".parse().expect("a URL");
        url.set_path(path);
        url
    }

    fn send(&self, request: &Request<'_>, image: &str) -> Result<Response, Error> {
        let response = self.client.send(request).map_err(|error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            self.failed(&cause.unwrap_or_else(|| error.to_string()))
        })?;
        let status = response.status();
        if response.is_success() {
            return Ok(response);
        }
        let bytes = response.bytes(ANSWER).map_err(|error| self.failed(&error))?;
        let said = match serde_json::from_slice::<Message>(&bytes) {
            Ok(said) => said.message,
            Err(_) => String::from_utf8_lossy(&bytes).trim().to_owned(),
        };
        // podman's service says 500 where there is no such image to be saved.
        if status == 404 || said.contains("image not known") || said.contains("No such image") {
            let path = format!("the daemon at {}", self.socket.display());
            return Err(Error::Missing { path, what: format!("image {image}") });
        }
        Err(self.failed(&format!("{said} (status {status})")))
    }

    fn failed(&self, problem: &dyn std::fmt::Display) -> Error {
        Error::Daemon { socket: self.socket.display().to_string(), problem: problem.to_string() }
    }
}
