//! What was seen in a namespace, by a packet socket.

use std::io::Read;
use std::net::IpAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Condvar, Mutex};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use egret_netns::{NetworkNamespace, enter};
use socket2::{Domain, Protocol, Socket, Type};

use super::packets::{SeenPacket, parse};

/// How long a packet may take at most: a bound, not an expectation.
pub(super) const PATIENCE: Duration = Duration::from_secs(5);

#[derive(Default)]
struct State {
    seen: Mutex<Vec<SeenPacket>>,
    news: Condvar,
    stop: AtomicBool,
}

/// Records every IP packet that is received or sent on any device of a namespace.
pub(super) struct Oracle {
    state: Arc<State>,
    thread: Option<JoinHandle<()>>,
}

impl Oracle {
    pub(super) fn start(namespace: &NetworkNamespace) -> Self {
        let socket = {
            let _inside = enter(&namespace.path());
            let all = i32::from(0x0003_u16.to_be());
            Socket::new(Domain::PACKET, Type::DGRAM, Some(Protocol::from(all)))
                .unwrap_or_else(|error| panic!("a packet socket needs root: {error}"))
        };
        let tick = Some(Duration::from_millis(50));
        socket.set_read_timeout(tick).unwrap_or_else(|error| panic!("{error}"));
        let state = Arc::new(State::default());
        let of_thread = Arc::clone(&state);
        let thread = std::thread::spawn(move || {
            let mut bytes = vec![0; 65_536];
            while !of_thread.stop.load(Ordering::Relaxed) {
                let Ok(length) = (&socket).read(&mut bytes) else { continue };
                if let Some(packet) = bytes.get(..length).and_then(parse) {
                    lock(&of_thread.seen).push(packet);
                    of_thread.news.notify_all();
                }
            }
        });
        Self { state, thread: Some(thread) }
    }

    /// What was seen, as chosen.
    pub(super) fn seen(&self, chosen: impl Fn(&SeenPacket) -> bool) -> Vec<SeenPacket> {
        lock(&self.state.seen).iter().filter(|packet| chosen(packet)).copied().collect()
    }

    /// What was seen going to an address.
    pub(super) fn to(&self, address: IpAddr) -> Vec<SeenPacket> {
        self.seen(|packet| packet.destination == address)
    }

    /// Forgets what was seen.
    pub(super) fn clear(&self) {
        lock(&self.state.seen).clear();
    }

    /// Waits for `count` packets as chosen; panics where they do not come.
    pub(super) fn wait(&self, what: &str, count: usize, chosen: impl Fn(&SeenPacket) -> bool) {
        let end = Instant::now() + PATIENCE;
        let mut seen = lock(&self.state.seen);
        loop {
            if seen.iter().filter(|packet| chosen(packet)).count() >= count {
                return;
            }
            let left = end.saturating_duration_since(Instant::now());
            assert!(!left.is_zero(), "{what}: {count} packets did not come; seen: {:#?}", *seen);
            seen = match self.state.news.wait_timeout(seen, left) {
                Ok((seen, _)) => seen,
                Err(poisoned) => poisoned.into_inner().0,
            };
        }
    }
}

impl Drop for Oracle {
    fn drop(&mut self) {
        self.state.stop.store(true, Ordering::Relaxed);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(std::sync::PoisonError::into_inner)
}
