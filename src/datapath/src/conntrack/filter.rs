//! What the kernel filters by itself, found out with two entries of our own.
//!
//! A dump by address (CTA_FILTER) came with Linux 5.8, the deletion by one with 6.12. Up to 5.16 the
//! filter on the answering end may match nothing. Of IPv6 it is inverted up to 6.18 at least: it
//! matches every entry but the one that is asked for. So nothing is believed that was not seen.

use std::io;
use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};
use std::sync::OnceLock;

use egret_core::model::Family;
use netlink_packet_netfilter::conntrack::{
    ConntrackAttribute, IPTuple, ProtoTuple, Protocol, Tuple,
};

use super::socket::{Conntrack, EntryEnd, Narrowing};

/// Every entry of the probe has this mark, and each of its requests asks for it: what a wrong filter
/// lists or deletes is ours.
const PROBE_MARK: u32 = 0xe61e_7001;
/// Seconds that an entry of the probe lives where the probe does not get to delete it.
const PROBE_LIFE: u32 = 2;

/// What the kernel does right with a filter on an address, for one family.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct AddressFilter {
    /// It lists the entries that an address began.
    pub(super) by_source: bool,
    /// It lists the entries that an address answers.
    pub(super) by_answerer: bool,
    /// It deletes by both.
    pub(super) deletes: bool,
}

impl AddressFilter {
    /// What this kernel does; asked once it can be.
    pub(super) fn of(family: Family) -> Self {
        static KNOWN: [OnceLock<AddressFilter>; 2] = [OnceLock::new(), OnceLock::new()];
        let [v4, v6] = &KNOWN;
        let known = if family == Family::IPv4 { v4 } else { v6 };
        Self::known_or_found(known, || probe(family))
    }

    /// A full table takes no entry of ours: connections end without a filter until it does.
    pub(super) fn known_or_found(
        known: &OnceLock<Self>,
        probe: impl FnOnce() -> io::Result<Self>,
    ) -> Self {
        if let Some(known) = known.get() {
            return *known;
        }
        match probe() {
            Ok(found) => {
                tracing::debug!(?found, "what the kernel filters of conntrack");
                *known.get_or_init(|| found)
            }
            Err(error) => {
                tracing::debug!(%error, "cannot tell what the kernel filters of conntrack");
                Self::default()
            }
        }
    }
}

/// One entry: who began it, and who answers.
type Ends = (IpAddr, IpAddr);

/// Of ranges that nobody routes: RFC 7600's dummy address and its block, and RFC 6666's.
fn probe_ends(family: Family) -> [Ends; 2] {
    match family {
        Family::IPv4 => {
            let at = |last| IpAddr::V4(Ipv4Addr::new(192, 0, 0, last));
            [(at(8), at(1)), (at(2), at(3))]
        }
        Family::IPv6 => {
            let at = |last| IpAddr::V6(Ipv6Addr::new(0x100, 0, 0, 0, 0, 0, 0, last));
            [(at(8), at(1)), (at(2), at(3))]
        }
    }
}

pub(super) fn probe(family: Family) -> io::Result<AddressFilter> {
    let mut conntrack = Conntrack::open()?;
    let ends = probe_ends(family);
    for ends in ends {
        conntrack.create(family, entry(ends, PROBE_MARK))?;
    }
    let found = ask(&mut conntrack, ends);
    let left = conntrack.narrowed(family, &Narrowing::mark(PROBE_MARK, u32::MAX), |_| true)?;
    conntrack.delete_all(left.iter())?;
    found
}

fn ask(conntrack: &mut Conntrack, [first, second]: [Ends; 2]) -> io::Result<AddressFilter> {
    let (by_source, by_answerer) = (
        lists_only(conntrack, EntryEnd::Source, first.0, first)?,
        lists_only(conntrack, EntryEnd::Answerer, first.1, first)?,
    );
    let deletes = by_source
        && by_answerer
        && deletes_only(conntrack, EntryEnd::Source, first.0, &[second])?
        && deletes_only(conntrack, EntryEnd::Answerer, second.1, &[])?;
    Ok(AddressFilter { by_source, by_answerer, deletes })
}

fn lists_only(
    conntrack: &mut Conntrack,
    end: EntryEnd,
    address: IpAddr,
    want: Ends,
) -> io::Result<bool> {
    let asked = Narrowing::mark(PROBE_MARK, u32::MAX).and_address(end, address);
    match conntrack.narrowed(Family::of(address), &asked, |_| true) {
        Ok(listed) => Ok(listed.iter().map(|entry| (entry.source, entry.destination)).eq([want])),
        Err(error) => unsupported(error),
    }
}

fn deletes_only(
    conntrack: &mut Conntrack,
    end: EntryEnd,
    address: IpAddr,
    left: &[Ends],
) -> io::Result<bool> {
    let family = Family::of(address);
    let asked = Narrowing::mark(PROBE_MARK, u32::MAX).and_address(end, address);
    if let Err(error) = conntrack.delete_narrowed(family, &asked) {
        return unsupported(error);
    }
    let listed = conntrack.narrowed(family, &Narrowing::mark(PROBE_MARK, u32::MAX), |_| true)?;
    Ok(listed.iter().map(|entry| (entry.source, entry.destination)).eq(left.iter().copied()))
}

/// Kernels without the deletion take the request for one of a single entry, and miss its ports.
fn unsupported(error: io::Error) -> io::Result<bool> {
    match error.raw_os_error() {
        Some(libc::EINVAL | libc::EOPNOTSUPP) => Ok(false),
        _ => Err(error),
    }
}

/// A UDP entry that no packet belongs to.
pub(super) fn entry((source, destination): Ends, mark: u32) -> Vec<ConntrackAttribute> {
    let tuple = |from, from_port, to, to_port| {
        vec![
            Tuple::Ip(vec![IPTuple::SourceAddress(from), IPTuple::DestinationAddress(to)]),
            Tuple::Proto(vec![
                ProtoTuple::Protocol(Protocol::Udp),
                ProtoTuple::SourcePort(from_port),
                ProtoTuple::DestinationPort(to_port),
            ]),
        ]
    };
    vec![
        ConntrackAttribute::CtaTupleOrig(tuple(source, 1009, destination, 9)),
        ConntrackAttribute::CtaTupleReply(tuple(destination, 9, source, 1009)),
        ConntrackAttribute::CtaTimeout(PROBE_LIFE),
        ConntrackAttribute::CtaMark(mark),
    ]
}
