//! Several deeds at the same time: how many ([`Semaphore`]), each of them once ([`SingleFlight`]), and
//! none that is in vain ([`Cancel`]). Threads are started by those who have something to do.

mod cancel;
mod semaphore;
mod single_flight;

pub use cancel::{Cancel, Watch};
pub use semaphore::{Permit, Semaphore};
pub use single_flight::SingleFlight;
