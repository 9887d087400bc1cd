//! The store: where it is, and one access to it, for commands that read or change one thing and end.

#[cfg(feature = "kubernetes")]
mod api;
#[cfg(feature = "plugin")]
mod once;

use std::path::PathBuf;

#[cfg(feature = "kubernetes")]
pub(crate) use api::Api;
#[cfg(all(feature = "plugin", feature = "kubernetes"))]
pub(crate) use once::block_on;

use crate::args::StoreArgs;

/// Where the objects are.
#[derive(Clone, Debug)]
pub(crate) enum Store {
    /// A directory of manifests.
    Directory(PathBuf),
    /// The Kubernetes API.
    #[cfg(feature = "kubernetes")]
    Kubernetes(Api),
}

impl StoreArgs {
    /// The store that is meant.
    pub(crate) fn store(&self) -> anyhow::Result<Store> {
        match &self.manifests {
            Some(directory) => Ok(Store::Directory(directory.clone())),
            #[cfg(feature = "kubernetes")]
            None => Ok(Store::Kubernetes(self.kubernetes.api())),
            #[cfg(not(feature = "kubernetes"))]
            None => {
                let missing = crate::features::missing("kubernetes");
                let text = format!("{missing}, or name a directory of manifests with --manifests");
                Err(crate::error::UsageError(text).into())
            }
        }
    }
}
