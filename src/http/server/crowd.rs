//! [`Crowd`]: all connections, by the time when they came, so that old ones that are idle can make
//! room for new ones.

use std::mem;
use std::time::{Duration, Instant};

use hyper_util::server::graceful::{GracefulShutdown, Watcher};
use tokio::task::JoinHandle;

/// Who came so lately is not sent away: the first request may be on its way.
pub(super) const YOUNG: Duration = Duration::from_secs(1);

pub(super) struct Crowd {
    young: GracefulShutdown,
    since: Instant,
    old: Vec<GracefulShutdown>,
    /// Those that go when they have been answered.
    going: Vec<JoinHandle<()>>,
}

impl Crowd {
    pub(super) fn new() -> Self {
        let (young, since) = (GracefulShutdown::new(), Instant::now());
        Self { young, since, old: Vec::new(), going: Vec::new() }
    }

    /// One more.
    pub(super) fn join(&mut self) -> Watcher {
        self.age();
        self.young.watcher()
    }

    fn age(&mut self) {
        if self.since.elapsed() >= YOUNG {
            self.old.push(mem::take(&mut self.young));
            self.old.retain(|all| all.count() > 0);
            self.since = Instant::now();
        }
    }

    /// Sends the old ones away: at once those that ask for nothing, the others when they have their
    /// answer. Whoever wants more may come again.
    pub(super) fn make_room(&mut self) {
        self.age();
        self.going.retain(|task| !task.is_finished());
        let old = mem::take(&mut self.old);
        self.going.extend(old.into_iter().map(|all| tokio::spawn(all.shutdown())));
    }

    /// Sends everybody away, and waits until they have gone.
    pub(super) async fn leave(mut self) {
        self.old.push(mem::take(&mut self.young));
        self.make_room();
        for task in self.going {
            drop(task.await);
        }
    }
}
