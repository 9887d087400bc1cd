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
        stops = changed(&mut bus, stops).await?;
    }
}

/// Waits until the answer is another than `before`. Whatever a signal says, the answer comes from who
/// has logind's name: anybody on the host may send the signal, and would drain the gateway.
async fn changed(bus: &mut SystemBus, before: bool) -> io::Result<bool> {
    loop {
        bus.signal(&LOGIND, "PrepareForShutdown").await?;
        let stops = timeout(LISTENS_WITHIN, answer(bus)).await??;
        if stops != before {
            return Ok(stops);
        }
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
    use std::cell::Cell;

    use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
    use tokio::net::{UnixListener, UnixStream};

    use super::*;

    /// A message of `kind` whose header fields are whole.
    fn message(kind: u8, fields: &[u8], body: &[u8]) -> Vec<u8> {
        let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or(u32::MAX).to_le_bytes();
        let mut message = vec![b'l', kind, 1, 1];
        message.extend(length(body));
        message.extend(1_u32.to_le_bytes());
        message.extend(length(fields));
        message.extend(fields);
        message.resize(message.len().next_multiple_of(8), 0);
        message.extend(body);
        message
    }

    /// The signal that says that the host shuts down, from whomever.
    fn signal() -> Vec<u8> {
        let mut fields = Vec::new();
        for (code, kind, text) in
            [(1, b'o', LOGIND.path), (2, b's', LOGIND.interface), (3, b's', "PrepareForShutdown")]
        {
            fields.resize(fields.len().next_multiple_of(8), 0);
            fields.extend([code, 1, kind, 0]);
            fields.extend(u32::try_from(text.len()).unwrap_or(u32::MAX).to_le_bytes());
            fields.extend(text.as_bytes());
            fields.push(0);
        }
        message(4, &fields, &1_u32.to_le_bytes())
    }

    /// Answers one client; after each of logind's answers that it does not prepare for a shutdown, of
    /// which `calm` are left, somebody sends the signal. Returns when the client has gone.
    async fn serve(stream: UnixStream, calm: &Cell<u32>) -> io::Result<()> {
        let mut stream = BufReader::new(stream);
        let mut line = String::new();
        stream.read_line(&mut line).await?;
        stream.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n").await?;
        stream.read_line(&mut line).await?;
        loop {
            let mut begin = [0; 16];
            stream.read_exact(&mut begin).await?;
            let number = |at: usize| {
                u32::from_le_bytes([begin[at], begin[at + 1], begin[at + 2], begin[at + 3]])
            };
            let length = number(12).next_multiple_of(8) + number(4);
            let mut call = vec![0; usize::try_from(length).unwrap_or_default()];
            stream.read_exact(&mut call).await?;
            let asks = |name: &str| call.windows(name.len()).any(|part| part == name.as_bytes());
            let about_shutdown = asks("PreparingForShutdown");
            let value: &[u8] = match (asks("SystemState"), about_shutdown, calm.get()) {
                (true, _, _) => b"\x01s\0\0\x07\0\0\0running\0",
                (_, true, 0) => b"\x01b\0\0\x01\0\0\0",
                (_, true, _) => b"\x01b\0\0\0\0\0\0",
                _ => b"",
            };
            let mut fields = vec![5, 1, b'u', 0];
            fields.extend(number(8).to_le_bytes());
            stream.write_all(&message(2, &fields, value)).await?;
            if about_shutdown && calm.get() > 0 {
                calm.set(calm.get() - 1);
                stream.write_all(&signal()).await?;
            }
        }
    }

    #[tokio::test]
    async fn a_signal_counts_as_far_as_logind_says_the_same_when_asked() {
        let dir = tempfile::tempdir().unwrap();
        let socket = dir.path().join("bus");
        let listener = UnixListener::bind(&socket).unwrap();
        let calm = Cell::new(3);
        let served = async {
            let (stream, _) = listener.accept().await.unwrap();
            serve(stream, &calm).await
        };
        let (sender, mut told) = mpsc::channel(4);
        let watched = async {
            let follow = follow(&socket, &sender);
            let hears = async {
                assert_eq!(told.recv().await, Some(false));
                assert_eq!(told.recv().await, Some(true));
                assert_eq!(calm.get(), 0, "two signals said it before it was so");
            };
            tokio::select! { _ = follow => panic!("it gives up"), () = hears => {} }
        };
        let both = async { tokio::join!(served, watched) };
        timeout(Duration::from_secs(30), both).await.unwrap().0.unwrap_err();
    }

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
