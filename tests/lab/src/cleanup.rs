//! Laboratories end with their processes, or are removed afterwards.

use std::path::Path;

use anyhow::Result;

/// Removes what laboratories of processes that are gone left behind; returns what it removed.
///
/// # Errors
/// Where the temporary directory cannot be read.
pub fn cleanup() -> Result<Vec<String>> {
    let mut removed = egret_netns::remove_dead();
    removed.extend(remove_dirs(|pid| !Path::new(&format!("/proc/{pid}")).exists())?);
    Ok(removed)
}

/// Removes all of this process's laboratories, for its way out on a signal.
pub fn cleanup_own() {
    egret_netns::remove_own();
    let own = std::process::id();
    let _ = remove_dirs(|pid| pid == own);
}

fn remove_dirs(doomed: impl Fn(u32) -> bool) -> Result<Vec<String>> {
    let mut removed = Vec::new();
    for entry in std::fs::read_dir(std::env::temp_dir())?.flatten() {
        let name = entry.file_name().to_string_lossy().into_owned();
        let pid =
            name.strip_prefix("egret-lab-").and_then(|rest| rest.split('-').next()?.parse().ok());
        if pid.is_some_and(&doomed) {
            match std::fs::remove_dir_all(entry.path()) {
                // Another program cleans up beside this one.
                Err(error) if error.kind() == std::io::ErrorKind::NotFound => continue,
                result => result?,
            }
            removed.push(entry.path().display().to_string());
        }
    }
    Ok(removed)
}

/// From now on Ctrl-C, SIGTERM and SIGHUP remove this process's laboratories and end it with 130.
pub fn end_on_signal() {
    on_signal(cleanup_own);
}

/// From now on Ctrl-C, SIGTERM and SIGHUP run `clean` and end this process with 130.
pub fn on_signal(clean: impl FnOnce() + Send + 'static) {
    std::thread::spawn(|| {
        use tokio::signal::unix::{SignalKind, signal};
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build();
        let Ok(runtime) = runtime else { return };
        runtime.block_on(async {
            let kinds = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];
            let [Ok(mut one), Ok(mut two), Ok(mut three)] = kinds.map(signal) else { return };
            tokio::select! { _ = one.recv() => {} _ = two.recv() => {} _ = three.recv() => {} }
            eprintln!("\ninterrupted: removing the laboratory");
            clean();
            std::process::exit(130);
        });
    });
}
