//! The agents' real lease machines announce, and the network follows, in simulated time without the
//! API: traffic goes to the holder throughout.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use egret_core::lease::{
    AddressState, AddressView, BootTime, ClusterView, Effect, Input, LeaseConfig, Machine, Message,
    Now, PlanView, RawTime, Report,
};
use egret_core::model::{AnnouncementForm, Holding, Millis, NodeName, PublicKey, Voter, VoterSet};

use super::*;

const MS: u64 = 1_000_000;
const SECOND: u64 = 1000 * MS;
const LATENCY: u64 = MS / 5;
const LEASE: u64 = 450;

fn bank() -> IpAddr {
    IpAddr::from([203, 0, 113, 17])
}

fn name(number: usize) -> NodeName {
    NodeName::new(format!("n{number}"))
}

/// Three gateways that vote, on a perfect network; the store works, Google's API does not.
struct AnnouncingCluster {
    now: u64,
    machines: BTreeMap<NodeName, Machine>,
    plan: PlanView,
    entries: BTreeMap<NodeName, (AddressState, u64)>,
    queue: BTreeMap<(u64, u64), (NodeName, NodeName, Message)>,
    sent: u64,
    announced: Vec<(u64, NodeName)>,
    delivery: VpcDelivery,
    /// Every millisecond in which the network did not deliver to who holds.
    astray: BTreeSet<u64>,
}

fn first_plan() -> PlanView {
    let all = || (1..=3).map(name);
    let voter = |node: NodeName| Voter {
        node,
        endpoints: Vec::new(),
        peer_port: 0,
        public_key: PublicKey([0; 32]),
    };
    let plan = AddressView {
        owner: Some(name(1)),
        standbys: vec![name(2), name(3)],
        fence: 1,
        lease: Millis(LEASE),
        made_for: None,
        holding: None,
        probed: false,
        revoked: false,
        paused: false,
        no_deadline: false,
        attached: None,
        announces: true,
        directors: all().collect(),
        gateways: all().collect(),
        announcement: AnnouncementForm::GarpRa,
        accepted: None,
        foreign_host: false,
        on_interface: false,
        was_held: false,
        reach: Default::default(),
    };
    let set = VoterSet { number: 1, members: all().map(voter).collect() };
    let cluster = ClusterView { id: "simulated".into(), set: Some(set), t_max: Millis(1000) };
    let addresses = BTreeMap::from([(bank(), plan)]);
    PlanView { cluster: Some(cluster), addresses, nodes: all().collect() }
}

impl AnnouncingCluster {
    /// All boot at 0; the service names `leader`.
    fn new(leader: usize, contest: Contest) -> Self {
        let mut delivery = VpcDelivery::new(contest, OVERRIDES);
        let service = MovableService {
            addresses: [bank()].into(),
            endpoints: (1..=3).map(|number| name(number).to_string()).collect(),
            leader: Some(name(leader).to_string()),
        };
        delivery.update(MovableServices::from([("bank".to_owned(), service)]));
        let mut cluster = Self {
            now: 0,
            machines: BTreeMap::new(),
            plan: first_plan(),
            entries: BTreeMap::new(),
            queue: BTreeMap::new(),
            sent: 0,
            announced: Vec::new(),
            delivery,
            astray: BTreeSet::new(),
        };
        for number in 1..=3 {
            let config = LeaseConfig::new(name(number), "boot");
            let machine = Machine::new(config, None, cluster.clocks(), number as u64);
            cluster.machines.insert(name(number), machine);
        }
        cluster.publish();
        cluster
    }

    fn clocks(&self) -> Now {
        Now { raw: RawTime(self.now), boot: BootTime(self.now) }
    }

    fn publish(&mut self) {
        for node in self.machines.keys().cloned().collect::<Vec<_>>() {
            self.input(&node, Input::View(Box::new(self.plan.clone())));
        }
    }

    fn input(&mut self, node: &NodeName, input: Input) {
        let now = self.clocks();
        let Some(machine) = self.machines.get_mut(node) else { return };
        for effect in machine.handle(now, input) {
            self.carry_out(node, effect);
        }
    }

    fn carry_out(&mut self, node: &NodeName, effect: Effect) {
        match effect {
            Effect::Send { to, message } => {
                self.sent += 1;
                let key = (self.now + LATENCY, self.sent);
                self.queue.insert(key, (node.clone(), to, message));
            }
            Effect::Kernel { state, valid_until, .. } => {
                let until = valid_until.map_or(u64::MAX, |until| until.0);
                self.entries.insert(node.clone(), (state, until));
            }
            Effect::Announce { address, form } => {
                assert_eq!(form, AnnouncementForm::GarpRa);
                self.announced.push((self.now, node.clone()));
                self.delivery.announce(address, node.as_str(), WallTime(self.now));
            }
            Effect::Probe { .. } => panic!("Google answers every ARP request itself"),
            Effect::ReadConsistently => {
                let (began, view) = (self.clocks(), Box::new(self.plan.clone()));
                self.input(node, Input::ConsistentRead { began, view });
            }
            Effect::Report(Report::Held { holding, .. }) => self.adopt(holding),
            _ => {}
        }
    }

    /// The controller adopts the holder; what it asks of Google fails.
    fn adopt(&mut self, holding: Holding) {
        let Some(plan) = self.plan.addresses.get_mut(&bank()) else { return };
        plan.owner = Some(holding.node.clone());
        plan.standbys = (1..=3).map(name).filter(|node| *node != holding.node).collect();
        plan.holding = Some(holding.clone());
        plan.made_for = Some(holding);
        plan.probed = true;
    }

    /// The controller's plan reaches all; the API is back where `attached` names a node.
    fn learn(&mut self, attached: Option<NodeName>) {
        if let Some(plan) = self.plan.addresses.get_mut(&bank()) {
            plan.attached = attached;
        }
        self.publish();
    }

    fn power_off(&mut self, node: &NodeName) {
        self.machines.remove(node);
        self.entries.remove(node);
    }

    fn holder(&self) -> Option<NodeName> {
        let open =
            |entry: &(AddressState, u64)| entry.0 == AddressState::Held && entry.1 > self.now;
        let mut holders = self.entries.iter().filter(|(_, entry)| open(entry));
        let holder = holders.next().map(|(node, _)| node.clone());
        assert!(holders.next().is_none(), "{:?}", self.entries);
        holder
    }

    fn run(&mut self, millis: u64) {
        let end = self.now + millis * MS;
        while self.now < end {
            let next = self.now + MS;
            while self.happen(next) {}
            self.now = next;
            let target = self.delivery.target(bank(), WallTime(self.now)).map(NodeName::from);
            if target != self.holder() {
                self.astray.insert(self.now / MS);
            }
        }
    }

    /// The next datagram or timer until `end`.
    fn happen(&mut self, end: u64) -> bool {
        let message = self.queue.keys().next().copied();
        let due = |machine: &Machine| machine.next_wakeup().map_or(u64::MAX, |due| due.0);
        let tick = self.machines.iter().map(|(node, machine)| (due(machine), node.clone())).min();
        let tick = tick.filter(|(at, _)| *at < end);
        match (message.filter(|key| key.0 < end), tick) {
            (Some(key), tick) if tick.as_ref().is_none_or(|(at, _)| key.0 <= *at) => {
                self.now = self.now.max(key.0);
                if let Some((from, to, message)) = self.queue.remove(&key) {
                    self.input(&to, Input::Receive { from, message });
                }
                true
            }
            (_, Some((at, node))) => {
                self.now = self.now.max(at);
                self.input(&node, Input::Tick);
                true
            }
            _ => false,
        }
    }

    /// The seconds after `since` in which a node announced.
    fn seconds(&self, node: &NodeName, since: u64) -> Vec<u64> {
        let own = self.announced.iter().filter(|(at, by)| by == node && *at >= since);
        own.map(|(at, _)| (at - since + SECOND / 2) / SECOND).collect()
    }
}

/// Booted, held and at rest: the network delivers to the owner.
fn at_rest(contest: Contest) -> AnnouncingCluster {
    let mut cluster = AnnouncingCluster::new(1, contest);
    cluster.run(5000);
    assert_eq!(cluster.holder(), Some(name(1)));
    cluster.learn(Some(name(1)));
    cluster.run(20_000);
    cluster.astray.clear();
    cluster
}

/// Who holds after the owner's power is cut, `rest` after its last announcement, and how long nobody
/// had the packets, in milliseconds.
fn fails_over(cluster: &mut AnnouncingCluster, rest: u64) -> (NodeName, u64) {
    let before = cluster.announced.len();
    while cluster.announced.len() == before {
        cluster.run(1);
    }
    cluster.run(rest);
    cluster.power_off(&name(1));
    cluster.run(10_000);
    let silence = cluster.astray.len() as u64;
    cluster.astray.clear();
    (cluster.holder().expect("a successor"), silence)
}

#[test]
fn over_25_minutes_without_the_api_packets_reach_the_successor() {
    let mut cluster = at_rest(Contest::Older);
    let begun = cluster.now;
    let (new, silence) = fails_over(&mut cluster, 5000);
    assert!((400..700).contains(&silence), "{silence} ms");
    cluster.learn(Some(name(1)));
    cluster.run(25 * 60 * 1000);
    assert_eq!(cluster.astray, BTreeSet::new(), "the leader is {} still", name(1));
    let first = cluster.announced.iter().find(|(at, by)| *by == new && *at > begun).unwrap().0;
    let seconds = cluster.seconds(&new, first);
    assert_eq!(seconds[..6], [0, 1, 3, 6, 16, 26]);
    assert!(seconds.last() > Some(&1490), "it goes on: {:?}", seconds.last());
    assert_eq!(seconds.len(), 4 + 149 + 1, "{seconds:?}");
}

#[test]
fn packets_go_astray_where_an_announcement_counts_for_less_than_their_pause() {
    let mut cluster = at_rest(Contest::Newer);
    fails_over(&mut cluster, 5000);
    let service = cluster.delivery.service_of(bank()).unwrap().1.clone();
    cluster.delivery = VpcDelivery::new(Contest::Newer, Duration::from_secs(9));
    cluster.delivery.update(MovableServices::from([("bank".to_owned(), service)]));
    cluster.run(60_000);
    let astray = cluster.astray.len();
    assert!(astray > 5000, "one second in ten, and until the first: {astray} ms");
}

#[test]
fn once_the_leader_is_set_announcements_end_and_the_network_stays() {
    let mut cluster = at_rest(Contest::Newer);
    let (new, _) = fails_over(&mut cluster, 5000);
    // The API is back after 2 minutes.
    cluster.run(120_000);
    let mut service = cluster.delivery.service_of(bank()).unwrap().1.clone();
    service.leader = Some(new.to_string());
    cluster.delivery.update(MovableServices::from([("bank".to_owned(), service)]));
    cluster.learn(Some(new.clone()));
    let known = cluster.now;
    cluster.run(25 * 60 * 1000);
    let last = cluster.seconds(&new, known).last().copied();
    assert!(last.is_some_and(|last| (590..=600).contains(&last)), "10 minutes more: {last:?}");
    // Past its 20 minutes too: then the leader counts, which is the same node.
    cluster.run(10 * 60 * 1000);
    assert_eq!(cluster.astray, BTreeSet::new());
    assert_eq!(cluster.delivery.target(bank(), WallTime(cluster.now)), Some(new.as_str()));
}

#[test]
fn a_death_right_after_an_announcement_costs_up_to_3_s_where_the_older_wins() {
    let (_, silence) = fails_over(&mut at_rest(Contest::Newer), 100);
    assert!((400..700).contains(&silence), "the newer wins: {silence} ms");
    let (_, silence) = fails_over(&mut at_rest(Contest::Older), 100);
    assert!((2900..3700).contains(&silence), "the older wins: {silence} ms");
}
