//! The end of a daemon: asked once it ends in order, asked twice or too slow it just ends.

use std::io;
use std::time::Duration;

use tokio::sync::{mpsc, watch};

/// Exit code where the orderly end took longer than the grace time.
pub const EXIT_TOO_SLOW: i32 = 1;

/// Tells every part of a process that it is to end. A clone hears the same.
#[derive(Clone, Debug)]
pub struct Shutdown(watch::Receiver<bool>);

impl Shutdown {
    /// Listens to SIGTERM and SIGINT: the first asks for the end, which may take `grace`; past it
    /// the process exits with [`EXIT_TOO_SLOW`]. The second exits at once with 128 + its number.
    ///
    /// # Errors
    /// Where the handlers cannot be installed.
    ///
    /// # Panics
    /// Outside a tokio runtime.
    #[cfg(unix)]
    pub fn install(grace: Duration) -> io::Result<Self> {
        use tokio::signal::unix::{SignalKind, signal};

        let (asked, shutdown) = watch::channel(false);
        let (sender, signals) = mpsc::channel(4);
        for (kind, number) in [(SignalKind::terminate(), 15), (SignalKind::interrupt(), 2)] {
            let mut stream = signal(kind)?;
            let sender = sender.clone();
            tokio::spawn(async move {
                while stream.recv().await.is_some() && sender.send(number).await.is_ok() {}
            });
        }
        tokio::spawn(async move {
            let code = supervise(signals, asked, grace).await;
            std::process::exit(code);
        });
        Ok(Self(shutdown))
    }

    /// Waits until the end is asked for. Cancel-safe.
    pub async fn requested(&mut self) {
        if self.0.wait_for(|requested| *requested).await.is_err() {
            // Nobody is left who could ask.
            std::future::pending::<()>().await;
        }
    }
}

/// Returns with the exit code once the process has to go without further waiting.
async fn supervise(
    mut signals: mpsc::Receiver<i32>,
    asked: watch::Sender<bool>,
    grace: Duration,
) -> i32 {
    let Some(first) = signals.recv().await else { return std::future::pending().await };
    tracing::info!(signal = first, grace_seconds = grace.as_secs_f64(), "asked to end");
    asked.send_replace(true);
    tokio::select! {
        biased;
        Some(second) = signals.recv() => {
            tracing::warn!(signal = second, "asked to end a second time: ending at once");
            128 + second
        }
        () = tokio::time::sleep(grace) => {
            tracing::error!("the orderly end took longer than its grace time: ending at once");
            EXIT_TOO_SLOW
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const GRACE: Duration = Duration::from_secs(25);

    #[tokio::test(start_paused = true)]
    async fn the_first_signal_asks_and_the_deadline_or_the_second_ends() {
        for (second, code) in [(None, EXIT_TOO_SLOW), (Some(2), 130), (Some(15), 143)] {
            let (sender, signals) = mpsc::channel(4);
            let (asked, shutdown) = watch::channel(false);
            let (mut shutdown, mut other) = (Shutdown(shutdown.clone()), Shutdown(shutdown));
            let supervised = tokio::spawn(supervise(signals, asked, GRACE));
            assert!(!*shutdown.0.borrow());
            sender.send(15).await.unwrap();
            shutdown.requested().await;
            other.requested().await;
            tokio::time::sleep(GRACE / 2).await;
            assert!(!supervised.is_finished());
            let begun = tokio::time::Instant::now();
            if let Some(second) = second {
                sender.send(second).await.unwrap();
            }
            assert_eq!(supervised.await.unwrap(), code);
            assert_eq!(begun.elapsed() < GRACE / 4, second.is_some());
        }
    }

    #[cfg(target_os = "linux")]
    #[tokio::test]
    async fn a_real_sigterm_is_heard() {
        let mut shutdown = Shutdown::install(Duration::from_secs(3_600)).unwrap();
        let this = rustix::process::getpid();
        rustix::process::kill_process(this, rustix::process::Signal::TERM).unwrap();
        shutdown.requested().await;
    }
}
