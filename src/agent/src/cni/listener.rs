//! The socket that the plugin of each new pod asks.

use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;
use std::{fs, io};

use egret_cni::{AgentAnswer, LONGEST_REQUEST, PATIENCE, PodAdded};
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::{Semaphore, mpsc, oneshot};
use tracing::{debug, warn};

/// Pods that start at the same moment; more wait in the socket's backlog.
const AT_ONCE: usize = 128;
/// A plugin has given up by then.
const LONGEST_CALL: Duration = PATIENCE.saturating_mul(2);
/// `accept` fails where descriptors are used up; then again after so long.
const ACCEPT_RETRY: Duration = Duration::from_millis(100);

/// A pod that has got its addresses; `programmed` is used once the kernel holds its steering config.
#[derive(Debug)]
pub(crate) struct PodArrival {
    pub(crate) added: PodAdded,
    pub(crate) programmed: oneshot::Sender<()>,
}

/// Listens on `path`, which only root may use, in place of an earlier process.
pub(crate) fn listen(path: &Path) -> io::Result<mpsc::Receiver<PodArrival>> {
    // Nobody can connect before the mode is right, and there is always a socket at the path.
    let next = path.with_extension("next");
    match fs::remove_file(&next) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = UnixListener::bind(&next)?;
    fs::set_permissions(&next, fs::Permissions::from_mode(0o600))?;
    fs::rename(&next, path)?;
    let (arrivals, receiver) = mpsc::channel(AT_ONCE);
    tokio::spawn(accept(listener, arrivals));
    Ok(receiver)
}

async fn accept(listener: UnixListener, arrivals: mpsc::Sender<PodArrival>) {
    let permits = Arc::new(Semaphore::new(AT_ONCE));
    while let Ok(permit) = permits.clone().acquire_owned().await {
        match listener.accept().await {
            Ok((stream, _)) => {
                let arrivals = arrivals.clone();
                tokio::spawn(async move {
                    match tokio::time::timeout(LONGEST_CALL, serve(stream, arrivals)).await {
                        Ok(Ok(())) => {}
                        Ok(Err(error)) => warn!(%error, "a CNI plugin's request failed"),
                        Err(_) => debug!("a pod was not programmed while its plugin waited"),
                    }
                    drop(permit);
                });
            }
            Err(error) => {
                warn!(%error, "cannot accept a CNI plugin's connection");
                tokio::time::sleep(ACCEPT_RETRY).await;
            }
        }
    }
}

async fn serve(stream: UnixStream, arrivals: mpsc::Sender<PodArrival>) -> io::Result<()> {
    let mut stream = BufReader::new(stream);
    let mut line = String::new();
    (&mut stream).take(LONGEST_REQUEST).read_line(&mut line).await?;
    let added: PodAdded = serde_json::from_str(&line)?;
    let (programmed, mut outcome) = oneshot::channel();
    // The plugin says nothing more: what comes is the end of the stream. Then it has given up, and its pod
    // runs; so may the pod of one that asked while this process was stopped.
    if tokio::time::timeout(Duration::ZERO, stream.read_u8()).await.is_ok() {
        outcome.close();
    }
    // The loop is gone only when the process is ending: the plugin sees the end of the stream.
    if arrivals.send(PodArrival { added, programmed }).await.is_err() {
        return Ok(());
    }
    let programmed = tokio::select! {
        biased;
        _ = stream.read_u8() => return Ok(()),
        programmed = outcome => programmed.is_ok(),
    };
    let mut answer = serde_json::to_vec(&AgentAnswer { programmed })?;
    answer.push(b'\n');
    stream.write_all(&answer).await
}

#[cfg(test)]
mod tests {
    use super::*;

    fn tell(path: &Path, line: &'static str) -> tokio::task::JoinHandle<String> {
        let path = path.to_owned();
        tokio::spawn(async move {
            let mut stream = BufReader::new(UnixStream::connect(path).await.unwrap());
            stream.write_all(line.as_bytes()).await.unwrap();
            let mut answer = String::new();
            stream.read_line(&mut answer).await.unwrap();
            answer
        })
    }

    #[tokio::test]
    async fn a_plugin_is_answered_when_its_pod_is_programmed_and_only_then() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("cni.sock");
        fs::write(&path, "what an earlier process left").unwrap();
        let mut arrivals = listen(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        let line = "{\"namespace\":\"n\",\"name\":\"p\",\"uid\":\"u\",\"ips\":[\"10.244.1.5\"]}\n";
        for (programmed, want) in
            [(true, "{\"programmed\":true}\n"), (false, "{\"programmed\":false}\n")]
        {
            let answer = tell(&path, line);
            let arrival = arrivals.recv().await.unwrap();
            assert_eq!(arrival.added.name, "p");
            assert!(!answer.is_finished());
            if programmed {
                arrival.programmed.send(()).unwrap();
            } else {
                drop(arrival);
            }
            assert_eq!(answer.await.unwrap(), want);
        }
        // A plugin that has given up is noticed: its pod runs.
        let given_up = tell(&path, line);
        let mut arrival = arrivals.recv().await.unwrap();
        given_up.abort();
        arrival.programmed.closed().await;
        // So is one that gave up before its call was read: it is told of as such.
        let mut stream = std::os::unix::net::UnixStream::connect(&path).unwrap();
        std::io::Write::write_all(&mut stream, line.as_bytes()).unwrap();
        drop(stream);
        assert!(arrivals.recv().await.unwrap().programmed.is_closed());
        // Nonsense ends the connection and nothing else.
        assert_eq!(tell(&path, "nonsense\n").await.unwrap(), "");
        let answer = tell(&path, line);
        arrivals.recv().await.unwrap().programmed.send(()).unwrap();
        assert_eq!(answer.await.unwrap(), "{\"programmed\":true}\n");
    }
}
