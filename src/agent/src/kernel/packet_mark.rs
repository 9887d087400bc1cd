//! The mark by which packets go into the tunnel, chosen among those that nobody else matches.

use std::collections::BTreeSet;

use egret_datapath::host::HostFindings;
use egret_datapath::packet_mark::{self, MarkMatch, NoFreeMark};
use egret_datapath::{HostSettings, host, rule};
use egret_ports::error::PortError;
use egret_ports::steering::Applied;

/// What packets carry into the tunnel.
pub(super) struct PacketMark {
    /// `None` before it was chosen.
    value: Option<u32>,
    /// What nftables and iptables did with marks when they were read last.
    firewalls: HostFindings,
    /// All matches among which the mark was chosen last: the same ones are not searched again.
    chosen_among: Option<Vec<MarkMatch>>,
    conflict: Option<NoFreeMark>,
    has_proxy: bool,
}

impl PacketMark {
    /// Not chosen yet, but for `value`, which an earlier process had.
    pub(super) fn new(value: Option<u32>, firewalls: HostFindings) -> Self {
        Self { value, firewalls, chosen_among: None, conflict: None, has_proxy: false }
    }

    /// Why none is free, since the rules were looked at last.
    pub(super) fn conflict(&self) -> Option<&NoFreeMark> {
        self.conflict.as_ref()
    }

    /// Who overwrites whole marks of connections or uses our bit, as read last.
    pub(super) fn overwriters(&self) -> BTreeSet<&str> {
        let collisions = self.firewalls.collisions.iter().map(|collision| collision.who.as_str());
        self.firewalls.overwrites.iter().map(String::as_str).chain(collisions).collect()
    }

    /// Takes note of what nftables and iptables do with marks; true where that is news.
    pub(super) fn note(&mut self, firewalls: HostFindings) -> bool {
        let is_news = self.firewalls != firewalls;
        self.firewalls = firewalls;
        is_news
    }

    /// The policy rules are there that lead what carries it into the tunnel.
    pub(super) fn ensure(&mut self, settings: &HostSettings) -> Result<Applied, PortError> {
        rule::ensure(settings, self.choose(settings)?)
    }

    /// Chooses among what is there now; where none is free, what others take of the one that is used is dropped.
    fn choose(&mut self, settings: &HostSettings) -> Result<u32, PortError> {
        let mut foreign = host::mark_rules(settings)?;
        self.has_proxy = packet_mark::leads_to_proxy(&foreign);
        foreign.extend(self.firewalls.marks.iter().cloned());
        let foreign = packet_mark::deduplicated(foreign);
        if self.chosen_among.as_ref() == Some(&foreign) {
            return Ok(self.get());
        }
        self.conflict = None;
        let chosen = packet_mark::choose(self.value, settings.mark, &foreign);
        let value = chosen.unwrap_or_else(|none| {
            let instead = none.instead;
            self.conflict = Some(none);
            instead
        });
        self.value = Some(value);
        self.chosen_among = Some(foreign);
        Ok(value)
    }

    /// A proxy of Cilium's takes packets, by a policy rule that was there when the mark was chosen.
    pub(super) fn has_proxy(&self) -> bool {
        self.has_proxy
    }

    pub(super) fn get(&self) -> u32 {
        self.value.unwrap_or(packet_mark::DEFAULT)
    }
}
