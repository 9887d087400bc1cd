//! The contract suite itself is tested: providers with one mistake each must not pass it.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::Ordering::Relaxed;

use egret_ports::contract::provider::run;
use egret_ports::provider::NodeCapacity;

use super::tests::{case, cloud};
use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum WrongBehaviour {
    None,
    DetachesFromWhoeverHasIt,
    PreparesByAttaching,
    PreparesNothing,
    AttachesOnlyWhatIsFree,
    FailsWhereItIsSoAlready,
    ReturnsBeforeItIsSeen,
    AttachesInAnyZone,
    CallsEveryErrorTransient,
    ReportsNodesThatAreNotThere,
    NeverSettlesAfterACutOff,
    KeepsRoomForACutOffDetach,
    EndsTheListAtTheFirstThatCannotBe,
    LosesOneOfTwoAtOnce,
    AcceptsBeforeItCalls,
}

#[derive(Debug)]
struct WrongProvider {
    cloud: FakeCloud,
    fake: FakeProvider,
    mistake: WrongBehaviour,
    cut_off: std::sync::atomic::AtomicBool,
    busy: tokio::sync::Mutex<()>,
}

impl WrongProvider {
    async fn attach_one_of(&self, address: IpAddr, node: &NodeName) -> Result<Accepted, PortError> {
        let holder = self.cloud.attached().remove(&address);
        let seen = |attachment| Accepted { attachment, observed: true };
        let refuse = |class| Err(PortError::new(class, "attach", "a mistake of the test"));
        match self.mistake {
            WrongBehaviour::AttachesOnlyWhatIsFree
                if holder.as_ref().is_some_and(|holder| holder != node) =>
            {
                refuse(ErrorClass::Conflict)
            }
            WrongBehaviour::FailsWhereItIsSoAlready if holder.as_ref() == Some(node) => {
                refuse(ErrorClass::Conflict)
            }
            WrongBehaviour::ReturnsBeforeItIsSeen => {
                self.cloud.assign(address, node).await.map(seen)
            }
            WrongBehaviour::AttachesInAnyZone if node.as_str() == "far" => {
                self.cloud.attach_by_hand(address, Some("far"));
                Ok(seen(Attachment::at(node.clone())))
            }
            WrongBehaviour::CallsEveryErrorTransient => {
                let result = self.fake.order(address, node).await;
                result.map_err(|error| PortError { class: ErrorClass::Transient, ..error })
            }
            WrongBehaviour::NeverSettlesAfterACutOff => {
                if self.cut_off.swap(true, Relaxed) {
                    return refuse(ErrorClass::Transient);
                }
                let accepted = self.fake.order(address, node).await;
                let waits = accepted.as_ref().is_ok_and(|accepted| !accepted.observed);
                self.cut_off.store(waits, Relaxed);
                accepted
            }
            WrongBehaviour::LosesOneOfTwoAtOnce => {
                let Ok(_alone) = self.busy.try_lock() else {
                    return Ok(seen(Attachment::at(node.clone())));
                };
                self.fake.order(address, node).await
            }
            WrongBehaviour::AcceptsBeforeItCalls => {
                let attachment = self.cloud.ready(address, node).await?;
                Ok(Accepted { observed: holder.as_ref() == Some(node), attachment })
            }
            _ => self.fake.order(address, node).await,
        }
    }
}

impl Provider for WrongProvider {
    async fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Observation, PortError> {
        let mut observed = self.fake.observe(addresses, nodes).await?;
        if self.mistake == WrongBehaviour::ReportsNodesThatAreNotThere {
            let invented = nodes.iter().map(|node| (node.clone(), NodeCapacity::default()));
            observed.nodes = invented.chain(std::mem::take(&mut observed.nodes)).collect();
        }
        if self.mistake == WrongBehaviour::KeepsRoomForACutOffDetach && self.cut_off.load(Relaxed) {
            for capacity in observed.nodes.values_mut() {
                capacity.free = capacity.free.saturating_sub(1);
            }
        }
        Ok(observed)
    }

    async fn prepare(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<ByAddress<Attachment>, PortError> {
        match self.mistake {
            WrongBehaviour::PreparesNothing => return Ok(ByAddress::new()),
            WrongBehaviour::PreparesByAttaching => {
                for address in addresses {
                    self.cloud.assign(*address, node).await?;
                }
            }
            _ => {}
        }
        self.fake.prepare(node, addresses).await
    }

    async fn attach(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> Result<ByAddress<Accepted>, PortError> {
        let mut accepted = ByAddress::new();
        for address in addresses {
            let result = self.attach_one_of(*address, node).await;
            if self.mistake == WrongBehaviour::EndsTheListAtTheFirstThatCannotBe {
                accepted.insert(*address, Ok(result?));
            } else {
                accepted.insert(*address, result);
            }
        }
        Ok(accepted)
    }

    async fn await_attached(
        &self,
        addresses: &BTreeSet<IpAddr>,
        node: &NodeName,
    ) -> Result<ByAddress<Attachment>, PortError> {
        if self.mistake == WrongBehaviour::AcceptsBeforeItCalls {
            for address in addresses {
                self.cloud.assign(*address, node).await?;
            }
        }
        let result = self.fake.await_attached(addresses, node).await;
        if self.mistake == WrongBehaviour::NeverSettlesAfterACutOff {
            self.cut_off.store(false, Relaxed);
        }
        result
    }

    async fn detach(&self, address: IpAddr, node: &NodeName) -> Result<(), PortError> {
        if self.mistake == WrongBehaviour::DetachesFromWhoeverHasIt {
            self.cloud.attach_by_hand(address, None);
        }
        if self.mistake == WrongBehaviour::KeepsRoomForACutOffDetach {
            let earlier = self.cut_off.swap(true, Relaxed);
            let result = self.fake.detach(address, node).await;
            self.cut_off.store(earlier, Relaxed);
            return result;
        }
        self.fake.detach(address, node).await
    }
}

#[test]
fn the_suite_finds_each_mistake_and_nothing_where_there_is_none() {
    for mistake in [
        WrongBehaviour::None,
        WrongBehaviour::DetachesFromWhoeverHasIt,
        WrongBehaviour::PreparesByAttaching,
        WrongBehaviour::PreparesNothing,
        WrongBehaviour::AttachesOnlyWhatIsFree,
        WrongBehaviour::FailsWhereItIsSoAlready,
        WrongBehaviour::ReturnsBeforeItIsSeen,
        WrongBehaviour::AttachesInAnyZone,
        WrongBehaviour::CallsEveryErrorTransient,
        WrongBehaviour::ReportsNodesThatAreNotThere,
        WrongBehaviour::NeverSettlesAfterACutOff,
        WrongBehaviour::KeepsRoomForACutOffDetach,
        WrongBehaviour::EndsTheListAtTheFirstThatCannotBe,
        WrongBehaviour::LosesOneOfTwoAtOnce,
        WrongBehaviour::AcceptsBeforeItCalls,
    ] {
        let cloud = cloud();
        cloud.set_latency(Duration::from_millis(40));
        cloud.set_lag(2);
        let right = case(cloud.clone());
        let fake = right.provider;
        let (cut_off, busy) = (false.into(), Default::default());
        let provider = WrongProvider { fake, cloud, mistake, cut_off, busy };
        let wrong = egret_ports::contract::provider::ProviderCase {
            provider,
            nodes: right.nodes,
            addresses: right.addresses,
            elsewhere: right.elsewhere,
            full: right.full,
            room: right.room,
            unknown: right.unknown,
            cancel_step: right.cancel_step,
            lagging_reads: right.lagging_reads,
            lag: right.lag,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let passed = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(&wrong)))).is_ok();
        assert_eq!(passed, mistake == WrongBehaviour::None, "{mistake:?}");
    }
}
