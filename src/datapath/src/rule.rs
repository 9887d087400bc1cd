//! The policy rules: `fwmark MARK lookup TABLE`, one per family, on all 32 bits of the mark.

use std::io;

use egret_core::model::Family;
use egret_ports::error::PortError;
use egret_ports::steering::Applied;

use crate::constants::HostSettings;
use crate::former;
use crate::netlink::rule::{RuleRecord, is_ours};
use crate::netlink::{RouteNetlink, no_such_family, refused};

/// Makes a rule per family lead packets with this mark into our table. One of ours for another mark stays
/// beside it until [`settle`]: packets carry that until the SNAT back end has the new one.
///
/// The rule carries `proto kernel`: systemd-networkd removes every other foreign rule when it
/// restarts or a link flaps. A family that the kernel does not have is left out.
///
/// # Errors
/// `Denied` without CAP_NET_ADMIN; `Transient` where the rules keep changing under the read.
pub fn ensure(settings: &HostSettings, mark: u32) -> Result<Applied, PortError> {
    of_both("add", |family| ensure_family(settings, mark, family))
}

/// Removes those of our rules that are for another mark, or were changed by others, and what an agent with other
/// settings left: not before our rule set, routes and rules are there, so that what it steered goes on.
///
/// # Errors
/// As [`ensure`].
pub fn settle(settings: &HostSettings, mark: u32) -> Result<Applied, PortError> {
    let others = former::remove(settings)?;
    let wrong = |rule: &RuleRecord| !is_right(rule, mark);
    let own = of_both("settle", |family| remove_family(settings, family, wrong))?;
    Ok(if others == Applied::Changed { others } else { own })
}

/// The mark for which our rules are, also those of an agent with other settings; `None` where there is none, or one
/// of an agent that matched a bit.
///
/// # Errors
/// As [`ensure`].
pub fn current(settings: &HostSettings) -> Result<Option<u32>, PortError> {
    let wrong = |error| refused("read the rules", error);
    for family in [Family::IPv4, Family::IPv6] {
        let rules = RouteNetlink::route().and_then(|mut netlink| netlink.rules(family));
        let rules = match rules {
            Err(error) if family == Family::IPv6 && no_such_family(&error) => continue,
            other => other.map_err(wrong)?,
        };
        let ours = |rule: &&RuleRecord| is_ours(rule, settings) && is_right(rule, rule.mark);
        if let Some(rule) = rules.iter().find(ours) {
            return Ok(Some(rule.mark));
        }
        for rule in rules.iter().filter(|rule| is_right(rule, rule.mark)) {
            let mut netlink = RouteNetlink::route().map_err(wrong)?;
            if former::is_former(&mut netlink, rule, settings).map_err(wrong)? {
                return Ok(Some(rule.mark));
            }
        }
    }
    Ok(None)
}

fn of_both(
    verb: &str,
    mut act: impl FnMut(Family) -> io::Result<Applied>,
) -> Result<Applied, PortError> {
    let mut applied = Applied::AlreadySo;
    for family in [Family::IPv4, Family::IPv6] {
        match act(family) {
            Ok(Applied::Changed) => applied = Applied::Changed,
            Ok(Applied::AlreadySo) => {}
            Err(error) if family == Family::IPv6 && no_such_family(&error) => {}
            Err(error) => return Err(refused(format!("{verb} the {family} rule"), error)),
        }
    }
    Ok(applied)
}

/// Removes our rules; absent is success.
///
/// # Errors
/// As [`ensure`].
pub fn remove(settings: &HostSettings) -> Result<(), PortError> {
    of_both("remove", |family| remove_family(settings, family, |_| true)).map(drop)
}

fn ensure_family(settings: &HostSettings, mark: u32, family: Family) -> io::Result<Applied> {
    let mut netlink = RouteNetlink::route()?;
    let is_wanted = |rule: &RuleRecord| is_ours(rule, settings) && is_right(rule, mark);
    if netlink.rules(family)?.iter().any(is_wanted) {
        return Ok(Applied::AlreadySo);
    }
    // `ip rule` has no replace: an identical add with NLM_F_REPLACE makes a second one.
    let HostSettings { rule_priority, route_table, .. } = *settings;
    match netlink.add_rule(family, rule_priority, route_table, mark) {
        Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
        other => other?,
    }
    Ok(Applied::Changed)
}

/// Removes those of ours that are `unwanted`.
fn remove_family(
    settings: &HostSettings,
    family: Family,
    unwanted: impl Fn(&RuleRecord) -> bool,
) -> io::Result<Applied> {
    let mut netlink = RouteNetlink::route()?;
    let mut applied = Applied::AlreadySo;
    for rule in netlink.rules(family)? {
        if is_ours(&rule, settings) && unwanted(&rule) {
            netlink.delete_rule(&rule)?;
            applied = Applied::Changed;
        }
    }
    Ok(applied)
}

fn is_right(rule: &RuleRecord, mark: u32) -> bool {
    rule.kernel && rule.plain && rule.mark == mark && rule.mask == u32::MAX
}
