//! Programs that this process runs: all of them here, each with a time limit, since whoever waits for one would wait
//! for ever.

use std::io::{self, Write};
use std::os::unix::process::CommandExt as _;
use std::process::{Child, Command, Output, Stdio};
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::Duration;

use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;

/// Runs a program to its end and returns what it has printed.
///
/// # Errors
/// `TimedOut` where it has not ended after `limit`: it is killed then, with what it has started.
pub(crate) fn output(
    program: &str,
    arguments: &[&str],
    input: Option<String>,
    limit: Duration,
) -> io::Result<Output> {
    let child = Command::new(program)
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // Its own children end with it.
        .process_group(0)
        .spawn()?;
    let group = i32::try_from(child.id()).map(Pid::from_raw).map_err(io::Error::other)?;
    let (sender, ended) = mpsc::channel();
    std::thread::Builder::new().name("child".to_owned()).spawn(move || {
        // Nobody waits any more for one that was killed.
        let _ = sender.send(talk(child, input));
    })?;
    match ended.recv_timeout(limit) {
        Ok(output) => output,
        Err(RecvTimeoutError::Timeout) => {
            // Gone where it has just ended.
            let _ = killpg(group, Signal::SIGKILL);
            let message = format!("{program} has not ended after {limit:?} and was killed");
            Err(io::Error::new(io::ErrorKind::TimedOut, message))
        }
        Err(RecvTimeoutError::Disconnected) => Err(io::ErrorKind::Interrupted.into()),
    }
}

fn talk(mut child: Child, input: Option<String>) -> io::Result<Output> {
    if let (Some(input), Some(mut stdin)) = (input, child.stdin.take()) {
        // nft reads all of its input before it writes: no deadlock. A broken pipe means that it
        // has ended already, and its exit status says why.
        match stdin.write_all(input.as_bytes()) {
            Err(error) if error.kind() != io::ErrorKind::BrokenPipe => return Err(error),
            _ => {}
        }
    }
    child.wait_with_output()
}

#[cfg(test)]
mod tests {
    use std::path::Path;
    use std::time::Instant;

    use super::*;

    const LONG: Duration = Duration::from_secs(600);

    fn sh(script: &str, input: Option<&str>, limit: Duration) -> io::Result<Output> {
        output("sh", &["-c", script], input.map(ToOwned::to_owned), limit)
    }

    #[test]
    fn what_a_program_prints_and_how_it_ends_is_told() {
        let done = sh("cat; echo no >&2; exit 3", Some("yes"), LONG).unwrap();
        assert_eq!((done.stdout, done.stderr), (b"yes".to_vec(), b"no\n".to_vec()));
        assert_eq!(done.status.code(), Some(3));
        let missing = output("egret-no-such-program", &[], None, LONG);
        assert_eq!(missing.unwrap_err().kind(), io::ErrorKind::NotFound);
        // It has not read its input.
        assert!(sh("exit 0", Some(&"x".repeat(1 << 20)), LONG).unwrap().status.success());
    }

    #[test]
    fn one_that_never_ends_is_killed_with_its_children() {
        let folder = std::env::temp_dir().join(format!("egret-child-{}", std::process::id()));
        let script = format!("sleep 601 & echo $! > {}; wait", folder.display());
        for input in [None, Some("x".repeat(1 << 20))] {
            let begun = Instant::now();
            // Long enough to have begun.
            let limit = Duration::from_secs(2);
            let error = sh(&script, input.as_deref(), limit).unwrap_err();
            assert_eq!(error.kind(), io::ErrorKind::TimedOut);
            assert_eq!(error.to_string(), "sh has not ended after 2s and was killed");
            assert!(begun.elapsed() < Duration::from_secs(300), "it was waited for");
            let child = std::fs::read_to_string(&folder).unwrap();
            let status = Path::new("/proc").join(child.trim()).join("status");
            let lives =
                || std::fs::read_to_string(&status).is_ok_and(|its| !its.contains("State:\tZ"));
            while lives() && begun.elapsed() < Duration::from_secs(300) {
                std::thread::sleep(Duration::from_millis(5));
            }
            assert!(!lives(), "its child goes on");
        }
        std::fs::remove_file(&folder).unwrap();
    }
}
