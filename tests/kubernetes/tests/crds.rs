//! The definitions of deploy/crds on a real API server: what they refuse and with which words, what
//! they fill in, what `kubectl explain` and `kubectl get` show.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking, its helpers too")]

use std::collections::BTreeMap;
use std::sync::Arc;

use egret_kubernetes::{ApiServer, SharedFixture, repository};

#[path = "crds/cases.rs"]
mod cases;
#[path = "crds/corpus.rs"]
mod corpus;
#[path = "crds/equal.rs"]
mod equal;
#[path = "crds/own.rs"]
mod own;
#[path = "crds/shown.rs"]
mod shown;
#[path = "crds/stored.rs"]
mod stored;

/// A kind that people write.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// An `EgressPool`.
    Pool,
    /// A `StaticEgressIP`.
    Claim,
    /// A `ClusterStaticEgressIP`.
    ClusterClaim,
}

impl Kind {
    fn name(self) -> &'static str {
        match self {
            Self::Pool => "EgressPool",
            Self::Claim => "StaticEgressIP",
            Self::ClusterClaim => "ClusterStaticEgressIP",
        }
    }

    /// Fields of a spec without a fault.
    fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Pool => {
                &["provider: L2", "addresses: [203.0.113.16/29]", "gateways: {nodeSelector: {}}"]
            }
            Self::Claim => &["poolRef: {name: partners}", "podSelector: {}"],
            Self::ClusterClaim => {
                &["poolRef: {name: partners}", "podSelector: {}", "namespaceSelector: {}"]
            }
        }
    }

    /// A manifest in which the fields of `changes` stand instead of those without a fault; one
    /// without a value is left out.
    fn manifest(self, name: &str, changes: &str) -> String {
        let changes: Vec<&str> = changes.split("\n  ").filter(|line| !line.is_empty()).collect();
        let key = |field: &str| field.split(':').next().unwrap_or_default().to_owned();
        let mut fields: BTreeMap<String, &str> = BTreeMap::new();
        for field in self.fields().iter().chain(&changes) {
            fields.insert(key(field), field);
        }
        let fields = fields.values().filter(|field| !field.ends_with(':'));
        let spec: String = fields.map(|field| format!("  {field}\n")).collect();
        let namespace = if self == Self::Claim { ", namespace: default" } else { "" };
        format!(
            "apiVersion: egret.dev/v1alpha1\nkind: {}\nmetadata: {{name: {name}{namespace}}}\n\
             spec:\n{spec}",
            self.name()
        )
    }
}

/// An API server with the definitions of deploy/crds and deploy/crds-nirmata.
fn server() -> ApiServer {
    let server = ApiServer::start().unwrap();
    install(&server);
    server
}

/// The same, for tests that write nothing into it.
fn shared() -> Arc<ApiServer> {
    static SHARED: SharedFixture<ApiServer> = SharedFixture::new();
    SHARED.get(server)
}

fn install(server: &ApiServer) {
    let folders = ["deploy/crds", "deploy/crds-nirmata"].map(|folder| repository().join(folder));
    for folder in &folders {
        server.kubectl().apply_path(folder).unwrap();
    }
    let all = ["wait", "--for=condition=Established", "crd", "--all", "--timeout=60s"];
    server.kubectl().ask(&all).unwrap();
}
