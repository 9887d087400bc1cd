//! The nftables back end of [`Steering`].
//!
//! State: the nft table that [`Settings::nft_table`] names, in the kernel. Written by one
//! [`NftSteering`]; what the kernel has is read before anything is written, unless the rule set's
//! generation says that nobody has written since. Always: one transaction per change.

mod delta;
mod flows;
mod generation;
mod observe;
mod programme;
mod rules;
mod table;
pub(crate) mod tool;

use std::collections::BTreeMap;

use egret_core::programme::SteeringProgramme;
use egret_ports::error::{ErrorClass, PortError};
use egret_ports::steering::{Applied, Steering, SteeringDrop};
use serde_json::Value;

use self::delta::{Delta, delta};
use self::generation::{generation, has_table};
use self::observe::{Observed, Reading, read};
pub(crate) use self::programme::LAYOUT;
use self::programme::is_snat;
use self::table::Table;
use crate::constants::Settings;
use crate::netlink::refused;

/// A lost race with a foreign change is tried again, this often at most.
const ATTEMPTS: usize = 3;

/// Marks, guards and SNATs with nft (1.0.2 or later; tested with 1.0.6).
#[derive(Debug)]
pub struct NftSteering {
    settings: Settings,
    mtu: u32,
    /// What was applied last, as a programme and as a table.
    applied: Option<(SteeringProgramme, Table)>,
    /// What the kernel had at a generation.
    known: Option<(u32, Observed)>,
    /// The fixed chains as nft lists them, since this process wrote or first read them.
    expressions: Option<BTreeMap<String, Vec<Value>>>,
}

impl NftSteering {
    /// A back end for a tunnel device of this MTU in bytes. Writes nothing yet.
    #[must_use]
    pub fn new(settings: Settings, mtu: u32) -> Self {
        Self { settings, mtu, applied: None, known: None, expressions: None }
    }

    /// Another MTU of the tunnel device, from the next `apply` on.
    pub fn set_mtu(&mut self, mtu: u32) {
        if self.mtu != mtu {
            self.mtu = mtu;
            self.applied = None;
        }
    }

    /// Whether nobody, this process included, has written any rule since the kernel had `table`.
    fn is_untouched(&self, table: &Table) -> bool {
        match (&self.known, generation()) {
            (Some((known, has)), Ok(now)) => *known == now && *has == Observed::of(table),
            _ => false,
        }
    }

    /// What the kernel has, and the generation from which that was true.
    fn observe(&mut self, table: &Table) -> Result<(u32, Reading), PortError> {
        let operation = format!("read the nft table {}", table.name);
        let classify = |error| refused(operation.clone(), error);
        let before = generation().map_err(classify)?;
        if !has_table(&table.name).map_err(classify)? {
            return Ok((before, Reading::default()));
        }
        let listing = tool::list(&["list", "table", "inet", &table.name], &operation)?;
        Ok((before, read(&listing, table).unwrap_or_default()))
    }

    /// One try; a later one writes the whole table, whatever it was that the first met.
    fn attempt(&mut self, table: &Table, again: bool) -> Result<Applied, PortError> {
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
        tool::run(&script, &operation)?;
        let after = generation().map_err(classify)?;
        if whole {
            self.expressions = None;
        }
        // One transaction is one generation: another number means that somebody else wrote too.
        let alone = after == before.wrapping_add(1);
        if alone && !whole {
            self.known = Some((after, Observed::of(table)));
        } else if !self.is_so(table)? {
            let remedy = "what was read back differs from what was written: somebody else changes \
                          this table, or this version of nft shows it in another way";
            return Err(PortError::new(ErrorClass::Conflict, operation, remedy));
        }
        Ok(Applied::Changed)
    }

    /// Reads back and compares, the fixed chains by their expressions too.
    fn is_so(&mut self, table: &Table) -> Result<bool, PortError> {
        let (before, reading) = self.observe(table)?;
        if reading.observed != Observed::of(table) {
            self.known = None;
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
            self.known = Some((before, Observed::default()));
        }
        Ok(same)
    }
}

/// nft has one exit code for a missing object, a bad script and a lost race alike: all are read and
/// tried again.
fn lost_race(error: &PortError) -> bool {
    matches!(error.class, ErrorClass::Transient | ErrorClass::Conflict)
}

impl Steering for NftSteering {
    fn apply(&mut self, programme: &SteeringProgramme) -> Result<Applied, PortError> {
        if let Some((applied, table)) = &self.applied
            && applied == programme
            && self.is_untouched(table)
        {
            return Ok(Applied::AlreadySo);
        }
        let table = programme::table(&self.settings, self.mtu, programme)
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
            self.applied = Some((programme.clone(), table));
        }
        last
    }

    fn verify(&mut self) -> Result<bool, PortError> {
        let Some((programme, table)) = self.applied.take() else { return Ok(false) };
        let so = if self.is_untouched(&table) { Ok(true) } else { self.is_so(&table) };
        self.applied = Some((programme, table));
        so
    }

    fn drops(&mut self) -> Result<BTreeMap<SteeringDrop, u64>, PortError> {
        let packets = packets(&self.settings)?;
        Ok(SteeringDrop::ALL
            .into_iter()
            .filter_map(|drop| Some((drop, *packets.get(rules::counter(drop).0)?)))
            .collect())
    }

    fn teardown(&mut self) -> Result<(), PortError> {
        self.applied = None;
        self.known = None;
        self.expressions = None;
        remove(&self.settings)
    }
}

/// First packets of selected connections that reached the prerouting hook since the table was made.
///
/// # Errors
/// `NotFound` where the table is not there.
pub fn selected(settings: &Settings) -> Result<u64, PortError> {
    packets(settings)?.get(rules::SELECTED).copied().ok_or_else(|| {
        let remedy = "the table is not there: apply a programme first";
        PortError::new(ErrorClass::NotFound, "read the nft counters", remedy)
    })
}

/// Packets by counter; empty where the table is not there.
fn packets(settings: &Settings) -> Result<BTreeMap<String, u64>, PortError> {
    let operation = "read the nft counters";
    // Of all tables: to list those of one that is not there is an error.
    let mut listing = tool::list(&["list", "counters"], operation)?;
    if let Some(objects) = listing["nftables"].as_array_mut() {
        objects.retain(|object| {
            let counter = &object["counter"];
            counter["family"] == "inet" && counter["table"] == settings.nft_table.as_str()
        });
    }
    let reading = read(&listing, &Table::default()).ok_or_else(|| {
        PortError::new(ErrorClass::Transient, operation, "the listing does not decode")
    })?;
    Ok(reading.packets)
}

/// Removes our table; absent is success.
///
/// # Errors
/// As [`Steering::teardown`].
pub fn remove(settings: &Settings) -> Result<(), PortError> {
    let name = &settings.nft_table;
    // The add makes the delete succeed where there is no table.
    let script = format!("add table inet {name}\ndelete table inet {name}\n");
    tool::run(&script, &format!("remove the nft table {name}"))
}
