//! The nftables back end of [`Steering`].
//!
//! State: the nft table that [`HostSettings::nft_table`] names, in the kernel. Written by one
//! [`NftSteering`]; what the kernel has is read before anything is written, unless the rule set's
//! generation says that nobody has written since. Always: one transaction per change.

mod counters;
mod delta;
mod flows;
mod generation;
mod observe;
mod rules;
mod ruleset;
mod table;
mod watcher;

use std::collections::{BTreeMap, BTreeSet};

use egret_core::node_config::SteeringConfig;
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::steering::{Applied, Collision, Steering, SteeringCounters, SteeringWatcher};
use serde_json::Value;

use self::counters::NftCounters;
use self::delta::{Delta, delta};
pub(crate) use self::generation::generation;
use self::generation::has_table;
use self::observe::{ObservedTable, Reading, read};
use self::rules::TunnelEntry;
use self::ruleset::{LAYOUT, is_snat};
use self::table::NftTable;
use self::watcher::NftWatcher;
use crate::constants::HostSettings;
use crate::netlink::refused;
use crate::{nft_tool, packet_mark};

/// A lost race with a foreign change is tried again, this often at most.
const ATTEMPTS: usize = 3;

/// Marks, guards and SNATs with nft (1.0.2 or later; tested with 1.0.6).
#[derive(Debug)]
pub struct NftSteering {
    settings: HostSettings,
    entry: TunnelEntry,
    /// What was applied last, as a steering config and as a table.
    applied: Option<(SteeringConfig, NftTable)>,
    /// What the kernel had at a generation.
    known: Option<(u32, ObservedTable)>,
    /// The fixed chains as nft lists them, since this process wrote or first read them.
    expressions: Option<BTreeMap<String, Vec<Value>>>,
}

impl NftSteering {
    /// A back end for a tunnel device of this MTU in bytes, whose packets carry [`packet_mark::DEFAULT`].
    /// Writes nothing yet.
    #[must_use]
    pub fn new(settings: HostSettings, mtu: u32) -> Self {
        let entry = TunnelEntry { mark: packet_mark::DEFAULT, mtu, has_proxy: false };
        Self { settings, entry, applied: None, known: None, expressions: None }
    }

    fn set_entry(&mut self, entry: TunnelEntry) {
        if self.entry != entry {
            self.entry = entry;
            self.applied = None;
        }
    }

    /// Whether nobody, this process included, has written any rule since the kernel had `table`.
    fn is_untouched(&self, table: &NftTable) -> bool {
        match (&self.known, generation()) {
            (Some((known, has)), Ok(now)) => *known == now && *has == ObservedTable::of(table),
            _ => false,
        }
    }

    /// What the kernel has, and the generation from which that was true.
    fn observe(&mut self, table: &NftTable) -> Result<(u32, Reading), PortError> {
        let operation = format!("read the nft table {}", table.name);
        let classify = |error| refused(operation.clone(), error);
        let before = generation().map_err(classify)?;
        if !has_table(&table.name).map_err(classify)? {
            return Ok((before, Reading::default()));
        }
        let listing =
            nft_tool::list(&["list", "table", "inet", &table.name], &operation, nft_tool::LISTING)?;
        Ok((before, read(&listing, table).unwrap_or_default()))
    }

    /// One try; a later one writes the whole table, whatever it was that the first met.
    fn attempt(&mut self, table: &NftTable, again: bool) -> Result<Applied, PortError> {
        let operation = format!("apply the nft table {}", table.name);
        let classify = |error| refused(operation.clone(), error);
        let now = generation().map_err(classify)?;
        let (before, has) = match self.known.take() {
            Some((known, has)) if known == now => (now, has),
            _ => {
                let (before, reading) = self.observe(table)?;
                (before, reading.observed)
            }
        };
        let (script, whole) = match delta(&has, table) {
            Delta::Nothing => {
                self.known = Some((before, has));
                return Ok(Applied::AlreadySo);
            }
            Delta::Parts(script) if !again => (script, false),
            Delta::Parts(_) => (table.render(), true),
            Delta::Whole(script) => (script, true),
        };
        nft_tool::run(&script, &operation)?;
        let after = generation().map_err(classify)?;
        if whole {
            self.expressions = None;
        }
        // One transaction is one generation: another number means that somebody else wrote too.
        let alone = after == before.wrapping_add(1);
        if alone && !whole {
            self.known = Some((after, ObservedTable::of(table)));
        } else if !self.is_so(table)? {
            let remedy = "what was read back differs from what was written: somebody else changes \
                          this table, or this version of nft shows it in another way";
            return Err(PortError::new(ErrorClass::Conflict, operation, remedy));
        }
        Ok(Applied::Changed)
    }

    /// Reads back and compares, the fixed chains by their expressions too.
    fn is_so(&mut self, table: &NftTable) -> Result<bool, PortError> {
        let (before, reading) = self.observe(table)?;
        if reading.observed != ObservedTable::of(table) {
            self.known = Some((before, reading.observed));
            return Ok(false);
        }
        let mut fixed = reading.expressions;
        fixed.retain(|chain, _| !is_snat(chain));
        let same = self.expressions.as_ref().is_none_or(|expressions| *expressions == fixed);
        if same {
            self.known = Some((before, reading.observed));
            self.expressions = Some(fixed);
        } else {
            // Comments and elements are right, a rule is not: known as nothing, so that the next
            // `apply` writes the whole table.
            self.known = Some((before, ObservedTable::default()));
        }
        Ok(same)
    }
}

/// nft has one exit code for a missing object, a bad script and a lost race alike: all are read and
/// tried again, but for a tool that hangs.
fn lost_race(error: &PortError) -> bool {
    matches!(error.class, ErrorClass::Transient | ErrorClass::Conflict)
        && !nft_tool::has_hung(error)
}

impl Steering for NftSteering {
    fn apply(&mut self, config: &SteeringConfig) -> Result<Applied, PortError> {
        if let Some((applied, table)) = &self.applied
            && applied == config
            && self.is_untouched(table)
        {
            return Ok(Applied::AlreadySo);
        }
        let table = ruleset::table(&self.settings, self.entry, config)
            .map_err(|error| PortError::new(ErrorClass::Invalid, "render the nft table", error))?;
        let mut last = Err(PortError::new(ErrorClass::Transient, "apply", "not attempted"));
        for attempt in 0..ATTEMPTS {
            last = self.attempt(&table, attempt > 0);
            match &last {
                Err(error) if lost_race(error) => self.known = None,
                _ => break,
            }
        }
        if last.is_ok() {
            self.applied = Some((config.clone(), table));
        }
        last
    }

    fn verify(&mut self, config: &SteeringConfig) -> Result<bool, PortError> {
        let applied = self.applied.take_if(|(applied, _)| applied == config);
        let Some((applied, table)) = applied else { return Ok(false) };
        let so = if self.is_untouched(&table) { Ok(true) } else { self.is_so(&table) };
        self.applied = Some((applied, table));
        so
    }

    fn set_mtu(&mut self, mtu: u32) {
        self.set_entry(TunnelEntry { mtu, ..self.entry });
    }

    fn set_packet_mark(&mut self, mark: u32) {
        self.set_entry(TunnelEntry { mark, ..self.entry });
    }

    fn set_proxy(&mut self, is_there: bool) {
        self.set_entry(TunnelEntry { has_proxy: is_there, ..self.entry });
    }

    fn counters(&self) -> Box<dyn SteeringCounters> {
        Box::new(NftCounters { table: self.settings.nft_table.clone() })
    }

    fn collisions(&self) -> Result<BTreeSet<Collision>, PortError> {
        let name = &self.settings.nft_table;
        let listing =
            nft_tool::list(&["list", "chains", "inet"], "read the nft chains", nft_tool::LISTING)?;
        let who = "somebody else: it has none of our chains".to_owned();
        let taken =
            Collision { what: format!("the nft table inet {name}"), who, setting: "nft table" };
        Ok(is_foreign_table(&listing, name).then_some(taken).into_iter().collect())
    }

    fn watch(&self) -> Result<Box<dyn SteeringWatcher>, PortError> {
        let watcher = NftWatcher::new(&self.settings.nft_table);
        Ok(Box::new(watcher.map_err(|e| refused("listen to the notices of nftables", e))?))
    }

    fn teardown(&mut self) -> Result<(), PortError> {
        self.applied = None;
        self.known = None;
        self.expressions = None;
        let name = &self.settings.nft_table;
        // The add makes the delete succeed where there is no table.
        let script = format!("add table inet {name}\ndelete table inet {name}\n");
        nft_tool::run(&script, &format!("remove the nft table {name}"))
    }
}

/// A table of our name that an agent of any version has never written.
fn is_foreign_table(listing: &Value, name: &str) -> bool {
    let objects = listing["nftables"].as_array().map(Vec::as_slice).unwrap_or_default();
    let chains: Vec<&str> = objects
        .iter()
        .filter_map(|object| object.get("chain"))
        .filter(|chain| chain["family"] == "inet" && chain["table"] == name)
        .filter_map(|chain| chain["name"].as_str())
        .collect();
    let ours = |chain: &&str| chain.starts_with(LAYOUT) || ["select", "guard"].contains(chain);
    !chains.is_empty() && !chains.iter().any(ours)
}
