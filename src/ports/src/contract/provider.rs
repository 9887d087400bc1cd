//! The suite of [`Provider`]: every provider runs it against its cloud's best double, or, with
//! leave to change things there, against the cloud.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::time::Duration;

use egret_core::model::{Attachment, NodeName};

use crate::error::{ErrorClass, PortError};
use crate::provider::{NodeOffer, Observed, Provider};

/// What the suite works with. Everything named here exists, attached nowhere, unless it says so;
/// nobody else changes it meanwhile.
#[derive(Debug)]
pub struct Case<P> {
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
    /// A node that does not exist.
    pub unknown: NodeName,
    /// Cancellations are tried after multiples of this time, until a call is not cancelled any
    /// more; about a fifth of what a call takes.
    pub cancel_step: Duration,
    /// How many reads after a change may still show what was before it.
    pub lagging_reads: usize,
}

/// Runs the suite.
///
/// # Panics
/// Where the contract is broken, with a sentence that says how.
pub async fn run<P: Provider>(case: &Case<P>) {
    somebody_makes_the_address_known(case);
    offers_are_complete(case).await;
    attaching_is_seen_and_idempotent(case).await;
    moving_leaves_one(case).await;
    what_is_prepared_is_what_attach_returns(case).await;
    detaching_takes_only_what_the_node_has(case).await;
    what_cannot_be_is_refused_and_changes_nothing(case).await;
    a_call_cut_off_anywhere_can_be_repeated(case).await;
    two_at_once_leave_one(case).await;
}

impl<P: Provider> Case<P> {
    fn attaches(&self) -> bool {
        self.provider.capabilities().fabric_is_fence
    }

    async fn observe(&self) -> Observed {
        let mut nodes: BTreeSet<_> = self.nodes.iter().cloned().collect();
        nodes.extend([self.elsewhere.clone(), self.unknown.clone()]);
        nodes.extend(self.full.clone());
        let addresses = self.addresses.into();
        let observed = self.provider.observe(&addresses, &nodes).await;
        observed.unwrap_or_else(|error| panic!("observe failed: {error}"))
    }

    async fn offer(&self, node: &NodeName) -> NodeOffer {
        let offer = self.observe().await.nodes.remove(node);
        offer.unwrap_or_else(|| panic!("observe says nothing of node {node}"))
    }

    async fn holder(&self, address: IpAddr) -> Option<NodeName> {
        self.observe().await.attachments.remove(&address).map(|attachment| attachment.node)
    }

    async fn attach(&self, address: IpAddr, node: &NodeName) -> Attachment {
        let attached = self.provider.attach(address, node).await;
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

    async fn detach(&self, address: IpAddr, node: &NodeName) {
        let detached = self.provider.detach(address, node).await;
        detached.unwrap_or_else(|error| panic!("detach {address} from {node} failed: {error}"));
    }

    /// Panics unless the fabric has the address at `node`, or nowhere where there is no fabric: at
    /// once (success is the observed state), and still when no read can lag any more.
    async fn expect_at(&self, address: IpAddr, node: Option<&NodeName>) {
        let expected = node.filter(|_| self.attaches());
        for read in 0..=self.lagging_reads {
            let holder = self.holder(address).await;
            assert_eq!(holder.as_ref(), expected, "{address} at the wrong node in read {read}");
        }
    }
}

fn somebody_makes_the_address_known<P: Provider>(case: &Case<P>) {
    let able = case.provider.capabilities();
    assert!(able.fabric_is_fence || able.announces, "nobody tells the world who has an address");
}

async fn offers_are_complete<P: Provider>(case: &Case<P>) {
    let observed = case.observe().await;
    assert!(observed.attachments.is_empty(), "attached already: {:?}", observed.attachments);
    assert!(!observed.nodes.contains_key(&case.unknown), "an unknown node has an offer");
    for node in &case.nodes {
        let offer = case.offer(node).await;
        assert_eq!(offer.can_serve, case.addresses.into(), "{node} can serve both");
        assert!(offer.free >= 2, "{node} has room for {} only", offer.free);
    }
    let elsewhere = case.offer(&case.elsewhere).await;
    assert!(!elsewhere.can_serve.contains(&case.addresses[0]), "{} cannot serve", case.elsewhere);
    if let Some(full) = &case.full {
        assert_eq!(case.offer(full).await.free, 0, "{full} has no room");
    }
    let one = [case.addresses[0]].into();
    let part = case.provider.observe(&one, &[case.nodes[0].clone()].into()).await;
    let part = part.unwrap_or_else(|error| panic!("observe failed: {error}"));
    assert_eq!(part.nodes.keys().collect::<Vec<_>>(), [&case.nodes[0]], "only what was asked for");
    assert!(part.nodes.values().all(|offer| offer.can_serve.is_subset(&one)), "only asked for");
}

async fn attaching_is_seen_and_idempotent<P: Provider>(case: &Case<P>) {
    let ([node, _], [address, other]) = (&case.nodes, case.addresses);
    let free = case.offer(node).await.free;
    let attached = case.attach(address, node).await;
    assert_eq!(attached.node, *node, "attach returns what is so");
    case.expect_at(address, Some(node)).await;
    case.expect_at(other, None).await;
    if case.attaches() {
        let seen = case.observe().await.attachments.remove(&address);
        assert_eq!(seen, Some(attached.clone()), "attach and observe disagree");
        assert_eq!(case.offer(node).await.free, free - 1, "room is not counted");
    }
    assert_eq!(case.attach(address, node).await, attached, "already so is success");
    case.expect_at(address, Some(node)).await;
}

async fn moving_leaves_one<P: Provider>(case: &Case<P>) {
    let ([from, to], [address, _]) = (&case.nodes, case.addresses);
    let room = (case.offer(from).await.free, case.offer(to).await.free);
    assert_eq!(case.attach(address, to).await.node, *to);
    case.expect_at(address, Some(to)).await;
    // Where it was it may be kept ready, until somebody says that it need not.
    case.detach(address, from).await;
    case.expect_at(address, Some(to)).await;
    if case.attaches() {
        let after = (case.offer(from).await.free, case.offer(to).await.free);
        assert_eq!(after, (room.0 + 1, room.1 - 1), "the old node keeps it");
    }
}

async fn what_is_prepared_is_what_attach_returns<P: Provider>(case: &Case<P>) {
    let ([standby, holder], [address, other]) = (&case.nodes, case.addresses);
    let free = case.offer(standby).await.free;
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
    assert_eq!(case.offer(standby).await.free, free, "room is kept for what is not wanted");
    // Cut off anywhere: the next ones leave nothing behind.
    for steps in 0..1_000 {
        let time = case.cancel_step * steps;
        let wanted = [address, other].into();
        let cut = tokio::time::timeout(time, case.provider.prepare(standby, &wanted)).await;
        case.prepare(standby, &[]).await;
        assert_eq!(case.offer(standby).await.free, free, "a prepare cut off leaves something");
        if cut.is_ok() {
            break;
        }
    }
    let prepared = case.provider.prepare(&case.unknown, &[address].into()).await;
    let ready = prepared.ok().and_then(|mut prepared| prepared.remove(&address));
    assert!(!case.attaches() || !matches!(ready, Some(Ok(_))), "ready at an unknown node");
    case.expect_at(address, Some(holder)).await;
}

async fn detaching_takes_only_what_the_node_has<P: Provider>(case: &Case<P>) {
    let ([other, holder], [address, _]) = (&case.nodes, case.addresses);
    case.detach(address, other).await;
    case.expect_at(address, Some(holder)).await;
    case.detach(address, holder).await;
    case.expect_at(address, None).await;
    case.detach(address, holder).await;
    case.expect_at(address, None).await;
}

async fn what_cannot_be_is_refused_and_changes_nothing<P: Provider>(case: &Case<P>) {
    let ([node, _], [address, _]) = (&case.nodes, case.addresses);
    let outside = unused_address(address);
    case.attach(address, node).await;
    let mut refused = vec![
        (address, &case.elsewhere, ErrorClass::Invalid),
        (address, &case.unknown, ErrorClass::NotFound),
    ];
    refused.extend(case.full.iter().map(|full| (address, full, ErrorClass::Quota)));
    for (address, node, class) in refused {
        let error = failure(case.provider.attach(address, node).await);
        assert_eq!(error.class, class, "attach {address} to {node}: {error}");
    }
    let error = failure(case.provider.attach(outside, node).await);
    let known = [ErrorClass::NotFound, ErrorClass::Invalid];
    assert!(known.contains(&error.class), "attach {outside}, which nobody has: {error}");
    case.expect_at(address, Some(node)).await;
    case.detach(address, node).await;
}

async fn a_call_cut_off_anywhere_can_be_repeated<P: Provider>(case: &Case<P>) {
    let ([from, to], [address, _]) = (&case.nodes, case.addresses);
    for steps in 0..1_000 {
        case.attach(address, from).await;
        let time = case.cancel_step * steps;
        let moved = tokio::time::timeout(time, case.provider.attach(address, to)).await;
        // Whatever the cut-off call has done: the next ones find their way.
        case.attach(address, from).await;
        case.expect_at(address, Some(from)).await;
        let gone = tokio::time::timeout(time, case.provider.detach(address, from)).await;
        case.attach(address, to).await;
        case.expect_at(address, Some(to)).await;
        case.detach(address, to).await;
        case.expect_at(address, None).await;
        if moved.is_ok() && gone.is_ok() {
            return;
        }
    }
    panic!("a call takes more than a thousand times {:?}", case.cancel_step);
}

async fn two_at_once_leave_one<P: Provider>(case: &Case<P>) {
    let ([left, right], [address, _]) = (&case.nodes, case.addresses);
    let both =
        tokio::join!(case.provider.attach(address, left), case.provider.attach(address, right));
    for result in [both.0, both.1] {
        if let Err(error) = result {
            assert!(error.class.heals_by_itself(), "a race ended with: {error}");
        }
    }
    if case.attaches() {
        let holder = case.holder(address).await;
        assert!(holder.as_ref() == Some(left) || holder.as_ref() == Some(right), "{holder:?}");
    }
    case.attach(address, left).await;
    case.expect_at(address, Some(left)).await;
    case.detach(address, left).await;
    case.expect_at(address, None).await;
}

fn failure(result: Result<Attachment, PortError>) -> PortError {
    match result {
        Ok(attachment) => panic!("attached what cannot be: {attachment:?}"),
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
