//! Pods of this node of which something cannot be read, such as an address.

use std::collections::BTreeSet;

use egret_core::model::{InvalidObject, ObjectRef, Snapshot, SnapshotScope, Uid};

/// What was told of, by pod: one that is made anew is told of again.
#[derive(Debug, Default)]
pub(crate) struct OddPods(BTreeSet<(InvalidObject, Option<Uid>)>);

impl OddPods {
    /// What is to be told of pods now, each fault once. Nothing in a directory of manifests, where the
    /// controller reads the pods too, and tells of them all.
    pub(crate) fn untold(&mut self, snapshot: &Snapshot) -> Vec<(ObjectRef, String)> {
        let found = match snapshot.scope {
            SnapshotScope::Node => found(snapshot),
            SnapshotScope::Cluster => BTreeSet::new(),
        };
        // A pod that has ended is no pod any more, and may be there for days.
        let told = |(object, uid): &&(InvalidObject, Option<Uid>)| match uid {
            Some(_) => self.0.contains(&(object.clone(), uid.clone())),
            None => self.0.iter().any(|(known, _)| known == object),
        };
        let new = found.iter().filter(|fault| !told(fault));
        let new = new.map(|(InvalidObject { place, message }, _)| {
            (place.as_str().into(), format!("{message}; it is passed over until then"))
        });
        let new = new.collect();
        self.0 = found;
        new
    }
}

fn found(snapshot: &Snapshot) -> BTreeSet<(InvalidObject, Option<Uid>)> {
    let of_pod = |object: &InvalidObject| {
        let about = ObjectRef::from(object.place.as_str());
        let key = (about.namespace.filter(|_| about.kind == "Pod")?, about.name);
        Some((object.clone(), snapshot.pods.get(&key).map(|pod| pod.uid.clone())))
    };
    snapshot.invalid_objects.iter().filter_map(of_pod).collect()
}

#[cfg(test)]
mod tests {
    use egret_core::model::Pod;

    use super::*;

    fn odd(place: &str) -> InvalidObject {
        InvalidObject { place: place.to_owned(), message: "status.podIP: is none".to_owned() }
    }

    fn known_as(snapshot: &mut Snapshot, uid: &str) {
        let pod = Pod {
            namespace: "shop".into(),
            name: "till".to_owned(),
            labels: Default::default(),
            node: "node-1".into(),
            host_network: false,
            sources: Default::default(),
            uid: uid.into(),
            created: Default::default(),
            terminating: false,
        };
        snapshot.pods.insert((pod.namespace.clone(), pod.name.clone()), pod);
    }

    #[test]
    fn each_fault_of_a_pod_is_told_once_by_its_nodes_agent_alone() {
        let all = ["EgressPool partners", "Pod shop/till", "StaticEgressIP shop/till"].map(odd);
        let mut snapshot = Snapshot {
            scope: SnapshotScope::Node,
            invalid_objects: all.into(),
            ..Snapshot::default()
        };
        let mut told = OddPods::default();
        known_as(&mut snapshot, "first");
        let message = "status.podIP: is none; it is passed over until then".to_owned();
        let about = ObjectRef::pod(&"shop".into(), "till");
        let once = vec![(about, message)];
        assert_eq!(told.untold(&snapshot), once);
        assert_eq!(told.untold(&snapshot), []);
        known_as(&mut snapshot, "second");
        assert_eq!(told.untold(&snapshot), once, "another pod of that name");
        let ended = std::mem::take(&mut snapshot.pods);
        assert_eq!(told.untold(&snapshot), [], "it has ended");
        snapshot.pods = ended;
        snapshot.invalid_objects[1].message = "status.podIP: is another".to_owned();
        assert_eq!(told.untold(&snapshot).len(), 1, "another fault");
        snapshot.scope = SnapshotScope::Cluster;
        assert_eq!(OddPods::default().untold(&snapshot), [], "the controller tells");
    }
}
