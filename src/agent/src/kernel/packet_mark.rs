//! The mark by which packets go into the tunnel, chosen among those that nobody else matches.

use egret_datapath::packet_mark::{self, MarkMatch, NoFreeMark};
use egret_datapath::{HostSettings, host, rule};
use egret_ports::error::PortError;
use egret_ports::steering::Applied;

/// What packets carry into the tunnel.
pub(super) struct PacketMark {
    /// `None` before it was chosen.
    value: Option<u32>,
    /// What nftables and iptables matched when this process began.
    firewalls: Vec<MarkMatch>,
    conflict: Option<NoFreeMark>,
}

impl PacketMark {
    /// Not chosen yet, but for `value`, which an earlier process had.
    pub(super) fn new(value: Option<u32>, firewalls: Vec<MarkMatch>) -> Self {
        Self { value, firewalls, conflict: None }
    }

    /// Why none is free, since the rules were looked at last.
    pub(super) fn conflict(&self) -> Option<&NoFreeMark> {
        self.conflict.as_ref()
    }

    /// The policy rules are there that lead what carries it into the tunnel.
    pub(super) fn ensure(&mut self, settings: &HostSettings) -> Result<Applied, PortError> {
        rule::ensure(settings, self.choose(settings)?)
    }

    /// Chooses among what is there now; where none is free, what was stays, and what others take of it is dropped.
    fn choose(&mut self, settings: &HostSettings) -> Result<u32, PortError> {
        let mut foreign = host::mark_rules(settings)?;
        foreign.extend(self.firewalls.iter().cloned());
        self.conflict = None;
        let chosen = packet_mark::choose(self.value, settings.mark, &foreign);
        let value = chosen.unwrap_or_else(|none| {
            self.conflict = Some(none);
            self.get()
        });
        self.value = Some(value);
        Ok(value)
    }

    pub(super) fn get(&self) -> u32 {
        self.value.unwrap_or(packet_mark::DEFAULT)
    }
}
