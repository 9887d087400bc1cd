//! The suite of [`Provider`]: every provider runs it against its cloud's best double, or, with
//! leave to change things there, against the cloud.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use egret_core::model::{Attachment, NodeName};

use crate::error::{ErrorClass, PortError};
use crate::provider::{Accepted, NodeCapacity, Observation, Provider, attach_one};

/// What the suite works with. Everything named here exists, attached nowhere, unless it says so;
/// nobody else changes it meanwhile.
#[derive(Debug)]
pub struct ProviderCase<P> {
    /// The provider.
    pub provider: P,
    /// Two nodes, each of which can serve both addresses and has room for both.
    pub nodes: [NodeName; 2],
    /// The addresses.
    pub addresses: [IpAddr; 2],
    /// A node that exists and cannot serve `addresses[0]`: another subnet or zone.
    pub elsewhere: NodeName,
    /// A node with room for none of `addresses`, which its subnets or zone can serve; `None` where
    /// nothing limits a node.
    pub full: Option<NodeName>,
    /// What limits how many addresses a node can take.
    pub room: Room,
    /// A node that does not exist.
    pub unknown: NodeName,
    /// Cancellations are tried after this time, and after ever longer ones, until a call is not
    /// cancelled any more; about a fifth of what a call takes.
    pub cancel_step: Duration,
    /// How many reads after a change may still show what was before it.
    pub lagging_reads: usize,
    /// How long after a change reads may still show what was before it, however many.
    pub lag: Duration,
}

/// What limits how many addresses a node can take.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Room {
    /// The node itself: an address takes up room where it is.
    OfTheNode,
    /// Nothing of the node: its room is always the same.
    Unlimited,
}

/// Runs the suite.
///
/// # Panics
/// Where the contract is broken, with a sentence that says how.
pub async fn run<P: Provider>(case: &ProviderCase<P>) {
    capacities_are_complete(case).await;
    attaching_is_seen_and_idempotent(case).await;
    moving_leaves_one(case).await;
    what_is_accepted_takes_effect(case).await;
    what_is_prepared_is_what_attach_returns(case).await;
    detaching_takes_only_what_the_node_has(case).await;
    what_cannot_be_is_refused_and_changes_nothing(case).await;
    a_call_cut_off_anywhere_can_be_repeated(case).await;
    a_list_is_attached_address_by_address(case).await;
    calls_that_only_share_a_node_run_at_once(case).await;
}

/// A call that takes longer than [`ProviderCase::cut_after`] so many steps is stuck.
const CUTS: u32 = 60;

impl<P: Provider> ProviderCase<P> {
    /// When a call is cut off, by how often one was: by so much later each time that a machine which
    /// is ten times as slow takes a dozen cuts more, not ten times as many.
    fn cut_after(&self, cuts: u32) -> Duration {
        let growth = (0..cuts).fold(0.0, |time, _| time * 1.15 + 1.0);
        self.cancel_step.mul_f64(growth)
    }

    async fn observe(&self) -> Observation {
        let mut nodes: BTreeSet<_> = self.nodes.iter().cloned().collect();
        nodes.extend([self.elsewhere.clone(), self.unknown.clone()]);
        nodes.extend(self.full.clone());
        let addresses = self.addresses.into();
        let observed = self.provider.observe(&addresses, &nodes).await;
        observed.unwrap_or_else(|error| panic!("observe failed: {error}"))
    }

    async fn capacity(&self, node: &NodeName) -> NodeCapacity {
        let offer = self.observe().await.nodes.remove(node);
        offer.unwrap_or_else(|| panic!("observe says nothing of node {node}"))
    }

    async fn holder(&self, address: IpAddr) -> Option<NodeName> {
        self.observe().await.attachments.remove(&address).map(|attachment| attachment.node)
    }

    async fn attach(&self, address: IpAddr, node: &NodeName) -> Attachment {
        let attached = attach_one(&self.provider, address, node).await;
        attached.unwrap_or_else(|error| panic!("attach {address} to {node} failed: {error}"))
    }

    async fn prepare(&self, node: &NodeName, addresses: &[IpAddr]) -> BTreeMap<IpAddr, Attachment> {
        let wanted = addresses.iter().copied().collect();
        let prepared = self.provider.prepare(node, &wanted).await;
        let prepared = prepared.unwrap_or_else(|error| panic!("prepare of {node} failed: {error}"));
        assert_eq!(prepared.keys().copied().collect::<BTreeSet<_>>(), wanted, "all of them");
        let ready = |(address, ready): (IpAddr, Result<_, PortError>)| match ready {
            Ok(ready) => (address, ready),
            Err(error) => panic!("{address} cannot be made ready at {node}: {error}"),
        };
        prepared.into_iter().map(ready).collect()
    }

    /// Makes both nodes ready for nothing, which takes away whatever calls without an answer have left
    /// there; returns how much room they have then.
    async fn tidy(&self) -> [u32; 2] {
        let [one, other] = &self.nodes;
        for node in [one, other] {
            self.prepare(node, &[]).await;
        }
        [self.capacity(one).await.free, self.capacity(other).await.free]
    }

    async fn detach(&self, address: IpAddr, node: &NodeName) {
        let detached = self.provider.detach(address, node).await;
        detached.unwrap_or_else(|error| panic!("detach {address} from {node} failed: {error}"));
    }

    /// Panics unless the cloud has the address at `node`: at once (success is the observed state),
    /// and still when no read can lag any more.
    async fn expect_at(&self, address: IpAddr, node: Option<&NodeName>) {
        for read in 0..=self.lagging_reads {
            let holder = self.holder(address).await;
            assert_eq!(holder.as_ref(), node, "{address} at the wrong node in read {read}");
        }
    }
}

async fn capacities_are_complete<P: Provider>(case: &ProviderCase<P>) {
    let observed = case.observe().await;
    assert!(observed.attachments.is_empty(), "attached already: {:?}", observed.attachments);
    assert!(!observed.nodes.contains_key(&case.unknown), "an unknown node has an offer");
    for node in &case.nodes {
        let offer = case.capacity(node).await;
        assert_eq!(offer.can_serve, case.addresses.into(), "{node} can serve both");
        assert!(offer.unserved.is_empty(), "{node} can serve both: {:?}", offer.unserved);
        assert!(offer.free >= 2, "{node} has room for {} only", offer.free);
    }
    let elsewhere = case.capacity(&case.elsewhere).await;
    assert!(!elsewhere.can_serve.contains(&case.addresses[0]), "{} cannot serve", case.elsewhere);
    let unserved = elsewhere.unserved.get(&case.addresses[0]).map(AsRef::as_ref);
    let why = elsewhere.refused.as_deref().or(unserved);
    assert!(why.is_some_and(|why| !why.is_empty()), "{} does not say why not", case.elsewhere);
    if let Some(full) = &case.full {
        assert_eq!(case.capacity(full).await.free, 0, "{full} has no room");
    }
    let one = [case.addresses[0]].into();
    let part = case.provider.observe(&one, &[case.nodes[0].clone()].into()).await;
    let part = part.unwrap_or_else(|error| panic!("observe failed: {error}"));
    assert_eq!(part.nodes.keys().collect::<Vec<_>>(), [&case.nodes[0]], "only what was asked for");
    assert!(part.nodes.values().all(|offer| offer.can_serve.is_subset(&one)), "only asked for");
    let one_elsewhere = case.provider.observe(&one, &[case.elsewhere.clone()].into()).await;
    let one_elsewhere = one_elsewhere.unwrap_or_else(|error| panic!("observe failed: {error}"));
    let mut unserved = one_elsewhere.nodes.values().flat_map(|offer| offer.unserved.keys());
    assert!(unserved.all(|address| one.contains(address)), "only asked for");
}

async fn attaching_is_seen_and_idempotent<P: Provider>(case: &ProviderCase<P>) {
    let ([node, _], [address, other]) = (&case.nodes, case.addresses);
    let free = case.capacity(node).await.free;
    let attached = case.attach(address, node).await;
    assert_eq!(attached.node, *node, "attach returns what is so");
    case.expect_at(address, Some(node)).await;
    case.expect_at(other, None).await;
    let seen = case.observe().await.attachments.remove(&address);
    assert_eq!(seen, Some(attached.clone()), "attach and observe disagree");
    let taken = u32::from(case.room == Room::OfTheNode);
    assert_eq!(case.capacity(node).await.free, free - taken, "room is not counted");
    assert_eq!(case.attach(address, node).await, attached, "already so is success");
    case.expect_at(address, Some(node)).await;
}

async fn moving_leaves_one<P: Provider>(case: &ProviderCase<P>) {
    let ([from, to], [address, _]) = (&case.nodes, case.addresses);
    let room = (case.capacity(from).await.free, case.capacity(to).await.free);
    assert_eq!(case.attach(address, to).await.node, *to);
    case.expect_at(address, Some(to)).await;
    // Where it was it may be kept ready, until somebody says that it need not.
    case.detach(address, from).await;
    case.expect_at(address, Some(to)).await;
    let after = (case.capacity(from).await.free, case.capacity(to).await.free);
    let expected = match case.room {
        Room::OfTheNode => (room.0 + 1, room.1 - 1),
        Room::Unlimited => room,
    };
    assert_eq!(after, expected, "the old node keeps it");
}

/// Directors follow a holder that succeeds a silent one as soon as its attachment is accepted: nothing
/// may be left to do then but to wait.
async fn what_is_accepted_takes_effect<P: Provider>(case: &ProviderCase<P>) {
    let ([from, to], [address, _]) = (&case.nodes, case.addresses);
    case.attach(address, from).await;
    let accepted = case.provider.attach(&[address].into(), to).await;
    let accepted = accepted.ok().and_then(|mut accepted| accepted.remove(&address));
    let Some(Ok(Accepted { attachment, .. })) = accepted else {
        panic!("{address} is not accepted at {to}: {accepted:?}");
    };
    let mut shown = None;
    tokio::time::sleep(case.lag).await;
    for _ in 0..=case.lagging_reads {
        shown = case.holder(address).await;
    }
    assert_eq!(shown.as_ref(), Some(to), "accepted without effect");
    let seen = case.provider.await_attached(&[address].into(), to).await;
    let seen = seen.ok().and_then(|mut seen| seen.remove(&address)).and_then(Result::ok);
    assert_eq!(seen, Some(attachment), "what is seen is not what was accepted");
    // What calls without an answer have left goes, and what is in use stays.
    case.prepare(from, &[]).await;
    case.prepare(to, &[address]).await;
    case.expect_at(address, Some(to)).await;
}

async fn what_is_prepared_is_what_attach_returns<P: Provider>(case: &ProviderCase<P>) {
    let ([standby, holder], [address, other]) = (&case.nodes, case.addresses);
    let free = case.capacity(standby).await.free;
    let ready = case.prepare(standby, &[address]).await;
    assert_eq!(ready.get(&address).map(|ready| &ready.node), Some(standby), "not made ready");
    case.expect_at(address, Some(holder)).await;
    assert_eq!(case.prepare(standby, &[address]).await, ready, "ready already is success");
    assert_eq!(Some(&case.attach(address, standby).await), ready.get(&address), "promised");
    case.expect_at(address, Some(standby)).await;
    case.attach(address, holder).await;
    case.prepare(standby, &[other]).await;
    case.prepare(standby, &[]).await;
    case.expect_at(address, Some(holder)).await;
    assert_eq!(case.capacity(standby).await.free, free, "room is kept for what is not wanted");
    // Cut off anywhere: the next ones leave nothing behind.
    for steps in 0..CUTS {
        let time = case.cut_after(steps);
        let wanted = [address, other].into();
        let cut = tokio::time::timeout(time, case.provider.prepare(standby, &wanted)).await;
        case.prepare(standby, &[]).await;
        assert_eq!(case.capacity(standby).await.free, free, "a prepare cut off leaves something");
        if cut.is_ok() {
            break;
        }
    }
    let prepared = case.provider.prepare(&case.unknown, &[address].into()).await;
    let ready = prepared.ok().and_then(|mut prepared| prepared.remove(&address));
    assert!(!matches!(ready, Some(Ok(_))), "ready at an unknown node");
    case.expect_at(address, Some(holder)).await;
}

async fn detaching_takes_only_what_the_node_has<P: Provider>(case: &ProviderCase<P>) {
    let ([other, holder], [address, _]) = (&case.nodes, case.addresses);
    case.detach(address, other).await;
    case.expect_at(address, Some(holder)).await;
    case.detach(address, holder).await;
    case.expect_at(address, None).await;
    case.detach(address, holder).await;
    case.expect_at(address, None).await;
}

async fn what_cannot_be_is_refused_and_changes_nothing<P: Provider>(case: &ProviderCase<P>) {
    let ([node, _], [address, _]) = (&case.nodes, case.addresses);
    let outside = unused_address(address);
    case.attach(address, node).await;
    let mut refused = vec![
        (address, &case.elsewhere, ErrorClass::Invalid),
        (address, &case.unknown, ErrorClass::NotFound),
    ];
    refused.extend(case.full.iter().map(|full| (address, full, ErrorClass::Quota)));
    for (address, node, class) in refused {
        let error = failure(attach_one(&case.provider, address, node).await);
        assert_eq!(error.class, class, "attach {address} to {node}: {error}");
    }
    let error = failure(attach_one(&case.provider, outside, node).await);
    let known = [ErrorClass::NotFound, ErrorClass::Invalid];
    assert!(known.contains(&error.class), "attach {outside}, which nobody has: {error}");
    case.expect_at(address, Some(node)).await;
    case.detach(address, node).await;
}

async fn a_call_cut_off_anywhere_can_be_repeated<P: Provider>(case: &ProviderCase<P>) {
    let ([from, to], [address, _]) = (&case.nodes, case.addresses);
    let room = case.tidy().await;
    for steps in 0..CUTS {
        case.attach(address, from).await;
        let time = case.cut_after(steps);
        let moved = tokio::time::timeout(time, attach_one(&case.provider, address, to)).await;
        // Whatever the cut-off call has done: the next ones find their way.
        case.attach(address, from).await;
        case.expect_at(address, Some(from)).await;
        let gone = tokio::time::timeout(time, case.provider.detach(address, from)).await;
        case.attach(address, to).await;
        case.expect_at(address, Some(to)).await;
        case.detach(address, to).await;
        case.expect_at(address, None).await;
        if moved.is_ok() && gone.is_ok() {
            assert_eq!(case.tidy().await, room, "what calls cut off have left stays");
            return;
        }
    }
    panic!("a call takes longer than {:?}", case.cut_after(CUTS));
}

async fn a_list_is_attached_address_by_address<P: Provider>(case: &ProviderCase<P>) {
    let ([node, _], [address, other]) = (&case.nodes, case.addresses);
    let outside = unused_address(address);
    let list = [address, other, outside].into();
    let accepted = case.provider.attach(&list, node).await;
    let mut accepted = accepted.unwrap_or_else(|error| panic!("one keeps all: {error}"));
    let error = failure(accepted.remove(&outside).unwrap_or_else(|| panic!("no word of it")));
    let known = [ErrorClass::NotFound, ErrorClass::Invalid];
    assert!(known.contains(&error.class), "attach {outside}, which nobody has: {error}");
    for wanted in [address, other] {
        let Some(Ok(Accepted { attachment, .. })) = accepted.remove(&wanted) else {
            panic!("{wanted} is not accepted beside one that cannot be");
        };
        assert_eq!(attachment, case.attach(wanted, node).await, "accepted is what is observed");
        case.expect_at(wanted, Some(node)).await;
        case.detach(wanted, node).await;
    }
}

/// What the caller cannot see, such as an interface that several addresses share, is the provider's
/// to lock. Two calls for one address, or two that prepare one node, are not made at once.
async fn calls_that_only_share_a_node_run_at_once<P: Provider>(case: &ProviderCase<P>) {
    let ([node, standby], [address, other]) = (&case.nodes, case.addresses);
    let room = case.tidy().await;
    let both = [address, other];
    tokio::join!(case.attach(address, node), case.attach(other, node), case.prepare(node, &both));
    for address in both {
        case.expect_at(address, Some(node)).await;
    }
    // To and fro, while the node that one comes from is made ready for the other.
    tokio::join!(case.attach(address, standby), case.prepare(standby, &both));
    tokio::join!(case.attach(other, standby), case.attach(address, node));
    case.expect_at(address, Some(node)).await;
    case.expect_at(other, Some(standby)).await;
    tokio::join!(case.detach(address, node), case.detach(other, standby));
    for at in [node, standby] {
        case.prepare(at, &[]).await;
        tokio::join!(case.detach(address, at), case.detach(other, at));
    }
    for address in both {
        case.expect_at(address, None).await;
    }
    assert_eq!(case.tidy().await, room, "calls at once leave something behind");
}

fn failure<T: std::fmt::Debug>(result: Result<T, PortError>) -> PortError {
    match result {
        Ok(attached) => panic!("attached what cannot be: {attached:?}"),
        Err(error) => error,
    }
}

/// An address for documentation (RFC 5737, RFC 3849) that no case uses.
fn unused_address(like: IpAddr) -> IpAddr {
    if like.is_ipv4() {
        IpAddr::from([198, 51, 100, 254])
    } else {
        IpAddr::from([0x2001, 0xdb8, 0xffff, 0xffff, 0, 0, 0, 0xfffe])
    }
}
