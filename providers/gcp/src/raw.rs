//! One request that Google's client cannot make: an empty list, which it leaves out.

use egret_ports::error::{ErrorClass, PortError};
use google_cloud_auth::credentials::{CacheableResource, Credentials};
use google_cloud_compute_v1::model::{NetworkInterface, Operation};
use google_cloud_gax::error::Error;
use http::Extensions;
use serde_json::json;
use uuid::Uuid;

use crate::errors::GceFailure;
use crate::names::ResourcePath;
use crate::options::GcpOptions;
use crate::snapshot::GceInstance;

/// Compute Engine, without a client of its own.
#[derive(Debug)]
pub(crate) struct RawCompute {
    http: reqwest::Client,
    endpoint: String,
    credentials: Credentials,
}

impl RawCompute {
    /// Calls nothing yet.
    ///
    /// # Errors
    /// `Denied` where there is no TLS.
    pub fn new(options: &GcpOptions, credentials: Credentials) -> Result<Self, PortError> {
        let http = reqwest::Client::builder().timeout(options.call_timeout).build();
        let http = http.map_err(|error| {
            PortError::new(ErrorClass::Denied, "connect to Compute Engine", error)
        })?;
        let endpoint = options.endpoint.as_deref().unwrap_or("https://compute.googleapis.com");
        Ok(Self { http, endpoint: endpoint.trim_end_matches('/').to_owned(), credentials })
    }

    /// An interface without any alias range.
    ///
    /// # Errors
    /// Those of `method`.
    pub async fn clear_aliases(
        &self,
        method: &'static str,
        path: &ResourcePath,
        at: &GceInstance,
    ) -> Result<Operation, GceFailure> {
        let lost = |error: reqwest::Error| GceFailure::of_call(method, &Error::io(error));
        let unread = |error: serde_json::Error| GceFailure::of_call(method, &Error::deser(error));
        let interface = NetworkInterface::new().set_fingerprint(at.fingerprint.clone());
        let mut body = serde_json::to_value(interface).map_err(unread)?;
        body["aliasIpRanges"] = json!([]);
        let url = format!("{}/compute/v1/{path}/updateNetworkInterface", self.endpoint);
        let query = [
            ("networkInterface", at.interface.as_str()),
            ("requestId", &Uuid::new_v4().to_string()),
        ];
        let request = self.http.patch(url).query(&query);
        let request = request.headers(self.authorization(method).await?);
        let response = request.json(&body).send().await.map_err(lost)?;
        let (status, headers) = (response.status(), response.headers().clone());
        let answer = response.bytes().await.map_err(lost)?;
        if !status.is_success() {
            let error = Error::http(status.as_u16(), headers, answer);
            return Err(GceFailure::of_call(method, &error));
        }
        serde_json::from_slice(&answer).map_err(unread)
    }

    async fn authorization(&self, method: &'static str) -> Result<http::HeaderMap, GceFailure> {
        let headers = self.credentials.headers(Extensions::new()).await;
        let headers =
            headers.map_err(|error| GceFailure::of_call(method, &Error::authentication(error)))?;
        match headers {
            CacheableResource::New { data, .. } => Ok(data),
            CacheableResource::NotModified => Ok(http::HeaderMap::new()),
        }
    }
}
