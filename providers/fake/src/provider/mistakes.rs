//! The contract suite itself is tested: providers with one mistake each must not pass it.

use std::panic::{AssertUnwindSafe, catch_unwind};

use egret_ports::contract::provider::run;
use egret_ports::provider::NodeOffer;

use super::tests::{case, cloud};
use super::*;

#[derive(Clone, Copy, Debug, PartialEq)]
enum Mistake {
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
}

#[derive(Debug)]
struct Mistaken {
    cloud: Cloud,
    fake: Fake,
    mistake: Mistake,
    cut_off: std::sync::atomic::AtomicBool,
}

impl Provider for Mistaken {
    fn capabilities(&self) -> Capabilities {
        self.fake.capabilities()
    }

    async fn observe(
        &self,
        addresses: &BTreeSet<IpAddr>,
        nodes: &BTreeSet<NodeName>,
    ) -> Result<Observed, PortError> {
        let mut observed = self.fake.observe(addresses, nodes).await?;
        if self.mistake == Mistake::ReportsNodesThatAreNotThere {
            let invented = nodes.iter().map(|node| (node.clone(), NodeOffer::default()));
            observed.nodes = invented.chain(std::mem::take(&mut observed.nodes)).collect();
        }
        Ok(observed)
    }

    async fn prepare(
        &self,
        node: &NodeName,
        addresses: &BTreeSet<IpAddr>,
    ) -> Result<Prepared, PortError> {
        match self.mistake {
            Mistake::PreparesNothing => return Ok(Prepared::new()),
            Mistake::PreparesByAttaching => {
                for address in addresses {
                    self.cloud.assign(*address, node).await?;
                }
            }
            _ => {}
        }
        self.fake.prepare(node, addresses).await
    }

    async fn attach(&self, address: IpAddr, node: &NodeName) -> Result<Attachment, PortError> {
        use std::sync::atomic::Ordering::Relaxed;

        let holder = self.cloud.attached().remove(&address);
        let attached = Attachment::at(node.clone());
        let refuse = |class| Err(PortError::new(class, "attach", "a mistake of the test"));
        match self.mistake {
            Mistake::AttachesOnlyWhatIsFree
                if holder.as_ref().is_some_and(|holder| holder != node) =>
            {
                refuse(ErrorClass::Conflict)
            }
            Mistake::FailsWhereItIsSoAlready if holder.as_ref() == Some(node) => {
                refuse(ErrorClass::Conflict)
            }
            Mistake::ReturnsBeforeItIsSeen => {
                self.cloud.assign(address, node).await.map(|()| attached)
            }
            Mistake::AttachesInAnyZone if node.as_str() == "far" => {
                self.cloud.attach_by_hand(address, Some("far"));
                Ok(attached)
            }
            Mistake::CallsEveryErrorTransient => {
                let result = self.fake.attach(address, node).await;
                result.map_err(|error| PortError { class: ErrorClass::Transient, ..error })
            }
            Mistake::NeverSettlesAfterACutOff => {
                if self.cut_off.swap(true, Relaxed) {
                    return refuse(ErrorClass::Transient);
                }
                let result = self.fake.attach(address, node).await;
                self.cut_off.store(false, Relaxed);
                result
            }
            _ => self.fake.attach(address, node).await,
        }
    }

    async fn detach(&self, address: IpAddr, node: &NodeName) -> Result<(), PortError> {
        if self.mistake == Mistake::DetachesFromWhoeverHasIt {
            self.cloud.attach_by_hand(address, None);
        }
        self.fake.detach(address, node).await
    }
}

#[test]
fn the_suite_finds_each_mistake_and_nothing_where_there_is_none() {
    for mistake in [
        Mistake::None,
        Mistake::DetachesFromWhoeverHasIt,
        Mistake::PreparesByAttaching,
        Mistake::PreparesNothing,
        Mistake::AttachesOnlyWhatIsFree,
        Mistake::FailsWhereItIsSoAlready,
        Mistake::ReturnsBeforeItIsSeen,
        Mistake::AttachesInAnyZone,
        Mistake::CallsEveryErrorTransient,
        Mistake::ReportsNodesThatAreNotThere,
        Mistake::NeverSettlesAfterACutOff,
    ] {
        let cloud = cloud();
        cloud.set_latency(Duration::from_millis(40));
        cloud.set_lag(2);
        let right = case(cloud.clone());
        let provider = Mistaken { fake: right.provider, cloud, mistake, cut_off: false.into() };
        let wrong = egret_ports::contract::provider::Case {
            provider,
            nodes: right.nodes,
            addresses: right.addresses,
            elsewhere: right.elsewhere,
            full: right.full,
            unknown: right.unknown,
            cancel_step: right.cancel_step,
            lagging_reads: right.lagging_reads,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_time()
            .start_paused(true)
            .build()
            .unwrap();
        let passed = catch_unwind(AssertUnwindSafe(|| runtime.block_on(run(&wrong)))).is_ok();
        assert_eq!(passed, mistake == Mistake::None, "{mistake:?}");
    }
}
