//! The cluster in a cloud: who is an instance there, and what the chart is given.

use std::net::IpAddr;

use egret_lab::LabNodeRole;
use egret_lab::address;
use egret_lab::cloud::{Host, LabCloud, Region, Zone};

use super::control::{HOST, NUMBER};

/// The Secret with the controllers' credentials.
const SECRET: &str = "aws-credentials";

/// Every instance: the workers, and the control plane's host in zone A.
pub(super) fn hosts(region: &Region, names: &[(String, LabNodeRole)]) -> Vec<Host> {
    let zones = zones(region, names);
    let workers = (1..).zip(names).zip(zones).map(|((number, (name, role)), zone)| {
        let gateway = *role == LabNodeRole::Gateway;
        Host { name: name.clone(), number, zone, gateway }
    });
    let control = Host { name: HOST.to_owned(), number: NUMBER, zone: Zone::A, gateway: false };
    workers.chain([control]).collect()
}

/// The workers' own IPv4 addresses, by number.
pub(super) fn addresses(region: Option<&Region>, names: &[(String, LabNodeRole)]) -> Vec<IpAddr> {
    match region {
        None => (1..).zip(names).map(|(number, _)| address::node(number)[0]).collect(),
        Some(region) => {
            (1..).zip(zones(region, names)).map(|(number, zone)| zone.node(number)).collect()
        }
    }
}

fn zones(region: &Region, names: &[(String, LabNodeRole)]) -> Vec<Zone> {
    let turn = |(at, (_, role)): (usize, &(String, LabNodeRole))| {
        let before = names[..at].iter().filter(|(_, other)| other == role).count();
        region.zone(*role, before)
    };
    names.iter().enumerate().map(turn).collect()
}

/// The Secret with the controllers' credentials, and its namespace.
pub(super) fn credentials(namespace: &str) -> String {
    format!(
        "apiVersion: v1
kind: Namespace
metadata: {{name: {namespace}}}
---
apiVersion: v1
kind: Secret
metadata: {{name: {SECRET}, namespace: {namespace}}}
stringData: {{AWS_ACCESS_KEY_ID: AKIAIOSFODNN7EXAMPLE, AWS_SECRET_ACCESS_KEY: none}}
"
    )
}

/// The chart's values for the cloud: where EC2 is, and the credentials from their Secret.
pub(super) fn chart_values(cloud: &LabCloud) -> Vec<String> {
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
    values
}
