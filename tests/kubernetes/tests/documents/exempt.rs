//! What is not run here, and why. There are three reasons, and no other.

/// Why a command is not run.
#[derive(Debug)]
pub enum Why {
    /// It asks a cloud's account, or a registry's.
    NeedsAnAccount,
    /// It is for a system that no test has: another architecture's builder, a whole cluster's node, a file of yours.
    NeedsAnotherSystem,
    /// CI runs this very command, or goals of `make` that do.
    IsWhatCiRuns,
}

use Why::{IsWhatCiRuns, NeedsAnAccount, NeedsAnotherSystem};

/// By how the command begins.
pub const EXEMPT: &[(&str, Why)] = &[
    ("cargo ", IsWhatCiRuns),
    ("EGRET_SOAK=1 cargo ", IsWhatCiRuns),
    ("git clone ", IsWhatCiRuns),
    ("tests/chart.sh ", IsWhatCiRuns),
    // Pods have to start: `make kubernetes` and `make demo-kubernetes` install by these lines.
    ("kubectl wait --for=condition=Ready --timeout=2m seip/bank", IsWhatCiRuns),
    ("kubectl -n egret-system rollout status", IsWhatCiRuns),
    ("helm uninstall", IsWhatCiRuns),
    ("kubectl egret uninstall", IsWhatCiRuns),
    ("egret uninstall", IsWhatCiRuns),
    ("egret teardown --cni-conf-dir", IsWhatCiRuns),
    ("terraform output ", NeedsAnAccount),
    ("docker buildx ", NeedsAnotherSystem),
    ("EGRET_ARCH=arm64 ", NeedsAnotherSystem),
    // It asks an agent in a pod: of a node of a whole cluster.
    ("kubectl egret explain --live --node NODE", NeedsAnotherSystem),
    ("ctr -n k8s.io ", NeedsAnotherSystem),
    ("kubectl create secret generic NAME", NeedsAnAccount),
];

/// The exemption that a command falls under.
pub fn exempted(line: &str) -> Option<&'static str> {
    EXEMPT.iter().map(|(begin, _)| *begin).find(|begin| line.starts_with(begin))
}
