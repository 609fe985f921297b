//! [`Listen`]: where a server listens, a TCP port or a Unix socket.

use std::fmt;
use std::fs;
use std::io;
use std::net;
use std::os::unix::fs::{FileTypeExt as _, PermissionsExt as _};
use std::os::unix::net as unix;
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::str::FromStr;
use std::task::{Context, Poll};

use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::net::{TcpListener, TcpStream, UnixListener, UnixStream};

use super::Error;

/// `ADDRESS:PORT`, or `unix:PATH`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Listen {
    /// Host and port; port 0 is any that is free.
    Tcp(String),
    Unix(PathBuf),
}

impl Listen {
    /// Whether only this machine reaches it, as far as one can see.
    pub fn is_local(&self) -> bool {
        let Self::Tcp(address) = self else { return true };
        let host = address.rsplit_once(':').map_or(address.as_str(), |(host, _)| host);
        let ip = host.trim_start_matches('[').trim_end_matches(']').parse::<net::IpAddr>();
        host == "localhost" || ip.is_ok_and(|ip| ip.is_loopback())
    }
}

impl FromStr for Listen {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let wrong = || Error::Address(text.to_owned());
        if let Some(path) = text.strip_prefix("unix:") {
            return if path.is_empty() { Err(wrong()) } else { Ok(Self::Unix(path.into())) };
        }
        let (host, port) = text.rsplit_once(':').ok_or_else(wrong)?;
        let is_v6 = host.starts_with('[') && host.ends_with(']');
        if host.is_empty() || port.parse::<u16>().is_err() || (host.contains(':') && !is_v6) {
            return Err(wrong());
        }
        Ok(Self::Tcp(text.to_owned()))
    }
}

impl fmt::Display for Listen {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Tcp(address) => f.write_str(address),
            Self::Unix(path) => write!(f, "unix:{}", path.display()),
        }
    }
}

/// A socket that is bound.
#[derive(Debug)]
pub(super) struct Listener {
    address: String,
    socket: Socket,
}

#[derive(Debug)]
enum Socket {
    Tcp(net::TcpListener),
    Unix(unix::UnixListener, Named),
}

/// A socket's file; removed when dropped.
#[derive(Debug)]
pub(super) struct Named(PathBuf);

impl Drop for Named {
    fn drop(&mut self) {
        drop(fs::remove_file(&self.0));
    }
}

/// The same, for tasks.
#[derive(Debug)]
pub(super) enum Listening {
    Tcp(TcpListener),
    Unix(UnixListener, #[allow(dead_code, reason = "removed when dropped")] Named),
}

impl Listener {
    pub(super) fn bind(listen: &Listen) -> Result<Self, Error> {
        let failed = |source| Error::Listen { address: listen.to_string(), source };
        let (socket, address) = match listen {
            Listen::Tcp(address) => {
                let socket = net::TcpListener::bind(address).map_err(failed)?;
                let address = socket.local_addr().map_err(failed)?.to_string();
                socket.set_nonblocking(true).map_err(failed)?;
                (Socket::Tcp(socket), address)
            }
            Listen::Unix(path) => {
                let socket = bind_unix(path).map_err(failed)?;
                socket.set_nonblocking(true).map_err(failed)?;
                (Socket::Unix(socket, Named(path.clone())), listen.to_string())
            }
        };
        Ok(Self { address, socket })
    }

    pub(super) fn address(&self) -> &str {
        &self.address
    }

    /// Hands it over to the tasks of a runtime, in which this is called.
    pub(super) fn listen(self) -> Result<Listening, Error> {
        let Self { address, socket } = self;
        let listening = match socket {
            Socket::Tcp(socket) => TcpListener::from_std(socket).map(Listening::Tcp),
            Socket::Unix(socket, named) => {
                UnixListener::from_std(socket).map(|socket| Listening::Unix(socket, named))
            }
        };
        listening.map_err(|source| Error::Listen { address, source })
    }
}

/// Nobody but its owner may connect: it is made where nobody else comes, and then moved. A socket
/// that nobody listens on any more is replaced.
fn bind_unix(path: &Path) -> io::Result<unix::UnixListener> {
    match fs::symlink_metadata(path) {
        Ok(found) if !found.file_type().is_socket() => {
            return Err(io::Error::new(io::ErrorKind::AlreadyExists, "it is no socket"));
        }
        Ok(_) if unix::UnixStream::connect(path).is_ok() => {
            return Err(io::ErrorKind::AddrInUse.into());
        }
        Ok(_) => {}
        Err(error) if error.kind() == io::ErrorKind::NotFound => {}
        Err(error) => return Err(error),
    }
    let parent = path.parent().filter(|parent| !parent.as_os_str().is_empty());
    let private =
        tempfile::Builder::new().prefix(".bryo-").tempdir_in(parent.unwrap_or(Path::new(".")))?;
    let place = private.path().join("s");
    let socket = unix::UnixListener::bind(&place)?;
    fs::set_permissions(&place, fs::Permissions::from_mode(0o600))?;
    fs::rename(&place, path)?;
    Ok(socket)
}

impl Listening {
    /// A connection, and who is at its other end.
    pub(super) async fn accept(&self) -> io::Result<(Stream, String)> {
        match self {
            Self::Tcp(socket) => {
                let (stream, peer) = socket.accept().await?;
                // Answers are written whole.
                stream.set_nodelay(true)?;
                Ok((Stream::Tcp(stream), peer.to_string()))
            }
            Self::Unix(socket, _) => {
                let (stream, _) = socket.accept().await?;
                let user = stream.peer_cred().map(|peer| peer.uid().to_string());
                let peer = format!("uid {}", user.as_deref().unwrap_or("unknown"));
                Ok((Stream::Unix(stream), peer))
            }
        }
    }
}

/// A connection of either kind.
#[derive(Debug)]
pub(super) enum Stream {
    Tcp(TcpStream),
    Unix(UnixStream),
}

impl AsyncRead for Stream {
    fn poll_read(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_read(context, buffer),
            Self::Unix(stream) => Pin::new(stream).poll_read(context, buffer),
        }
    }
}

impl AsyncWrite for Stream {
    fn poll_write(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write(context, bytes),
            Self::Unix(stream) => Pin::new(stream).poll_write(context, bytes),
        }
    }

    fn poll_write_vectored(
        self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_write_vectored(context, slices),
            Self::Unix(stream) => Pin::new(stream).poll_write_vectored(context, slices),
        }
    }

    fn is_write_vectored(&self) -> bool {
        true
    }

    fn poll_flush(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_flush(context),
            Self::Unix(stream) => Pin::new(stream).poll_flush(context),
        }
    }

    fn poll_shutdown(self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        match self.get_mut() {
            Self::Tcp(stream) => Pin::new(stream).poll_shutdown(context),
            Self::Unix(stream) => Pin::new(stream).poll_shutdown(context),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        for (text, local) in [
            ("127.0.0.1:5050", true),
            ("localhost:0", true),
            ("[::1]:80", true),
            ("unix:/run/user/1/s", true),
            ("0.0.0.0:5050", false),
            ("[::]:5050", false),
            ("host.example:5050", false),
        ] {
            let listen: Listen = text.parse().expect(text);
            assert_eq!((listen.to_string().as_str(), listen.is_local()), (text, local));
        }
        for text in ["", "5050", ":5050", "unix:", "::1:80", "h:99999", "http://h:1", "h:"] {
            assert!(text.parse::<Listen>().is_err(), "{text:?} was accepted");
        }
    }

    #[test]
    fn a_socket_is_its_owners_and_replaces_only_one_that_nobody_listens_on() {
        let folder = tempfile::tempdir().expect("a directory");
        let path = folder.path().join("socket");
        let listen = Listen::Unix(path.clone());
        let first = Listener::bind(&listen).expect("bound");
        let mode = fs::metadata(&path).expect("a socket").permissions().mode();
        assert_eq!(mode & 0o777, 0o600);
        assert!(Listener::bind(&listen).is_err(), "somebody listens on it");
        drop(first);
        assert!(!path.exists());
        drop(unix::UnixListener::bind(&path).expect("bound"));
        assert!(path.exists(), "it was left behind");
        Listener::bind(&listen).expect("replaced");
        fs::write(&path, "").expect("written");
        assert!(Listener::bind(&listen).is_err(), "a file of somebody's");
        assert_eq!(fs::read_dir(folder.path()).expect("readable").count(), 1);
    }
}
