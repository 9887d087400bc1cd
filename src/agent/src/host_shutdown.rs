//! Whether the host is being shut down, which systemd and its logind know.
//!
//! State: none. Always: who asks waits for [`ANSWER_WITHIN`] at most; where there is no bus, or it does
//! not answer, the host is taken to stay.

use std::io;
use std::path::{Path, PathBuf};
use std::time::Duration;

use tokio::sync::mpsc::{self, Receiver, Sender};
use tokio::time::timeout;
use tracing::{debug, info};

use crate::system_bus::{BusObject, SystemBus};

/// Longest wait for all answers of the bus. A bus that works answers within a few ms.
const ANSWER_WITHIN: Duration = Duration::from_millis(200);
/// Longest wait for a bus that is asked to tell later on: a host that boots may be slow.
const LISTENS_WITHIN: Duration = Duration::from_secs(10);
/// Pause before a bus that is not there, or has gone, is tried again.
const TRY_AGAIN: Duration = Duration::from_secs(60);

const SYSTEMD: BusObject = BusObject {
    service: "org.freedesktop.systemd1",
    path: "/org/freedesktop/systemd1",
    interface: "org.freedesktop.systemd1.Manager",
};
const LOGIND: BusObject = BusObject {
    service: "org.freedesktop.login1",
    path: "/org/freedesktop/login1",
    interface: "org.freedesktop.login1.Manager",
};

/// Asks the system bus at `socket` whether the host is being shut down, for a reboot too: systemd is
/// `stopping`, or logind has told everybody to prepare for it (it may wait for a kubelet that ends its
/// pods in order before systemd stops anything).
///
/// # Errors
/// For people, where the bus does not tell within 200 ms.
pub(crate) async fn is_stopping(socket: &Path) -> Result<bool, String> {
    let asked = async { answer(&mut SystemBus::connect(socket).await?).await };
    match timeout(ANSWER_WITHIN, asked).await {
        Ok(answer) => answer.map_err(|error| format!("{}: {error}", socket.display())),
        Err(_) => Err(format!("{}: no answer within {ANSWER_WITHIN:?}", socket.display())),
    }
}

/// Tells when the host begins to shut down, and when that is called off.
///
/// # Panics
/// Outside a tokio runtime.
pub(crate) fn watch(socket: PathBuf) -> Receiver<bool> {
    let (sender, receiver) = mpsc::channel(4);
    tokio::spawn(async move {
        let mut told = false;
        while !sender.is_closed() {
            match follow(&socket, &sender).await {
                Ok(()) => break,
                Err(error) if !told => {
                    told = true;
                    info!(
                        %error,
                        socket = %socket.display(),
                        "no system bus tells when this host is shut down; its Node may (--system-bus)"
                    );
                }
                Err(error) => debug!(%error, "no system bus yet"),
            }
            tokio::time::sleep(TRY_AGAIN).await;
        }
    });
    receiver
}

/// Returns when the bus ends or nobody listens any more.
async fn follow(socket: &Path, sender: &Sender<bool>) -> io::Result<()> {
    let begin = async {
        let mut bus = SystemBus::connect(socket).await?;
        bus.listen(&LOGIND, "PrepareForShutdown").await?;
        // What was said before this process listened.
        let stops = answer(&mut bus).await?;
        io::Result::Ok((bus, stops))
    };
    let (mut bus, mut stops) = timeout(LISTENS_WITHIN, begin).await??;
    loop {
        if sender.send(stops).await.is_err() {
            return Ok(());
        }
        stops = bus.signal(&LOGIND, "PrepareForShutdown").await?;
    }
}

async fn answer(bus: &mut SystemBus) -> io::Result<bool> {
    if bus.text(&SYSTEMD, "SystemState").await? == "stopping" {
        return Ok(true);
    }
    // A host may have systemd and no logind.
    match bus.flag(&LOGIND, "PreparingForShutdown").await {
        Err(error) if error.kind() == io::ErrorKind::Other => Ok(false),
        answer => answer,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn no_bus_and_a_silent_one_are_told_apart_from_a_host_that_stays() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let error = is_stopping(&socket).await.unwrap_err();
        assert!(error.starts_with(&format!("{}: ", socket.display())), "{error}");
        let _silent = tokio::net::UnixListener::bind(&socket).unwrap();
        let begun = std::time::Instant::now();
        let error = is_stopping(&socket).await.unwrap_err();
        assert!(error.ends_with("no answer within 200ms"), "{error}");
        assert!(begun.elapsed() < Duration::from_secs(5));
    }
}
