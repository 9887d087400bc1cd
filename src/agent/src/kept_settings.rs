//! What an agent calls and numbers its own things on this host, for `egret teardown`, which has no such flags.

use std::io;
use std::path::Path;

use egret_datapath::HostSettings;
use serde::{Deserialize, Serialize};

/// The file in the folder of what a reboot loses, as it loses the kernel's part.
pub(crate) const FILE: &str = "settings.json";

/// Those that flags change. What a file leaves out is the default.
#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase", default)]
struct KeptSettings {
    tunnel_port: u16,
    peers_port: u16,
    mark: u32,
    route_table: u32,
    rule_priority: u32,
}

impl Default for KeptSettings {
    fn default() -> Self {
        Self::of(&HostSettings::default())
    }
}

impl KeptSettings {
    fn of(settings: &HostSettings) -> Self {
        let HostSettings { tunnel_port, peers_port, mark, route_table, rule_priority, .. } =
            *settings;
        Self { tunnel_port, peers_port, mark, route_table, rule_priority }
    }
}

/// Keeps the settings, before anything in the kernel has them.
pub(crate) fn keep(run_dir: &Path, settings: &HostSettings) -> io::Result<()> {
    let temporary = run_dir.join(format!(".{FILE}.new"));
    std::fs::write(&temporary, serde_json::to_vec(&KeptSettings::of(settings))?)?;
    std::fs::rename(temporary, run_dir.join(FILE))
}

/// The settings of the agent that ran here last; the defaults where none has kept any.
///
/// # Errors
/// Where they are kept and cannot be read, or could not work.
pub fn kept_settings(run_dir: &Path) -> io::Result<HostSettings> {
    let bytes = match std::fs::read(run_dir.join(FILE)) {
        Err(error) if error.kind() == io::ErrorKind::NotFound => {
            return Ok(HostSettings::default());
        }
        read => read?,
    };
    let KeptSettings { tunnel_port, peers_port, mark, route_table, rule_priority } =
        serde_json::from_slice(&bytes)?;
    let settings = HostSettings {
        tunnel_port,
        peers_port,
        mark,
        route_table,
        rule_priority,
        ..HostSettings::default()
    };
    let bad = |bad| io::Error::new(io::ErrorKind::InvalidData, bad);
    settings.validate().map(|()| settings).map_err(bad)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn teardown_knows_what_the_agent_ran_with() {
        let run_dir = tempfile::tempdir().unwrap();
        assert_eq!(kept_settings(run_dir.path()).unwrap(), HostSettings::default());
        let settings = HostSettings {
            tunnel_port: 6480,
            peers_port: 6481,
            mark: 0x4,
            route_table: 77,
            rule_priority: 300,
            ..HostSettings::default()
        };
        keep(run_dir.path(), &settings).unwrap();
        assert_eq!(kept_settings(run_dir.path()).unwrap(), settings);
        std::fs::write(run_dir.path().join(FILE), r#"{"mark": 4, "later": 1}"#).unwrap();
        let of_another = HostSettings { mark: 4, ..HostSettings::default() };
        assert_eq!(kept_settings(run_dir.path()).unwrap(), of_another);
        std::fs::write(run_dir.path().join(FILE), r#"{"mark": 3}"#).unwrap();
        assert!(kept_settings(run_dir.path()).is_err());
    }
}
