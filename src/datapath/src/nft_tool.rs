//! The tool `nft`: one process per transaction or listing.

use std::io::{self, Write};
use std::process::{Command, Output, Stdio};

use egret_ports::error::{ErrorClass, PortError};
use serde_json::Value;

/// Runs a script as one transaction: all of it holds afterwards, or nothing has changed.
pub(crate) fn run(script: &str, operation: &str) -> Result<(), PortError> {
    let output = spawn(&["-f", "-"], Some(script)).map_err(|e| not_started(operation, e))?;
    if output.status.success() {
        return Ok(());
    }
    // nft has one exit code for a missing object, a bad script and a lost race alike.
    Err(PortError::new(ErrorClass::Transient, operation, error_text(&output)))
}

/// Lists as JSON; `Null` where the object does not exist.
pub(crate) fn list(arguments: &[&str], operation: &str) -> Result<Value, PortError> {
    let mut all = vec!["-j"];
    all.extend(arguments);
    let output = spawn(&all, None).map_err(|e| not_started(operation, e))?;
    if !output.status.success() {
        return Err(PortError::new(ErrorClass::Transient, operation, error_text(&output)));
    }
    serde_json::from_slice(&output.stdout)
        .map_err(|e| PortError::new(ErrorClass::Transient, operation, e))
}

fn spawn(arguments: &[&str], input: Option<&str>) -> io::Result<Output> {
    let mut child = Command::new("nft")
        .args(arguments)
        .stdin(if input.is_some() { Stdio::piped() } else { Stdio::null() })
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
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

fn error_text(output: &Output) -> String {
    let text = String::from_utf8_lossy(&output.stderr);
    let text: String = text.trim().chars().take(2_000).collect();
    format!("nft ended with {}: {text}", output.status)
}

fn not_started(operation: &str, error: io::Error) -> PortError {
    match error.kind() {
        io::ErrorKind::NotFound => {
            let remedy = "the tool nft is missing: install nftables 1.0.2 or later";
            PortError::new(ErrorClass::NotFound, operation, remedy)
        }
        io::ErrorKind::PermissionDenied => PortError::new(ErrorClass::Denied, operation, error),
        _ => PortError::new(ErrorClass::Transient, operation, error),
    }
}
