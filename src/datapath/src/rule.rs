//! The policy rules: `fwmark BIT/BIT lookup TABLE`, one per family.

use std::io;

use egret_core::model::Family;
use egret_ports::error::PortError;
use egret_ports::steering::Applied;

use crate::constants::HostSettings;
use crate::netlink::rule::RuleRecord;
use crate::netlink::{RouteNetlink, no_such_family, refused};

/// Makes exactly one rule per family lead packets with our bit into our table.
///
/// The rule carries `proto kernel`: systemd-networkd removes every other foreign rule when it
/// restarts or a link flaps. A family that the kernel does not have is left out.
///
/// # Errors
/// `Denied` without CAP_NET_ADMIN; `Transient` where the rules keep changing under the read.
pub fn ensure(settings: &HostSettings) -> Result<Applied, PortError> {
    let mut applied = Applied::AlreadySo;
    for family in [Family::IPv4, Family::IPv6] {
        match ensure_family(settings, family) {
            Ok(Applied::Changed) => applied = Applied::Changed,
            Ok(Applied::AlreadySo) => {}
            Err(error) if family == Family::IPv6 && no_such_family(&error) => {}
            Err(error) => return Err(refused(format!("add the {family} rule"), error)),
        }
    }
    Ok(applied)
}

/// Removes our rules; absent is success.
///
/// # Errors
/// As [`ensure`].
pub fn remove(settings: &HostSettings) -> Result<(), PortError> {
    for family in [Family::IPv4, Family::IPv6] {
        match remove_family(settings, family) {
            Err(error) if family == Family::IPv6 && no_such_family(&error) => {}
            Err(error) => return Err(refused(format!("remove the {family} rule"), error)),
            Ok(()) => {}
        }
    }
    Ok(())
}

fn ensure_family(settings: &HostSettings, family: Family) -> io::Result<Applied> {
    let mut netlink = RouteNetlink::route()?;
    let ours: Vec<RuleRecord> =
        netlink.rules(family)?.into_iter().filter(|rule| is_ours(rule, settings)).collect();
    let right = ours.iter().position(|rule| is_right(rule, settings));
    if right.is_some() && ours.len() == 1 {
        return Ok(Applied::AlreadySo);
    }
    if right.is_none() {
        // `ip rule` has no replace: an identical add with NLM_F_REPLACE makes a second one.
        let HostSettings { rule_priority, route_table, mark, .. } = *settings;
        match netlink.add_rule(family, rule_priority, route_table, mark) {
            Err(error) if error.raw_os_error() == Some(libc::EEXIST) => {}
            other => other?,
        }
    }
    for (index, rule) in ours.iter().enumerate() {
        if Some(index) != right {
            netlink.delete_rule(rule)?;
        }
    }
    Ok(Applied::Changed)
}

fn remove_family(settings: &HostSettings, family: Family) -> io::Result<()> {
    let mut netlink = RouteNetlink::route()?;
    for rule in netlink.rules(family)? {
        if is_ours(&rule, settings) {
            netlink.delete_rule(&rule)?;
        }
    }
    Ok(())
}

/// Ours are known by table and priority.
pub(crate) fn is_ours(rule: &RuleRecord, settings: &HostSettings) -> bool {
    rule.table == settings.route_table && rule.priority == settings.rule_priority
}

fn is_right(rule: &RuleRecord, settings: &HostSettings) -> bool {
    rule.kernel && rule.plain && rule.mark == settings.mark && rule.mask == settings.mark
}
