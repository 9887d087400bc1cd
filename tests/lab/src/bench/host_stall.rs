//! Whether this machine let an ordinary thread run: what is not an agent's (a double of a cloud, kubectl,
//! the laboratory itself) has no priority, and stands still where a lease thread does not.

use std::sync::{Mutex, OnceLock, PoisonError};
use std::time::{Duration, Instant};

use crate::clock::WallTime;

const PAUSE: Duration = Duration::from_millis(20);
/// The lateness in milliseconds from which on it is kept.
const KEPT: f64 = 100.0;

type Stalls = Mutex<Vec<(WallTime, f64)>>;

/// The longest lateness since `since`, in milliseconds, of a thread that sleeps 20 ms at a time. The first
/// call starts it; it ends with the process.
pub(super) fn longest(since: WallTime) -> Option<f64> {
    static STALLS: OnceLock<&'static Stalls> = OnceLock::new();
    let stalls = STALLS.get_or_init(|| {
        let stalls: &'static Stalls = Box::leak(Box::default());
        std::thread::spawn(|| watch(stalls));
        stalls
    });
    let stalls = stalls.lock().unwrap_or_else(PoisonError::into_inner);
    let late = stalls.iter().filter(|(at, _)| *at >= since).map(|(_, late)| *late);
    late.max_by(f64::total_cmp)
}

fn watch(stalls: &Stalls) {
    loop {
        let begun = Instant::now();
        std::thread::sleep(PAUSE);
        let late = begun.elapsed().saturating_sub(PAUSE).as_secs_f64() * 1e3;
        if late >= KEPT {
            let mut stalls = stalls.lock().unwrap_or_else(PoisonError::into_inner);
            stalls.push((WallTime::now(), late));
        }
    }
}
