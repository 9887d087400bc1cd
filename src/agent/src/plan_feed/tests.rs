use std::collections::BTreeSet;
use std::sync::mpsc as std_mpsc;
use std::time::Duration;

use egret_core::model::{BlockGrant, EgressNodeStatus, PortRange, ResourceVersion, Write};
use egret_ports::cluster_state::Event;

use egret_ports::error::ErrorClass;

use super::*;
use crate::testing::{put_address, put_node};

const HELD: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(203, 0, 113, 17));
/// No test waits so long but for one that fails.
const LONG: Duration = Duration::from_secs(600);

/// A store that shows what a test gives it.
struct ShownStore {
    shown: watch::Sender<Option<Arc<Snapshot>>>,
    reachable: watch::Sender<bool>,
}

impl ClusterState for ShownStore {
    fn watch(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.shown.subscribe()
    }

    fn reachable(&self) -> watch::Receiver<bool> {
        self.reachable.subscribe()
    }

    async fn read_consistent(&self) -> Result<Arc<Snapshot>, PortError> {
        Ok(self.shown.borrow().clone().unwrap())
    }

    async fn write(&self, _: Write) -> Result<ResourceVersion, PortError> {
        Err(refused())
    }

    async fn draw_fences(&self, _: u64) -> Result<u64, PortError> {
        Err(refused())
    }

    async fn lead(&self, _: &str, _: u32) -> Result<bool, PortError> {
        Err(refused())
    }

    async fn event(&self, _: Event) -> Result<(), PortError> {
        Err(refused())
    }
}

fn refused() -> PortError {
    PortError::new(ErrorClass::Denied, "test", "told to refuse")
}

/// What the feed does, in order.
#[derive(Debug, PartialEq)]
enum Seen {
    /// It has put blocks of so many addresses into the maps.
    Blocks(usize),
    /// It has told this owner.
    Owner(Option<NodeName>),
    Consistent,
    Granted(u64),
}

struct SeenMaps(std_mpsc::Sender<Seen>, bool);

impl GatewayMaps for SeenMaps {
    fn set_blocks(
        &mut self,
        blocks: &BTreeMap<(IpAddr, PortRange), Director>,
    ) -> Result<(), PortError> {
        if self.1 {
            return Err(refused());
        }
        let addresses: BTreeSet<IpAddr> = blocks.keys().map(|(address, _)| *address).collect();
        let _ = self.0.send(Seen::Blocks(addresses.len()));
        Ok(())
    }

    fn set_gateways(&mut self, _: &BTreeSet<IpAddr>) -> Result<(), PortError> {
        Ok(())
    }

    fn counters(&mut self) -> Result<BTreeMap<&'static str, u64>, PortError> {
        Ok(BTreeMap::new())
    }
}

/// A plan that gives the address to `owner`; a director has a block of it by the grant of this number.
fn planned(owner: &str, grant: u64) -> Option<Arc<Snapshot>> {
    let mut snapshot = Snapshot::default();
    put_address(&mut snapshot, HELD, |put| put.plan.owner = Some(owner.into()));
    let endpoints = vec![[192, 0, 2, 7].into()];
    put_node(&mut snapshot, "d1", EgressNodeStatus { endpoints, ..EgressNodeStatus::default() });
    let ports = PortRange::new(1024, 1151).unwrap();
    let grant =
        BlockGrant { address: HELD, ports, epoch: grant, ended: None, quarantined_since: None };
    snapshot.egress_nodes.get_mut(&"d1".into()).unwrap().value.spec.blocks.push(grant);
    Some(Arc::new(snapshot))
}

fn feed(fails: bool) -> (PlanFeed, Arc<ShownStore>, std_mpsc::Receiver<Seen>) {
    let store = Arc::new(ShownStore {
        shown: watch::Sender::new(planned("g2", 1)),
        reachable: watch::Sender::new(true),
    });
    let (sender, seen) = std_mpsc::channel();
    let of_maps = sender.clone();
    let send = Box::new(move |command| {
        let _ = sender.send(match command {
            LeaseCommand::Update(update) => Seen::Owner(update.view.addresses[&HELD].owner.clone()),
            LeaseCommand::Consistent { .. } => Seen::Consistent,
            LeaseCommand::GrantsApplied(number) => Seen::Granted(number),
            other => panic!("{other:?}"),
        });
    });
    let ports = FeedPorts { gateway: Box::new(SeenMaps(of_maps, fails)), send };
    (PlanFeed::spawn("g1".into(), store.clone(), ports).unwrap(), store, seen)
}

/// All up to this one.
fn until(seen: &std_mpsc::Receiver<Seen>, last: &Seen) -> Vec<Seen> {
    let mut all = Vec::new();
    while all.last() != Some(last) {
        all.push(seen.recv_timeout(LONG).expect("nothing more is told"));
    }
    all
}

#[test]
fn a_plan_is_told_behind_its_blocks_while_the_main_loop_does_something_else() {
    let (feed, store, seen) = feed(false);
    feed.read_consistently();
    // Nothing of the watch before the main loop has looked at its host.
    assert_eq!(until(&seen, &Seen::Consistent), [Seen::Consistent]);
    let told = feed.open(HostFacts::default());
    assert_eq!(told.view.addresses[&HELD].owner, Some("g2".into()));
    until(&seen, &Seen::Granted(1));
    // From here on this thread is a main loop that hangs.
    store.shown.send_replace(planned("g1", 2));
    let mut all = until(&seen, &Seen::Granted(2));
    // What was told by the first look of the feed's thread.
    all.retain(|one| !matches!(one, Seen::Blocks(0) | Seen::Granted(1)));
    assert_eq!(all, [Seen::Blocks(1), Seen::Owner(Some("g1".into())), Seen::Granted(2)]);
    assert!(matches!(feed.acknowledged_blocks(), (2, Ok(()))));
}

#[test]
fn blocks_that_the_kernel_refuses_are_not_granted_and_keep_no_plan() {
    let (feed, _store, seen) = feed(true);
    feed.open(HostFacts::default());
    assert_eq!(seen.recv_timeout(LONG), Ok(Seen::Owner(Some("g2".into()))));
    let (acknowledged, failed) = feed.acknowledged_blocks();
    assert_eq!((acknowledged, failed.unwrap_err().class), (0, ErrorClass::Denied));
}

#[test]
fn a_closed_feed_tells_nothing() {
    let (feed, store, seen) = feed(false);
    feed.open(HostFacts::default());
    until(&seen, &Seen::Granted(1));
    feed.close();
    store.shown.send_replace(planned("g1", 2));
    feed.note_host(HostFacts { heard: vec![HELD], ..HostFacts::default() });
    assert!(!seen.iter().any(|one| matches!(one, Seen::Owner(_))), "the ports are gone");
}
