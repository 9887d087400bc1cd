//! S25 and S26: a claim begins and ends over busy pods; all gateways are gone.

use anyhow::{Context, Result};
use egret_lab::checks::{all_back, await_source};
use egret_lab::scenarios::{claim_over_busy_pods, claimed, no_gateway};
use egret_lab::{PodOptions, TestBed};

use crate::fixtures::ClusterBench;

const BUSY: [&str; 2] = ["busy-1", "busy-2"];

/// S25: the claim names no address.
pub fn over_busy_pods(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    let pods = [(BUSY[0], "director-1"), (BUSY[1], "director-2")];
    let pods = pods.map(|(name, on)| PodOptions::new(on, "payments", name).label("app", "busy"));
    fixture.lab.add_pods(&pods)?;
    drop(claim_over_busy_pods(fixture, BUSY, ("busy", &claim("busy", "Drop")))?);
    BUSY.iter().try_for_each(|pod| fixture.lab.remove_pod("payments", pod))
}

/// S26: afterwards all gateways come back.
pub fn without_gateways(bench: &mut ClusterBench) -> Result<()> {
    let fixture = bench.fixture()?;
    let opted = PodOptions::new("director-1", "payments", "opted-1").label("app", "open");
    fixture.lab.add_pods(&[opted])?;
    fixture.lab.apply_claim("open", &claim("open", "Node"))?;
    let open = claimed(fixture, "open")?;
    let v4 = open.iter().find(|address| address.is_ipv4()).context("an IPv4 address")?;
    await_source(fixture, "opted-1", *v4)?;
    let gateways = no_gateway(fixture, "opted-1", |_, _| Ok(()))?;
    all_back(fixture, &gateways)?;
    fixture.lab.kubectl().ask(&["delete", "seip", "-n", "payments", "open", "--wait=false"])?;
    fixture.lab.remove_pod("payments", "opted-1")
}

fn claim(name: &str, unavailable: &str) -> String {
    format!(
        "apiVersion: egret.dev/v1alpha1
kind: StaticEgressIP
metadata: {{name: {name}, namespace: payments}}
spec:
  poolRef: {{name: partners}}
  families: [IPv4, IPv6]
  podSelector: {{matchLabels: {{app: {name}}}}}
  destinations: [{{cidr: 198.51.100.0/24}}, {{cidr: '2001:db8:6::/64'}}]
  whenUnavailable: {unavailable}
"
    )
}
