//! What people read while it runs: moving on a terminal, quiet lines in a log.

use std::io::{IsTerminal, Write, stdout};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

/// A heading.
pub fn head(text: &str) {
    if stdout().is_terminal() {
        println!("\n\x1b[1m{text}\x1b[0m");
    } else {
        println!("\n{text}");
    }
}

/// A line of the demonstration.
pub fn line(text: &str) {
    println!("  {text}");
}

/// A result that is good (true) or bad.
pub fn verdict(good: bool, text: &str) {
    let (mark, colour) = if good { ("✓", "32") } else { ("✗", "31") };
    if stdout().is_terminal() {
        println!("  \x1b[{colour}m{mark}\x1b[0m {text}");
    } else {
        println!("  {mark} {text}");
    }
}

/// A step that takes a while: on a terminal its seconds are counted while it runs; in a log there
/// is one line when it has ended.
pub fn step<T>(what: &str, work: impl FnOnce() -> anyhow::Result<T>) -> anyhow::Result<T> {
    counted(what, |_| work())
}

/// A step that says how far it is.
pub fn counted<T>(
    what: &str,
    work: impl FnOnce(&Progress) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let progress = Progress::start(what);
    let outcome = work(&progress);
    progress.end(outcome.is_ok());
    outcome
}

/// The state of a step.
pub struct Progress {
    what: String,
    detail: Arc<Mutex<String>>,
    begun: Instant,
    stop: Arc<AtomicBool>,
    ticker: Option<JoinHandle<()>>,
}

impl Progress {
    fn start(what: &str) -> Self {
        let (begun, detail) = (Instant::now(), Arc::new(Mutex::new(String::new())));
        let stop = Arc::new(AtomicBool::new(false));
        let ticker = stdout().is_terminal().then(|| {
            let (what, detail, stop) = (what.to_owned(), detail.clone(), stop.clone());
            std::thread::spawn(move || {
                while !stop.load(Ordering::Relaxed) {
                    let detail = detail.lock().unwrap_or_else(PoisonError::into_inner).clone();
                    print!("\r\x1b[2K  · {what} {detail} {:.0} s", begun.elapsed().as_secs_f64());
                    let _ = stdout().flush();
                    std::thread::park_timeout(Duration::from_millis(200));
                }
                print!("\r\x1b[2K");
            })
        });
        Self { what: what.to_owned(), detail, begun, stop, ticker }
    }

    /// Says how far it is.
    pub fn at(&self, detail: String) {
        *self.detail.lock().unwrap_or_else(PoisonError::into_inner) = detail;
    }

    fn end(mut self, good: bool) {
        self.stop.store(true, Ordering::Relaxed);
        if let Some(ticker) = self.ticker.take() {
            ticker.thread().unpark();
            let _ = ticker.join();
        }
        let seconds = self.begun.elapsed().as_secs_f64();
        let word = if good { "" } else { ": failed" };
        println!("  · {}{word} ({seconds:.1} s)", self.what);
    }
}
