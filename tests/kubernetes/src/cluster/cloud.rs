//! The cluster in a cloud: who is an instance there, and what the chart is told.

use std::net::IpAddr;

use anyhow::Result;
use egret_lab::Role;
use egret_lab::address;
use egret_lab::cloud::{Host, Region, Zone};

use super::control::{HOST, NUMBER};
use super::{Cluster, NAMESPACE};

/// The Secret with the controllers' credentials.
const SECRET: &str = "aws-credentials";

/// Every instance: the workers, and the control plane's host in zone A.
pub(super) fn hosts(region: &Region, names: &[(String, Role)]) -> Vec<Host> {
    let zones = zones(region, names);
    let workers = (1..).zip(names).zip(zones).map(|((number, (name, role)), zone)| {
        let gateway = *role == Role::Gateway;
        Host { name: name.clone(), number, zone, gateway }
    });
    let control = Host { name: HOST.to_owned(), number: NUMBER, zone: Zone::A, gateway: false };
    workers.chain([control]).collect()
}

/// The workers' own IPv4 addresses, by number.
pub(super) fn addresses(region: Option<&Region>, names: &[(String, Role)]) -> Vec<IpAddr> {
    match region {
        None => (1..).zip(names).map(|(number, _)| address::node(number)[0]).collect(),
        Some(region) => {
            (1..).zip(zones(region, names)).map(|(number, zone)| zone.node(number)).collect()
        }
    }
}

fn zones(region: &Region, names: &[(String, Role)]) -> Vec<Zone> {
    let turn = |(at, (_, role)): (usize, &(String, Role))| {
        let before = names[..at].iter().filter(|(_, other)| other == role).count();
        region.zone(*role, before)
    };
    names.iter().enumerate().map(turn).collect()
}

impl Cluster {
    /// The chart's values for the cloud: where EC2 is, and credentials from a Secret, which it
    /// makes.
    pub(super) fn cloud_values(&self) -> Result<Vec<String>> {
        let Some(cloud) = &self.cloud else { return Ok(Vec::new()) };
        self.kubectl().apply(&format!(
            "apiVersion: v1
kind: Namespace
metadata: {{name: {NAMESPACE}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: {SECRET}, namespace: {NAMESPACE}}}
stringData: {{AWS_ACCESS_KEY_ID: AKIAIOSFODNN7EXAMPLE, AWS_SECRET_ACCESS_KEY: none}}
"
        ))?;
        let mut values = vec![
            format!("controller.aws.endpoint={}", cloud.url_at(Zone::A.node(NUMBER))),
            "controller.aws.region=eu-central-1".to_owned(),
            "controller.cloudScanInterval=5s".to_owned(),
        ];
        for (at, name) in ["AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"].iter().enumerate() {
            let variable = format!("controller.extraEnv[{at}]");
            values.push(format!("{variable}.name={name}"));
            values.push(format!("{variable}.valueFrom.secretKeyRef.name={SECRET}"));
            values.push(format!("{variable}.valueFrom.secretKeyRef.key={name}"));
        }
        Ok(values)
    }
}
