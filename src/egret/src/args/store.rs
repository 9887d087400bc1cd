//! Of the store that a command is about.

use std::path::PathBuf;

use clap::Args as ClapArgs;

/// Where the objects are: the Kubernetes API by default.
#[cfg(any(feature = "node", feature = "controller", feature = "plugin"))]
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Store")]
pub(crate) struct StoreArgs {
    /// A directory of manifests (made by `egret init`) instead of Kubernetes.
    #[arg(long, value_name = "DIR", env = "EGRET_MANIFESTS")]
    pub(crate) manifests: Option<PathBuf>,
    #[cfg(feature = "kubernetes")]
    #[command(flatten)]
    pub(crate) kubernetes: KubernetesArgs,
}

#[cfg(all(
    feature = "kubernetes",
    any(feature = "node", feature = "controller", feature = "plugin")
))]
#[derive(Clone, Debug, ClapArgs)]
#[command(next_help_heading = "Store")]
pub(crate) struct KubernetesArgs {
    /// How to reach the API server. Default: as a pod of the cluster, else the environment variable
    /// KUBECONFIG, else ~/.kube/config.
    #[arg(long, value_name = "FILE", conflicts_with = "manifests")]
    pub(crate) kubeconfig: Option<PathBuf>,
    /// The context of the kubeconfig.
    #[arg(long, value_name = "NAME", conflicts_with = "manifests")]
    pub(crate) context: Option<String>,
    /// The namespace that Egret is installed in.
    #[arg(long, value_name = "NAME", env = "EGRET_NAMESPACE", default_value = "egret-system")]
    pub(crate) system_namespace: String,
}

/// A directory store.
#[derive(Clone, Debug, ClapArgs)]
pub(crate) struct DirectoryArgs {
    /// Directory of manifests that is the cluster's store.
    #[arg(long, value_name = "DIR", env = "EGRET_MANIFESTS")]
    pub(crate) manifests: PathBuf,
}
