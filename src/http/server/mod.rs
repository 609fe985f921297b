//! The other side: a server whose service is plain code that blocks.
//!
//! Connections are tasks, requests are threads: a [`Service`] reads the body of its request as a
//! [`Read`](std::io::Read) and gives an [`Answer`], whose body is sent when the service is done.
//! HTTP/1.1, in the clear or over TLS, on a TCP port or a Unix socket.
//!
//! Who is slow gets no more than a connection: heads of requests, pieces of bodies, and taking what
//! is sent all have limits of time, and connections one of number. When that is reached, those that
//! are idle make room, and others wait to be accepted.

mod crowd;
mod identity;
mod listen;
mod message;
mod outgoing;
mod patient;

use std::convert::Infallible;
use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::Watcher;
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::runtime::{Builder, Handle};
use tokio::sync::{Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{sleep, timeout};
use tokio_rustls::TlsAcceptor;

pub use identity::{Generated, Identity};
pub use listen::Listen;
pub use message::{Answer, Asked, Payload, RequestBody};

use crowd::{Crowd, YOUNG};
use listen::{Listener, Stream};
use outgoing::Outgoing;
use patient::Patient;

/// So long a client may take to send the head of a request, and be idle between two, at most.
const HEAD: Duration = Duration::from_secs(20);
/// So long it may take to agree on TLS.
const HANDSHAKE: Duration = Duration::from_secs(10);
/// The head of a request may have so many bytes; of bodies, so much is read at once.
const BUFFER: usize = 64 * 1024;
/// The head of a request may have so many fields.
const FIELDS: usize = 100;
/// A body that nobody wanted is read so far, so that the connection can serve again.
const UNWANTED: u64 = 256 * 1024;
/// Threads for the connections; requests have their own.
const WORKERS: usize = 2;
/// What is tried again after an error of accept(2) has so much time to pass.
const PAUSE: Duration = Duration::from_millis(200);

/// What went wrong before anybody could be served.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    #[error("listening on {address}")]
    Listen { address: String, source: io::Error },
    #[error("{0:?} is neither ADDRESS:PORT nor unix:PATH")]
    Address(String),
    #[error("{path}: {why}")]
    Identity { path: String, why: String },
    #[error("starting threads")]
    Threads(#[source] io::Error),
}

impl Error {
    /// What a person can do about it.
    pub fn hint(&self) -> Option<String> {
        match self {
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::AddrInUse => {
                Some("choose another port with --listen; port 0 is any that is free".to_owned())
            }
            Self::Listen { source, .. } if source.kind() == io::ErrorKind::PermissionDenied => {
                Some("ports below 1024 need privilege: choose another one with --listen".to_owned())
            }
            _ => None,
        }
    }
}

/// Who answers requests, each in a thread of its own.
pub trait Service: Send + Sync + 'static {
    /// `body` may be left unread.
    fn answer(&self, asked: &Asked, body: &mut RequestBody) -> Answer;

    /// Something went wrong with a connection that no client can be told of.
    fn complain(&self, text: String);
}

/// How a server serves.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Who we are, for TLS; None: in the clear.
    pub identity: Option<Identity>,
    /// So many connections at the same time.
    pub connections: usize,
    /// So long a client may take between two pieces of a body, and not take what it is sent.
    pub patience: Duration,
}

/// A server that listens already, and does not answer yet.
#[derive(Debug)]
pub struct Server {
    listener: Listener,
    stop: Arc<Notify>,
}

/// Ends a server, from any thread.
#[derive(Debug, Clone)]
pub struct Stop(Arc<Notify>);

impl Stop {
    /// No new requests; those that are being answered are finished.
    pub fn now(&self) {
        self.0.notify_one();
    }
}

impl Server {
    /// Starts to listen. No thread is started.
    pub fn bind(listen: &Listen) -> Result<Self, Error> {
        Ok(Self { listener: Listener::bind(listen)?, stop: Arc::default() })
    }

    /// Where it listens: `ADDRESS:PORT`, with the port that it got, or `unix:PATH`.
    pub fn address(&self) -> &str {
        self.listener.address()
    }

    pub fn stop(&self) -> Stop {
        Stop(Arc::clone(&self.stop))
    }

    /// Serves until it is told to stop, and the last answer is sent. Starts threads.
    pub fn run(self, service: &Arc<impl Service>, settings: &Settings) -> Result<(), Error> {
        let connections = settings.connections.max(1);
        let runtime = Builder::new_multi_thread()
            .worker_threads(WORKERS)
            // A request, and the body of an answer that is read ahead.
            .max_blocking_threads(2 * connections + 8)
            .thread_name("serve")
            .enable_all()
            .build()
            .map_err(Error::Threads)?;
        let tls = settings.identity.as_ref().map(|identity| identity.acceptor());
        let Self { listener, stop } = self;
        runtime.block_on(async {
            let listener = listener.listen()?;
            accept(listener, &stop, service, tls, settings).await;
            Ok(())
        })
    }
}

async fn accept(
    listener: listen::Listening,
    stop: &Notify,
    service: &Arc<impl Service>,
    tls: Option<TlsAcceptor>,
    settings: &Settings,
) {
    let slots = Arc::new(Semaphore::new(settings.connections.max(1)));
    let patience = settings.patience;
    let mut crowd = Crowd::new();
    let mut stopped = pin!(stop.notified());
    while let Some(accepted) = unless(stopped.as_mut(), pin!(listener.accept())).await {
        match accepted {
            Ok((stream, peer)) => {
                let slot = slot(&slots, &mut crowd);
                let Some(slot) = unless(stopped.as_mut(), pin!(slot)).await else { break };
                let (tls, watcher, service) = (tls.clone(), crowd.join(), service.clone());
                tokio::spawn(async move {
                    welcome(stream, peer, tls, watcher, service, patience).await;
                    drop(slot);
                });
            }
            // Too many files, or a client that went away again: others may come.
            Err(error) => {
                service.complain(format!("accepting a connection: {error}"));
                sleep(PAUSE).await;
            }
        }
    }
    // Who comes now is not kept waiting.
    drop(listener);
    crowd.leave().await;
}

/// Room for one more connection.
async fn slot(slots: &Arc<Semaphore>, crowd: &mut Crowd) -> OwnedSemaphorePermit {
    loop {
        if let Ok(slot) = Arc::clone(slots).try_acquire_owned() {
            return slot;
        }
        crowd.make_room();
        if let Ok(Ok(slot)) = timeout(YOUNG, Arc::clone(slots).acquire_owned()).await {
            return slot;
        }
    }
}

/// What `work` gives, or None if `stop` is first.
async fn unless<T>(
    mut stop: Pin<&mut impl Future<Output = ()>>,
    mut work: Pin<&mut impl Future<Output = T>>,
) -> Option<T> {
    poll_fn(|context| match stop.as_mut().poll(context) {
        Poll::Ready(()) => Poll::Ready(None),
        Poll::Pending => work.as_mut().poll(context).map(Some),
    })
    .await
}

async fn welcome(
    stream: Stream,
    peer: String,
    tls: Option<TlsAcceptor>,
    watcher: Watcher,
    service: Arc<impl Service>,
    patience: Duration,
) {
    let stream = Patient::new(stream, patience);
    let Some(tls) = tls else { return converse(stream, peer, watcher, service, patience).await };
    // Somebody who speaks no TLS finds out by the alert that they get.
    if let Ok(Ok(stream)) = timeout(HANDSHAKE, tls.accept(stream)).await {
        converse(stream, peer, watcher, service, patience).await;
    }
}

async fn converse(
    stream: impl AsyncRead + AsyncWrite + Unpin + Send + 'static,
    peer: String,
    watcher: Watcher,
    service: Arc<impl Service>,
    patience: Duration,
) {
    let peer: Arc<str> = peer.into();
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD.min(patience))
        .max_buf_size(BUFFER)
        .max_headers(FIELDS)
        .serve_connection(
            TokioIo::new(stream),
            service_fn(move |request| {
                let (service, peer) = (Arc::clone(&service), Arc::clone(&peer));
                async move { Ok::<_, Infallible>(respond(request, peer, service, patience).await) }
            }),
        );
    // A client that breaks off hears of nothing, and the service has noticed where it matters.
    drop(watcher.watch(connection).await);
}

async fn respond(
    request: hyper::Request<hyper::body::Incoming>,
    peer: Arc<str>,
    service: Arc<impl Service>,
    patience: Duration,
) -> hyper::Response<Outgoing> {
    let (head, body) = request.into_parts();
    let asked = Asked::new(head, peer);
    let mut body = RequestBody::new(body, Handle::current(), patience, asked.expects_continue());
    let thread = tokio::task::spawn_blocking(move || {
        let answer = service.answer(&asked, &mut body);
        body.drain(UNWANTED);
        answer
    });
    // A panic is a mistake of ours; the hook has said where.
    thread.await.unwrap_or_else(|_| Answer::new(500)).into_response()
}
