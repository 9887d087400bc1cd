use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::Shutdown;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;

use anyhow::{Context, Result};

/// The system bus of a machine, and all that an agent may ask there: systemd and logind. Written
/// anew, without what Egret's own client is made of. Dropping it ends it.
#[derive(Debug)]
pub(crate) struct HostBus {
    path: PathBuf,
    state: Arc<Mutex<BusState>>,
}

#[derive(Debug, Default)]
struct BusState {
    stopping: bool,
    ended: bool,
    clients: Vec<UnixStream>,
}

impl HostBus {
    /// Listens below `run`, the machine's /run.
    pub(crate) fn start(run: &str) -> Result<Self> {
        let dir = PathBuf::from(run).join("dbus");
        std::fs::create_dir_all(&dir)?;
        let path = dir.join("system_bus_socket");
        let listener = UnixListener::bind(&path).with_context(|| path.display().to_string())?;
        let state = Arc::new(Mutex::new(BusState::default()));
        let shared = state.clone();
        thread::Builder::new().name("host bus".to_owned()).spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut state = locked(&shared);
                if state.ended {
                    break;
                }
                let Ok(copy) = stream.try_clone() else { continue };
                state.clients.push(copy);
                let shared = shared.clone();
                // A client that goes, or that sends what this bus does not know, is alone with it.
                thread::spawn(move || serve(stream, &shared).ok());
            }
        })?;
        Ok(Self { path, state })
    }

    /// The host begins to shut down: who listens is told, and who asks hears it.
    pub(crate) fn shut_down(&self) {
        let mut state = locked(&self.state);
        state.stopping = true;
        let signal = message(4, &signal_fields(), &1_u32.to_le_bytes());
        for client in &mut state.clients {
            let _ = client.write_all(&signal);
        }
    }
}

impl Drop for HostBus {
    fn drop(&mut self) {
        let mut state = locked(&self.state);
        state.ended = true;
        for client in state.clients.drain(..) {
            let _ = client.shutdown(Shutdown::Both);
        }
        drop(state);
        // Wakes the thread.
        let _ = UnixStream::connect(&self.path);
    }
}

fn locked(state: &Mutex<BusState>) -> MutexGuard<'_, BusState> {
    state.lock().unwrap_or_else(PoisonError::into_inner)
}

fn serve(stream: UnixStream, state: &Mutex<BusState>) -> std::io::Result<()> {
    let mut writer = stream.try_clone()?;
    let mut reader = BufReader::new(stream);
    let mut line = String::new();
    while line != "BEGIN\r\n" {
        if line.starts_with("\0AUTH EXTERNAL ") {
            writer.write_all(b"OK 0123456789abcdef0123456789abcdef\r\n")?;
        }
        line.clear();
        if reader.read_line(&mut line)? == 0 {
            return Ok(());
        }
    }
    loop {
        let mut begin = [0; 16];
        reader.read_exact(&mut begin)?;
        let number = |at: usize| {
            u32::from_le_bytes([begin[at], begin[at + 1], begin[at + 2], begin[at + 3]])
        };
        let fields = number(12).next_multiple_of(8);
        let mut rest = vec![0; usize::try_from(fields + number(4)).unwrap_or_default()];
        reader.read_exact(&mut rest)?;
        let mut state = locked(state);
        let answer = answer(&rest, number(8), &mut state);
        writer.write_all(&answer)?;
    }
}

/// The answer to the call number `serial`.
fn answer(call: &[u8], serial: u32, state: &mut BusState) -> Vec<u8> {
    let names = |text: &str| call.windows(text.len()).any(|part| part == text.as_bytes());
    let mut fields = vec![5, 1, b'u', 0];
    fields.extend(serial.to_le_bytes());
    let mut body = Vec::new();
    let mut kind = 2;
    if names("SystemState") {
        fields.extend([8, 1, b'g', 0, 1, b'v', 0]);
        body.extend([1, b's', 0, 0]);
        put(&mut body, if state.stopping { "stopping" } else { "running" });
    } else if names("PreparingForShutdown") {
        fields.extend([8, 1, b'g', 0, 1, b'v', 0]);
        body.extend([1, b'b', 0, 0]);
        body.extend(u32::from(state.stopping).to_le_bytes());
    } else if names("Hello") {
        fields.extend([8, 1, b'g', 0, 1, b's', 0]);
        put(&mut body, ":1.1");
    } else if !names("AddMatch") {
        kind = 3;
    }
    message(kind, &fields, &body)
}

fn signal_fields() -> Vec<u8> {
    let mut fields = Vec::new();
    for (code, kind, text) in [
        (1, b'o', "/org/freedesktop/login1"),
        (2, b's', "org.freedesktop.login1.Manager"),
        (3, b's', "PrepareForShutdown"),
    ] {
        fields.resize(fields.len().next_multiple_of(8), 0);
        fields.extend([code, 1, kind, 0]);
        put(&mut fields, text);
    }
    fields.resize(fields.len().next_multiple_of(8), 0);
    fields.extend([8, 1, b'g', 0, 1, b'b', 0]);
    fields
}

fn put(bytes: &mut Vec<u8>, text: &str) {
    bytes.extend(u32::try_from(text.len()).unwrap_or_default().to_le_bytes());
    bytes.extend(text.as_bytes());
    bytes.push(0);
}

fn message(kind: u8, fields: &[u8], body: &[u8]) -> Vec<u8> {
    let length = |bytes: &[u8]| u32::try_from(bytes.len()).unwrap_or_default().to_le_bytes();
    let mut message = vec![b'l', kind, 1, 1];
    message.extend(length(body));
    message.extend(1_u32.to_le_bytes());
    message.extend(length(fields));
    message.extend(fields);
    message.resize(message.len().next_multiple_of(8), 0);
    message.extend(body);
    message
}
