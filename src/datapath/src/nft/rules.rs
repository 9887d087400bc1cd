//! The chains that do not depend on the steering config.
//!
//! ```text
//! select  prerouting −90 (after DNAT, before routing): marks
//! guard   forward 0: drops what would leave with another source, before NAT is decided
//! input   who may send to our ports
//! own     output, route −90: what a proxy on the node sends for a pod, and what the node itself says of a
//!         steered connection, goes the steered way; own-guard: as guard
//! last    postrouting 98: the same guard for that, and for connections that have lost our bit
//! mss     forward −150 and postrouting −150
//! post    nat postrouting 99, just before srcnat: a connection's NAT is decided by the first chain
//!         that sets it, and a CNI's masquerade hangs at 100
//! passed  postrouting 1000, behind all NAT: says so on what leaves with a selected pod's own address
//! ```

mod matches;
mod output;

use std::collections::BTreeMap;

use egret_ports::steering::SteeringDrop;

use self::matches::{FIRST, REPLIES_TO_EGRESS, SELECTED_PAIRS, dropped, never, steered};
pub(crate) use self::matches::{IPV4_WAY, IPV6_WAY, WayCounters, counter};
use self::output::{own, own_anew, own_fresh, own_guard, own_steered};
use super::table::{Chain, Hook, NftRule};
use crate::constants::HostSettings;

/// Chain for flows of an address without an open block.
pub(crate) const NO_BLOCK: &str = "no-block";
/// Chain for flows of a family in which the claim has no address.
pub(crate) const NO_FAMILY: &str = "no-family";
/// Chain for flows to what may or may not be outside the cluster.
pub(crate) const NO_RANGE: &str = "unknown-range";
/// Chain for flows of a claim without an address.
pub(crate) const NO_ADDRESS: &str = "no-address";

/// Marks with which Cilium has a proxy on this node take a packet (`MARK_MAGIC_TO_PROXY`, by TPROXY and a
/// policy rule before ours): with ours instead it would pass the proxy by.
const TO_PROXY: &str = "meta mark & 0xf00 == 0x200";

/// What leads packets into the tunnel, and how long they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct TunnelEntry {
    /// The mark that the policy rule matches, all 32 bits of it.
    pub(crate) mark: u32,
    /// MTU of the tunnel device in bytes.
    pub(crate) mtu: u32,
    /// A proxy takes packets by [`TO_PROXY`].
    pub(crate) has_proxy: bool,
}

/// The chains, for a tunnel with this entry.
pub(crate) fn chains(
    settings: &HostSettings,
    TunnelEntry { mark, mtu, has_proxy }: TunnelEntry,
) -> BTreeMap<String, Chain> {
    let mut chains = BTreeMap::new();
    let mut add = |name: &str, hook: Option<Hook>, rules: Vec<NftRule>| {
        chains.insert(name.to_owned(), Chain { hook, rules });
    };
    add("select", hook("filter", "prerouting", -90), select(settings));
    add("steer", None, to_tunnel(mark, has_proxy));
    add("first", None, first(settings));
    add("guard", hook("filter", "forward", 0), guard(settings));
    add("own-guard", hook("filter", "output", 0), own_guard());
    add("own-fresh", None, own_fresh());
    add("lost", None, lost(mark));
    add("broken", None, invalid_packets());
    add("fresh", None, fresh());
    add("known", None, known(settings));
    add("input", hook("filter", "input", 0), input(settings));
    add("own-anew", hook("route", "output", -91), own_anew(mark));
    add("own", hook("route", "output", -90), own(settings));
    add("own-steered", None, own_steered(mark));
    add("last", hook("filter", "postrouting", 98), last(settings));
    add("last-steered", None, last_steered());
    add("translated", None, translated());
    let [sent, received] = mss(settings, mtu);
    add("mss", hook("filter", "forward", -150), received);
    add("mss-sent", hook("filter", "postrouting", -150), sent);
    add("post", hook("nat", "postrouting", 99), post(settings));
    add("returned", None, returned());
    add("passed", hook("filter", "postrouting", 1000), passed());
    for (chain, drop) in [
        (NO_BLOCK, SteeringDrop::NoBlock),
        (NO_FAMILY, SteeringDrop::FamilyWithoutAddress),
        (NO_ADDRESS, SteeringDrop::NoAddress),
        (NO_RANGE, SteeringDrop::UnknownRange),
    ] {
        add(chain, None, vec![NftRule::new(dropped(drop), counter(drop).1)]);
    }
    chains
}

fn hook(kind: &str, hook: &str, priority: i64) -> Option<Hook> {
    Some(Hook { kind: kind.to_owned(), hook: hook.to_owned(), priority })
}

fn to_tunnel(mark: u32, has_proxy: bool) -> Vec<NftRule> {
    let to_proxy = has_proxy.then(|| NftRule::new(format!("{TO_PROXY} return"), "to a proxy"));
    to_proxy.into_iter().chain([steer(mark)]).collect()
}

/// The whole mark is ours then: no bit of a foreign one is left that another rule would act on.
fn steer(mark: u32) -> NftRule {
    NftRule::new(
        format!("meta mark set {mark:#x}"),
        format!("steer what is sent on a steered connection, mark {mark:#x}"),
    )
}

/// The connection says where a packet belongs. Its mark may be anybody's: of others' bits none is looked at.
fn by_the_tunnel_only(settings: &HostSettings, otherwise: &str) -> NftRule {
    NftRule::new(
        format!("{} oifname != \"{}\" {otherwise}", steered(settings), settings.device),
        "a steered connection leads into the tunnel only",
    )
}

/// NAT knows what leaves with an egress address also where somebody has wiped our bit off the connection's mark: the
/// last defence against a packet that would leave by the uplink with it.
fn last(settings: &HostSettings) -> Vec<NftRule> {
    let device = &settings.device;
    vec![
        answers(settings),
        by_the_tunnel_only(settings, "jump last-steered"),
        NftRule::new(
            format!("ct status snat ct direction original oifname != \"{device}\" jump translated"),
            "what NAT has given an address",
        ),
    ]
}

/// The tunnel's own outer packets come from the device too (ip_output, net/ipv4/ip_output.c).
fn answers(HostSettings { device, .. }: &HostSettings) -> NftRule {
    NftRule::new(
        format!("iifname \"{device}\" ct status snat ct direction reply jump returned"),
        "answers to pods",
    )
}

fn translated() -> Vec<NftRule> {
    let wiped = dropped(SteeringDrop::ConnectionMarkOverwritten);
    let rule = |(replies, family)| {
        NftRule::new(
            format!("{replies} {wiped}"),
            format!("egress addresses lead into the tunnel only, {family}"),
        )
    };
    REPLIES_TO_EGRESS.map(rule).to_vec()
}

/// Our bit alone says too little here: it may be another's, on a connection of the node itself.
fn last_steered() -> Vec<NftRule> {
    let goto_lost = |(matched, family): (&str, &str), what: &str| {
        NftRule::new(format!("{matched} goto lost"), format!("{what}, {family}"))
    };
    let mut rules =
        REPLIES_TO_EGRESS.map(|replies| goto_lost(replies, "an egress address")).to_vec();
    rules.extend(never());
    rules.extend(SELECTED_PAIRS.map(|pair| goto_lost(pair, "selected")));
    rules
}

/// Why a packet of a steered connection is about to leave elsewhere; dropped in any case.
fn lost(mark: u32) -> Vec<NftRule> {
    let overwritten = dropped(SteeringDrop::MarkOverwritten);
    vec![
        NftRule::new(
            format!("meta mark != {mark:#x} {overwritten}"),
            "somebody overwrote the mark",
        ),
        NftRule::new(dropped(SteeringDrop::WrongDevice), "the mark led elsewhere"),
    ]
}

fn select(settings: &HostSettings) -> Vec<NftRule> {
    let device = &settings.device;
    let drop_unknown = dropped(SteeringDrop::NotEstablished);
    vec![
        // Without it a datagram to a port without a connection goes round between director and
        // gateway until its TTL ends.
        NftRule::new(
            format!("iifname \"{device}\" ct state != {{ established, related }} {drop_unknown}"),
            "the tunnel brings replies only",
        ),
        NftRule::new(format!("{FIRST} jump first"), "first packets"),
        NftRule::new(format!("{} jump steer", steered(settings)), "steered connections"),
    ]
}

fn first(HostSettings { mark, .. }: &HostSettings) -> Vec<NftRule> {
    let mut rules = never().to_vec();
    rules.extend([IPV4_WAY, IPV6_WAY].into_iter().zip(SELECTED_PAIRS).map(
        |(way, (pair, family))| {
            let action = format!("counter name {} ct mark set ct mark | {mark:#x}", way.selected);
            NftRule::new(format!("{pair} {action}"), format!("selected, {family}"))
        },
    ));
    rules
}

fn returned() -> Vec<NftRule> {
    let rule = |way: WayCounters| {
        let WayCounters { family, returned, .. } = way;
        NftRule::new(format!("meta nfproto {family} counter name {returned}"), family)
    };
    [IPV4_WAY, IPV6_WAY].map(rule).to_vec()
}

/// A bit of a packet's priority that no queue's handle has in practice; the programs at the uplinks look for it and take it
/// off. The same is in bpf/bypass.h.
const PASSED_PRIORITY: u32 = 0x4000_0000;

/// What leaves so was open before its claim, or answers somebody outside. Of TCP a SYN tells.
fn passed() -> Vec<NftRule> {
    let mut rules = vec![NftRule::new("meta l4proto tcp return", "its first packet tells")];
    rules.extend(never());
    rules.extend(SELECTED_PAIRS.map(|(pair, family)| {
        let action = format!("meta priority set meta priority | {PASSED_PRIORITY:#x}");
        NftRule::new(format!("{pair} {action}"), format!("evidence for the uplinks, {family}"))
    }));
    rules
}

fn guard(settings: &HostSettings) -> Vec<NftRule> {
    let tunnel_port = settings.tunnel_port;
    let forged = dropped(SteeringDrop::ForgedTunnelForward);
    vec![
        NftRule::new(format!("udp dport {tunnel_port} {forged}"), "pods never speak the tunnel"),
        by_the_tunnel_only(settings, "jump lost"),
        NftRule::new("ct state invalid,untracked jump broken", "NAT never touches these"),
        NftRule::new(format!("{FIRST} jump fresh"), "first packets"),
    ]
}

fn invalid_packets() -> Vec<NftRule> {
    let action = dropped(SteeringDrop::InvalidOrUntracked);
    let mut rules = never().to_vec();
    rules.extend([
        NftRule::new(format!("ip saddr . ip daddr @selected4 {action}"), "selected, IPv4"),
        NftRule::new(format!("ip6 saddr . ip6 daddr @selected6 {action}"), "selected, IPv6"),
    ]);
    rules
}

/// Here and not in postrouting: a flow that is dropped after NAT was decided stays dead when its
/// block has come; one dropped here leaves no entry, and its next packet is a first one again.
fn fresh() -> Vec<NftRule> {
    let mut rules = never().to_vec();
    let unknown = dropped(SteeringDrop::UnknownPod);
    rules.extend([
        NftRule::new(
            format!("ip saddr @unknown4 ip daddr @claimed4 {unknown}"),
            "until the pod is known, IPv4",
        ),
        NftRule::new(
            format!("ip6 saddr @unknown6 ip6 daddr @claimed6 {unknown}"),
            "until the pod is known, IPv6",
        ),
        NftRule::new("goto known", "of known pods"),
    ]);
    rules
}

fn known(HostSettings { mark, .. }: &HostSettings) -> Vec<NftRule> {
    let unmarked = format!("ct mark & {mark:#x} == 0");
    let marked = format!("ct mark & {mark:#x} == {mark:#x}");
    let not_marked = dropped(SteeringDrop::NotMarked);
    let protocol = dropped(SteeringDrop::UnsupportedProtocol);
    let mut rules: Vec<NftRule> = SELECTED_PAIRS
        .map(|(selected, family)| {
            NftRule::new(
                format!("{unmarked} {selected} {not_marked}"),
                format!("selected but unmarked, {family}"),
            )
        })
        .to_vec();
    rules.extend([
        NftRule::new("ip saddr . ip daddr vmap @refused4", "nothing to leave with, IPv4"),
        NftRule::new("ip6 saddr . ip6 daddr vmap @refused6", "nothing to leave with, IPv6"),
    ]);
    for (family, icmp, echo) in
        [("ipv4", "icmp", "icmp type"), ("ipv6", "ipv6-icmp", "icmpv6 type")]
    {
        rules.extend([
            NftRule::new(
                format!(
                    "{marked} meta nfproto {family} \
                     meta l4proto != {{ tcp, udp, sctp, {icmp} }} {protocol}"
                ),
                format!("protocols with ports, {family}"),
            ),
            NftRule::new(
                format!("{marked} meta nfproto {family} {echo} != echo-request {protocol}"),
                format!("echo requests, {family}"),
            ),
        ]);
    }
    rules
}

fn input(settings: &HostSettings) -> Vec<NftRule> {
    let HostSettings { tunnel_port, peers_port, .. } = settings;
    let forged = dropped(SteeringDrop::ForgedTunnelInput);
    let ports = format!("udp dport {{ {tunnel_port}, {peers_port} }}");
    vec![
        NftRule::new(format!("ip saddr != @peers4 {ports} {forged}"), "from nodes only, IPv4"),
        NftRule::new(format!("ip6 saddr != @peers6 {ports} {forged}"), "from nodes only, IPv6"),
        // Those that a proxy on this node has asked for.
        answers(settings),
    ]
}

/// Sent and received. Only ever lowered, and by family: IPv4 and IPv6 headers differ by 20 bytes (RFC 9293 3.7.1).
/// What a proxy sends on does not pass forward.
fn mss(HostSettings { device, .. }: &HostSettings, mtu: u32) -> [Vec<NftRule>; 2] {
    [("oifname", "sent"), ("iifname", "received")].map(|(direction, name)| {
        let rule = |(family, headers)| {
            let size = mtu.saturating_sub(headers).clamp(1, 65_535);
            NftRule::new(
                format!(
                    "{direction} \"{device}\" meta nfproto {family} \
                     tcp flags & (syn | rst) == syn \
                     tcp option maxseg size > {size} tcp option maxseg size set {size}"
                ),
                format!("segments that fit the tunnel, {family}, {name}"),
            )
        };
        [("ipv4", 40), ("ipv6", 60)].map(rule).to_vec()
    })
}

fn post(HostSettings { device, mark, .. }: &HostSettings) -> Vec<NftRule> {
    let rest = dropped(SteeringDrop::NoBlock);
    let entered = |WayCounters { family, entered, .. }| {
        let matched = format!("oifname \"{device}\" meta nfproto {family}");
        NftRule::new(
            format!("{matched} counter name {entered}"),
            format!("first packets, {family}"),
        )
    };
    vec![
        entered(IPV4_WAY),
        entered(IPV6_WAY),
        NftRule::new(
            format!("oifname \"{device}\" ip saddr . ip daddr vmap @policy4"),
            "address and ports, IPv4",
        ),
        NftRule::new(
            format!("oifname \"{device}\" ip6 saddr . ip6 daddr vmap @policy6"),
            "address and ports, IPv6",
        ),
        // A flow that left the steering config between two hooks.
        NftRule::new(
            format!("oifname \"{device}\" ct mark & {mark:#x} == {mark:#x} {rest}"),
            "nothing leaves with a pod's own address",
        ),
    ]
}
