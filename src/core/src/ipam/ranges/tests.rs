use super::*;
use crate::model::{Cluster, ResourceVersion, Stored};
use crate::testing::*;

/// A list of ranges is believed whole or not at all: what was read before stays, and only what never
/// could be read makes the outside of the cluster unknown.
#[test]
fn ranges_that_cannot_be_read_take_nothing_away() {
    let mut world = Fixture::empty();
    let settings = world.settings.clone();
    world.node("node-1", 1, false, "a");
    world.node("node-2", 2, false, "a");
    let seen = |world: &mut Fixture| {
        let ranges = desired(&world.snapshot, &settings);
        let cluster = Cluster {
            id: "c".to_owned(),
            set: None,
            t_max: settings.t_max,
            ranges: ranges.clone(),
            uninstalling: false,
        };
        let version = ResourceVersion("1".to_owned());
        world.snapshot.cluster = Some(Stored { version, value: cluster });
        let text = |each: BTreeSet<String>| each.into_iter().collect::<Vec<_>>().join(" ");
        let pods = ranges.pods.iter().map(ToString::to_string).collect();
        (text(pods), text(ranges.unread), text(ranges.kept))
    };
    let read = |world: &mut Fixture, name: &str, reading: RangeReading| {
        let node = world.snapshot.nodes.get_mut(&NodeName::new(name)).unwrap();
        node.pod_cidrs_reading = reading;
        if reading == RangeReading::Unread {
            node.pod_cidrs = Vec::new();
        }
    };
    let said = |pods: &str, unread: &str, kept: &str| (pods.into(), unread.into(), kept.into());
    let both = "10.244.1.0/24 10.244.2.0/24";
    assert_eq!(seen(&mut world), said(both, "", ""));
    read(&mut world, "node-2", RangeReading::Kept);
    assert_eq!(seen(&mut world), said(both, "", "Node node-2"));
    // A controller that starts finds what an earlier one has read.
    read(&mut world, "node-2", RangeReading::Unread);
    assert_eq!(seen(&mut world), said(both, "", "Node node-2"));
    // What came while no controller ran, or with an older one, nobody has read.
    world.node("node-3", 3, false, "a");
    read(&mut world, "node-3", RangeReading::Unread);
    for _ in 0..2 {
        assert_eq!(seen(&mut world), said(both, "Node node-3", "Node node-2"));
    }
    // A source that is not believed has no say.
    let mut named = settings.clone();
    named.pods.insert(net("10.0.0.0/8"));
    assert!(desired(&world.snapshot, &named).unread.is_empty());
    let pools = [(PodRangeSource::CalicoIPPools, [net("10.244.0.0/16")].into())];
    world.snapshot.discovered.pods = pools.into();
    assert!(desired(&world.snapshot, &settings).unread.is_empty());
    world.snapshot.discovered.pods.clear();
    world.snapshot.nodes.remove(&NodeName::new("node-3"));
    world.node("node-2", 2, false, "a");
    assert_eq!(seen(&mut world), said(both, "", ""));
}
