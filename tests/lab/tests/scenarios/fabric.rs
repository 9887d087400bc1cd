//! Laboratories in a VPC of Google that is told by calls where an address is: a target instance's rule, or
//! an alias range. The outside is the internet for the one and a peer network for the other.

use std::net::IpAddr;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use egret_lab::bench::Bench;
use egret_lab::cloud::checks::{await_voters, condition};
use egret_lab::cloud::gce::{GceRegion, LabVpc, POOL_LABEL};
use egret_lab::load::{Load, LoadReport};
use egret_lab::{LabFixture, TestBed, WallTime, wait_until};

use crate::fixtures::{PATIENCE, holder, usual};
use crate::google::{address, await_attached, lives_on, names, restore, serve_in};

/// The VPC that scenarios of target instances share.
pub const TARGETS: &str = "a VPC of Google with target instances";
/// The VPC that scenarios of alias ranges share.
pub const ALIASES: &str = "a VPC of Google with alias ranges";

/// The private address of the claim: no node's, and not reserved.
const PRIVATE: &str = "10.0.0.66";

/// How long a call's way may take: the API answers, and others work beside it.
const CALLS: Duration = Duration::from_secs(20);

/// A mode of a pool's addresses.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum FabricMode {
    /// External, by the target instance of a rule.
    TargetInstance,
    /// Private, by an alias range of an interface.
    AliasRange,
}

impl FabricMode {
    /// What the names of its loads begin with.
    pub fn name(self) -> &'static str {
        match self {
            Self::TargetInstance => "gcp-target",
            Self::AliasRange => "gcp-alias",
        }
    }

    /// The call that an address moves by.
    pub fn moves_by(self) -> &'static str {
        match self {
            Self::TargetInstance => "setTarget",
            Self::AliasRange => "updateNetworkInterface",
        }
    }

    /// Its leases are what they are by default.
    fn pool(self) -> String {
        let (key, value) = POOL_LABEL;
        let addresses = match self {
            Self::TargetInstance => {
                format!("gcp: {{mode: TargetInstance, addressLabels: {{{key}: {value}}}}}")
            }
            Self::AliasRange => "gcp: {mode: AliasRange}\n  addresses: ['10.0.0.64/28']".to_owned(),
        };
        format!(
            "apiVersion: egret.dev/v1alpha1
kind: EgressPool
metadata: {{name: partners}}
spec:
  provider: GCP
  {addresses}
  gateways:
    nodeSelector: {{matchLabels: {{egret.dev/gateway: \"true\"}}}}
  allowedNamespaces: {{matchLabels: {{egress: partners}}}}
  ports: {{perNode: 1024}}
  failover: {{failback: Never, releaseAfter: 2s}}
"
        )
    }

    fn address(self, vpc: &LabVpc) -> Result<IpAddr> {
        match self {
            Self::TargetInstance => vpc.addresses().first().copied().context("an external address"),
            Self::AliasRange => Ok(PRIVATE.parse()?),
        }
    }

    fn serve(self) -> Result<LabFixture> {
        // The default of a lease is 2 s here.
        let t_max = Duration::from_millis(2500);
        let lab = usual().google(GceRegion::default()).t_max(t_max).build()?;
        let address = self.address(lab.vpc()?)?;
        let fixture = serve_in(lab, (&self.pool(), address), |fixture| self.settle(fixture))?;
        let begun = names(&fixture.lab.vpc()?.changes(WallTime(0))?);
        egret_lab::note!("    until it serves: {}", begun.join(", "));
        Ok(fixture)
    }

    /// The VPC that scenarios of this mode share, as a new one would be.
    pub fn shared(self, bench: &mut Bench) -> Result<&mut LabFixture> {
        let name = match self {
            Self::TargetInstance => TARGETS,
            Self::AliasRange => ALIASES,
        };
        let fixture = bench.shared(name, || self.serve())?;
        restore(fixture)?;
        self.settle(fixture)?;
        Ok(fixture)
    }

    /// As many voters as there will be, and the address is at its holder.
    fn settle(self, fixture: &LabFixture) -> Result<()> {
        await_voters(fixture)?;
        self.await_at(fixture, &holder(fixture)?)
    }

    /// Waits until the network delivers the address to a node, the condition says so, and the objects of
    /// the project are what they are to be.
    pub fn await_at(self, fixture: &LabFixture, node: &str) -> Result<()> {
        let there = || (holder(fixture).ok()? == node).then_some(());
        wait_until(&format!("the address at {node}"), CALLS, there)?;
        await_attached(fixture, node)?;
        self.check_objects(fixture, Some(node))
    }

    /// The address is at a node or nowhere. Every node's pods have their range throughout, as its first
    /// alias range, and no alias range is left anywhere else.
    pub fn check_objects(self, fixture: &LabFixture, at: Option<&str>) -> Result<()> {
        let (vpc, address) = (fixture.lab.vpc()?, address(fixture)?);
        for node in fixture.lab.names() {
            let mut wanted = vec![vpc.pods(&node)?.to_owned()];
            if self == Self::AliasRange && at == Some(&node) {
                wanted.push(format!("{address}/32"));
            }
            let found = vpc.aliases(&node)?;
            ensure!(found == wanted, "{node} has the alias ranges {found:?}, not {wanted:?}");
        }
        let rules = vpc.names("forwarding_rules")?;
        let targeted = self == Self::TargetInstance && at.is_some();
        ensure!(rules.len() == usize::from(targeted), "the rules {rules:?}, at {at:?}");
        Ok(())
    }
}

/// Every connection goes on; what the network dropped had the source of the address, which was on its way.
/// Says how long it stood still, and what happened meanwhile.
pub fn goes_on(
    fixture: &LabFixture,
    load: &Load,
    since: WallTime,
    what: &str,
) -> Result<LoadReport> {
    let report = lives_on(fixture, load, since, what)?;
    let own = address(fixture)?;
    for ((node, source), count) in fixture.lab.vpc()?.foreign()? {
        ensure!(own == source, "the VPC dropped {count} packets of {node} from {source}");
        egret_lab::note!("    dropped so far: {count} packets of {node}, which did not have it");
    }
    Ok(report)
}

/// Waits until every gateway has a part, and what stands ready for the standbys does: for two seconds nothing
/// was changed.
pub fn await_rest(fixture: &LabFixture) -> Result<()> {
    for gateway in fixture.lab.names().iter().filter(|name| name.starts_with("gateway")) {
        fixture.await_planned(gateway, PATIENCE)?;
    }
    let vpc = fixture.lab.vpc()?;
    egret_lab::cloud::checks::await_rest(|since| vpc.changes(since))
}

/// Waits until the status of the claim says that it is not ready, with these words in its message.
pub fn await_unready(fixture: &LabFixture, words: &str) -> Result<String> {
    let ready = || {
        let claims = fixture.lab.objects("StaticEgressIP").ok()?;
        let all = claims.first()?["status"]["conditions"].as_array()?.clone();
        all.into_iter().find(|condition| condition["type"] == "Ready")
    };
    let unready = || {
        let ready = ready().filter(|ready| ready["status"] == "False")?;
        let message = ready["message"].as_str()?;
        message.contains(words).then(|| message.to_owned())
    };
    wait_until(&format!("a claim whose status speaks of {words}"), CALLS, unready)
        .with_context(|| format!("{:?}, {:?}", ready(), condition(fixture, "Attached")))
}
