use std::net::IpAddr;
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};

use egret_core::model::{EgressNodeStatus, PublicKey, Uplink};
use egret_ports::cluster_state::Event;
use egret_ports::error::PortError;
use egret_runtime::clock::SystemClock;
use egret_state::DirectoryState;
use tokio::sync::watch;

use super::*;
use crate::leadership::{HeldLease, Leadership};

#[test]
fn what_is_refused_for_good_keeps_no_other_node_from_being_written() {
    let node = Write::NodeSpec { node: "n1".into(), expect: None, spec: Default::default() };
    let status = Write::AgentAbsent { node: "n1".into(), condition: None };
    let cluster = Write::Cluster {
        expect: None,
        cluster: egret_core::model::Cluster {
            id: String::new(),
            set: None,
            t_max: egret_core::model::Millis(1),
            ranges: Default::default(),
            uninstalling: false,
        },
    };
    let refused = [
        ErrorClass::Invalid,
        ErrorClass::Denied,
        ErrorClass::Throttled { after: None },
        ErrorClass::NotFound,
        ErrorClass::Conflict,
        ErrorClass::Quota,
    ];
    let end = Write::DeleteNode { node: "n1".into(), expect: None };
    let ends = |write: &Write, class, unsure_of: Option<&str>| {
        let object = WrittenObject::of(&write.clone().into());
        let unsure_of = unsure_of.map(NodeName::from);
        WriteOutcome { object, result: Err(class) }.ends_turn(unsure_of.as_ref())
    };
    let ends_turn = |write: &Write, class| ends(write, class, Some("n2"));
    for class in refused {
        assert!(!ends_turn(&node, class) && !ends_turn(&status, class), "{class:?}");
        assert!(ends_turn(&cluster, class) && !ends_turn(&end, class), "{class:?}");
        // An earlier write of it may still be taken, with smaller numbers than what follows.
        assert!(ends(&node, class, Some("n1")) && ends(&end, class, Some("n1")), "{class:?}");
    }
    let unknown = ErrorClass::Transient;
    assert!(ends_turn(&node, unknown) && ends_turn(&cluster, unknown));
    assert!(!ends_turn(&status, unknown));
}

#[test]
fn a_long_turn_leaves_only_deletions_to_the_next_one() {
    let address = IpAddr::from([203, 0, 113, 17]);
    let deletion = Write::DeleteAddress { address, expect: None };
    let taint = Write::AdmitPods { node: "node-1".into() };
    let long = WRITING_TIME + Duration::from_millis(1);
    assert!(is_left_to_the_next_turn(&deletion, long));
    assert!(!is_left_to_the_next_turn(&deletion, WRITING_TIME));
    assert!(!is_left_to_the_next_turn(&taint, long));
}

const MANIFESTS: &str = "\
apiVersion: v1
kind: Namespace
metadata: {name: payments}
---
apiVersion: v1
kind: Node
metadata: {name: g1, labels: {gateway: 'true'}}
---
apiVersion: v1
kind: Node
metadata: {name: g2, labels: {gateway: 'true'}}
---
apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {name: partners}
spec:
  provider: L2
  addresses: [203.0.113.0/24]
  gateways: {nodeSelector: {matchLabels: {gateway: 'true'}}}
  allowedNamespaces: {}
";

/// A claim of the most addresses but a few.
fn claim(number: u32) -> String {
    format!(
        "---
apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {{name: bank-{number}, namespace: payments}}
spec:
  poolRef: {{name: partners}}
  count: 50
  podSelector: {{}}
"
    )
}

/// A store whose writes take 50 ms each.
struct SlowStore {
    shown: watch::Sender<Option<Arc<Snapshot>>>,
    reachable: watch::Sender<bool>,
    /// Writes under way, and the most there were.
    under_way: AtomicUsize,
    most: AtomicUsize,
    made: Mutex<Vec<Write>>,
    /// The spec of this node is not written, with this failure.
    failing: Mutex<Option<(NodeName, ErrorClass)>>,
}

impl SlowStore {
    async fn new() -> Arc<Self> {
        let directory = tempfile::tempdir().unwrap();
        DirectoryState::create(directory.path()).unwrap();
        let claims: String = (0..4).map(claim).collect();
        std::fs::write(directory.path().join("all.yaml"), MANIFESTS.to_owned() + &claims).unwrap();
        let state = DirectoryState::open(directory.path()).unwrap();
        for (last, name) in ["g1", "g2", "d1"].into_iter().enumerate() {
            let last = u8::try_from(last).unwrap();
            let endpoints = vec![IpAddr::from([203, 0, 113, 250 + last])];
            let uplinks = vec![Uplink {
                name: "eth0".into(),
                subnets: ["203.0.113.0/24".parse().unwrap()].into(),
                ..Uplink::default()
            }];
            let public_key = Some(PublicKey([last; 32]));
            let status = EgressNodeStatus {
                endpoints,
                uplinks,
                public_key,
                may_vote: Some("cluster".to_owned()),
                ..EgressNodeStatus::default()
            };
            state.write(Write::NodeStatus { node: name.into(), status }).await.unwrap();
        }
        let snapshot = state.read_consistent().await.unwrap();
        Arc::new(Self {
            shown: watch::Sender::new(Some(snapshot)),
            reachable: watch::Sender::new(true),
            under_way: AtomicUsize::default(),
            most: AtomicUsize::default(),
            made: Mutex::default(),
            failing: Mutex::default(),
        })
    }

    fn fail(&self, node: &str, class: ErrorClass) {
        *self.failing.lock().unwrap() = Some((node.into(), class));
    }

    fn made(&self) -> Vec<Write> {
        std::mem::take(&mut *self.made.lock().unwrap())
    }
}

impl ClusterState for SlowStore {
    fn watch(&self) -> watch::Receiver<Option<Arc<Snapshot>>> {
        self.shown.subscribe()
    }

    fn reachable(&self) -> watch::Receiver<bool> {
        self.reachable.subscribe()
    }

    async fn read_consistent(&self) -> Result<Arc<Snapshot>, PortError> {
        Ok(self.shown.borrow().clone().unwrap())
    }

    async fn write(&self, write: Write) -> Result<ResourceVersion, PortError> {
        let under_way = self.under_way.fetch_add(1, Ordering::Relaxed) + 1;
        self.most.fetch_max(under_way, Ordering::Relaxed);
        tokio::time::sleep(Duration::from_millis(50)).await;
        self.under_way.fetch_sub(1, Ordering::Relaxed);
        self.made.lock().unwrap().push(write.clone());
        if let (Write::NodeSpec { node, .. }, Some((failing, class))) =
            (&write, &*self.failing.lock().unwrap())
            && node == failing
        {
            return Err(PortError::new(*class, "write", "no answer"));
        }
        let mut snapshot = Snapshot::clone(self.shown.borrow().as_ref().unwrap());
        planner::apply(&mut snapshot, &write);
        self.shown.send_replace(Some(Arc::new(snapshot)));
        Ok(ResourceVersion("1".to_owned()))
    }

    async fn draw_fences(&self, _: u64) -> Result<u64, PortError> {
        Ok(1)
    }

    async fn lead(&self, _: &str, _: u32) -> Result<bool, PortError> {
        Ok(true)
    }

    async fn event(&self, _: Event) -> Result<(), PortError> {
        Ok(())
    }
}

/// Turns over what the store shows.
struct Turns {
    store: Arc<SlowStore>,
    turn: Turn<SlowStore, SystemClock>,
}

impl Turns {
    fn of(store: &Arc<SlowStore>) -> Self {
        let settings = ControllerSettings::new("cluster");
        let turn = Turn::new(settings, store.clone(), Arc::new(SystemClock));
        Self { store: store.clone(), turn }
    }

    /// How long one took.
    async fn run(&mut self) -> Duration {
        let until = Instant::now() + Duration::from_secs(3600);
        let (_lease, held) = watch::channel(Some(HeldLease::of(1, until)));
        let term = Leadership::of(held).term().unwrap();
        let snapshot = self.store.read_consistent().await.unwrap();
        let begun = Instant::now();
        self.turn.run(&snapshot, &term).await;
        begun.elapsed()
    }

    /// Whose spec one wrote, or tried to.
    async fn written_specs(&mut self) -> Vec<String> {
        self.run().await;
        let specs = self.store.made().into_iter().filter_map(|write| match write {
            Write::NodeSpec { node, .. } => Some(node.to_string()),
            _ => None,
        });
        specs.collect()
    }

    fn unsure_of(&self) -> Option<&str> {
        self.turn.memory.unsure_of.as_ref().map(|unsure| unsure.node.as_str())
    }
}

#[tokio::test]
async fn two_hundred_owners_are_written_first_and_eight_at_once() {
    let store = SlowStore::new().await;
    tokio::time::pause();
    let took = Turns::of(&store).run().await;
    let made = store.made();
    let plans = made.iter().take_while(
        |write| matches!(write, Write::AddressPlan { plan, .. } if plan.owner.is_some()),
    );
    assert_eq!(plans.count(), 200, "{:?}", made.first());
    assert!(matches!(made[200], Write::Cluster { .. }), "{:?}", made[200]);
    println!("{} writes of 50 ms took {} ms", made.len(), took.as_millis());
    assert_eq!(store.most.load(Ordering::Relaxed), WRITES_AT_ONCE);
    // Time passes by these writes alone.
    let others = u32::try_from(made.len() - 200).unwrap();
    assert!(took < Duration::from_millis(50) * (others + 200 / 5), "{took:?}");
}

#[tokio::test]
async fn a_node_spec_that_may_still_be_taken_is_the_last_write_of_its_turn() {
    let store = SlowStore::new().await;
    store.fail("g1", ErrorClass::Transient);
    tokio::time::pause();
    let mut turns = Turns::of(&store);
    turns.run().await;
    let made = store.made();
    let is_spec = |write: &&Write| matches!(write, Write::NodeSpec { .. });
    let specs = made.iter().filter(is_spec).count();
    let before = made.iter().position(
        |write| matches!(write, Write::NodeSpec { node, .. } if *node == NodeName::from("g1")),
    );
    assert_eq!(before, Some(made.len() - 1), "{:?}", made.last());
    assert!(specs < 3, "the third is left to the next turn");
    assert_eq!(turns.unsure_of(), Some("g1"));
}

#[tokio::test]
async fn nothing_follows_that_node_before_it_is_written() {
    let store = SlowStore::new().await;
    store.fail("g2", ErrorClass::Transient);
    tokio::time::pause();
    let mut turns = Turns::of(&store);
    assert_eq!(turns.written_specs().await, ["g1", "g2"]);
    for refused in [ErrorClass::Throttled { after: None }, ErrorClass::Denied] {
        // So that another would follow.
        let mut snapshot = Snapshot::clone(store.shown.borrow().as_ref().unwrap());
        snapshot.egress_nodes.get_mut(&"g1".into()).unwrap().value.spec = Default::default();
        store.shown.send_replace(Some(Arc::new(snapshot)));
        store.fail("g2", refused);
        assert_eq!(turns.written_specs().await, ["g2"], "{refused:?}");
        turns.turn.forget();
        assert_eq!(turns.unsure_of(), Some("g2"), "whoever leads meanwhile");
    }
    store.fail("nobody", ErrorClass::Denied);
    assert_eq!(turns.written_specs().await, ["g2", "g1"]);
    assert_eq!(turns.unsure_of(), None);
}
