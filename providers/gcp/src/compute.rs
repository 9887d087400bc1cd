//! Compute Engine's API: reads that become values, and changes whose operations are followed to their
//! end.

mod aliases;
mod change;
mod lists;
mod parse;
mod read;

use std::future::Future;

use egret_ports::error::{ErrorClass, PortError};
use google_cloud_auth::credentials::Credentials;
use google_cloud_compute_v1::client::{
    Addresses, ForwardingRules, Instances, NetworkEndpointGroups, RegionBackendServices,
    RegionOperations, Subnetworks, TargetInstances, ZoneOperations,
};
use google_cloud_gax::error::Error;

use crate::errors::GceFailure;
use crate::options::GcpOptions;
use crate::raw::RawCompute;

pub(crate) use read::ReadScope;

/// Clients of the kinds of resources that are used.
#[derive(Debug)]
pub(crate) struct Compute {
    options: GcpOptions,
    instances: Instances,
    subnetworks: Subnetworks,
    addresses: Addresses,
    services: RegionBackendServices,
    rules: ForwardingRules,
    groups: NetworkEndpointGroups,
    targets: TargetInstances,
    region_operations: RegionOperations,
    zone_operations: ZoneOperations,
    raw: RawCompute,
}

macro_rules! client {
    ($kind:ident, $options:expr, $credentials:expr) => {{
        let mut builder = $kind::builder()
            .with_credentials($credentials.clone())
            .with_attempt_timeout($options.call_timeout);
        if let Some(endpoint) = &$options.endpoint {
            builder = builder.with_endpoint(endpoint.clone());
        }
        builder.build().await.map_err(|error| {
            PortError::new(ErrorClass::Denied, "connect to Compute Engine", error)
        })?
    }};
}

impl Compute {
    /// Calls nothing yet.
    ///
    /// # Errors
    /// `Denied` where no client can be made of these credentials.
    pub async fn connect(options: GcpOptions, credentials: Credentials) -> Result<Self, PortError> {
        install_tls();
        Ok(Self {
            instances: client!(Instances, options, credentials),
            subnetworks: client!(Subnetworks, options, credentials),
            addresses: client!(Addresses, options, credentials),
            services: client!(RegionBackendServices, options, credentials),
            rules: client!(ForwardingRules, options, credentials),
            groups: client!(NetworkEndpointGroups, options, credentials),
            targets: client!(TargetInstances, options, credentials),
            region_operations: client!(RegionOperations, options, credentials),
            zone_operations: client!(ZoneOperations, options, credentials),
            raw: RawCompute::new(&options, credentials)?,
            options,
        })
    }

    async fn answer<T>(
        &self,
        method: &'static str,
        call: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, GceFailure> {
        match tokio::time::timeout(self.options.call_timeout, call).await {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(GceFailure::of_call(method, &error)),
            Err(_) => Err(GceFailure::timeout(method)),
        }
    }
}

/// Google's clients take the TLS of whoever runs them, and panic without one.
pub(crate) fn install_tls() {
    // An error says that the process has one already.
    let _ = rustls::crypto::ring::default_provider().install_default();
}
