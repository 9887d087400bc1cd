//! The calls of EC2 that this crate makes, and no other: `ec2-calls.txt` names them.

use std::collections::BTreeSet;
use std::future::Future;
use std::net::{IpAddr, Ipv4Addr};

use aws_config::retry::RetryConfig;
use aws_config::timeout::TimeoutConfig;
use aws_config::{ConfigLoader, Region};
use aws_credential_types::provider::error::CredentialsError;
use aws_sdk_ec2::Client;
use aws_sdk_ec2::config::Builder;
use aws_sdk_ec2::error::{DisplayErrorContext, ProvideErrorMetadata, SdkError};
use aws_sdk_ec2::operation::RequestId;
use aws_smithy_http_client::tls;
use egret_ports::error::ErrorClass;

use crate::call::Ec2Call;
use crate::errors::{CallFailure, classify, refused, with_pause};
use crate::metrics::CallMetrics;
use crate::options::AwsOptions;
use crate::rate::{Limiter, Urgency};
use crate::snapshot::{Association, CallEffect};

mod describe;
mod parse;

/// EC2.
#[derive(Debug)]
pub(crate) struct Ec2 {
    client: Client,
    limiter: Limiter,
    calls: CallMetrics,
}

impl Ec2 {
    pub async fn connect(options: &AwsOptions, calls: CallMetrics, loader: ConfigLoader) -> Self {
        let crypto = tls::rustls_provider::CryptoMode::Ring;
        let http = aws_smithy_http_client::Builder::new()
            .tls_provider(tls::Provider::Rustls(crypto))
            .build_https();
        let timeouts = TimeoutConfig::builder()
            .connect_timeout(options.connect_timeout)
            .operation_attempt_timeout(options.attempt_timeout)
            .operation_timeout(options.call_timeout);
        let mut loader = loader
            .http_client(http)
            .timeout_config(timeouts.build())
            .retry_config(RetryConfig::standard().with_max_attempts(options.attempts.max(1)));
        if let Some(region) = &options.region {
            loader = loader.region(Region::new(region.clone()));
        }
        let shared = loader.load().await;
        let mut config = Builder::from(&shared);
        if let Some(endpoint) = &options.endpoint {
            // Of EC2 alone: the credentials' own services keep theirs.
            config.set_endpoint_url(Some(endpoint.clone()));
        }
        let limiter = Limiter::new(options.max_calls_per_second, options.limits);
        Self { client: Client::from_conf(config.build()), limiter, calls }
    }

    /// Waits until a change may be made; then `change` makes it.
    pub async fn admit(&self, call: &Ec2Call, urgency: Urgency) {
        self.limiter.admit(call.action(), urgency).await;
    }

    /// Makes a change that has been admitted; returns what is so by its answer.
    pub async fn change(&self, call: &Ec2Call) -> Result<Vec<CallEffect>, CallFailure> {
        match call {
            Ec2Call::AssignPrivate { interface, addresses, take } => {
                self.assign_private(interface, addresses, *take).await
            }
            Ec2Call::AssignAny { interface, wanted } => {
                self.assign_any(interface, wanted.len()).await
            }
            Ec2Call::UnassignPrivate { interface, addresses } => {
                self.unassign_private(interface, addresses).await
            }
            Ec2Call::AssignIpv6 { interface, address } => {
                let request = self.client.assign_ipv6_addresses().network_interface_id(interface);
                let request = request.ipv6_addresses(address.to_string());
                self.call("AssignIpv6Addresses", request.send()).await?;
                Ok(vec![CallEffect::At {
                    interface: interface.clone(),
                    address: (*address).into(),
                }])
            }
            Ec2Call::UnassignIpv6 { interface, address } => {
                let request = self.client.unassign_ipv6_addresses().network_interface_id(interface);
                let request = request.ipv6_addresses(address.to_string());
                self.call("UnassignIpv6Addresses", request.send()).await?;
                Ok(vec![CallEffect::Nowhere { address: (*address).into() }])
            }
            Ec2Call::Associate { public, allocation, interface, private, take } => {
                let target = (interface.as_str(), *private);
                self.associate(*public, allocation, target, *take).await
            }
            Ec2Call::Disassociate { public, association } => {
                let request = self.client.disassociate_address().association_id(association);
                self.call("DisassociateAddress", request.send()).await?;
                Ok(vec![CallEffect::Disassociated { public: *public }])
            }
        }
    }

    async fn assign_private(
        &self,
        interface: &str,
        addresses: &BTreeSet<Ipv4Addr>,
        take: bool,
    ) -> Result<Vec<CallEffect>, CallFailure> {
        let request = self.client.assign_private_ip_addresses().network_interface_id(interface);
        let texts = addresses.iter().map(ToString::to_string).collect();
        let request = request.set_private_ip_addresses(Some(texts)).allow_reassignment(take);
        let answer = self.call("AssignPrivateIpAddresses", request.send()).await;
        let answer = answer.map_err(|failure| match failure.code.as_deref() {
            // The address lies in the interface's subnet: somebody else has it.
            Some("InvalidParameterValue") => CallFailure {
                class: ErrorClass::Conflict,
                remedy: "another interface of the subnet has the address: take it away there, or \
                         take the address out of the pool",
                ..failure
            },
            _ => failure,
        });
        answer?;
        let at = |address: &Ipv4Addr| CallEffect::At {
            interface: interface.into(),
            address: IpAddr::from(*address),
        };
        Ok(addresses.iter().map(at).collect())
    }

    async fn assign_any(
        &self,
        interface: &str,
        count: usize,
    ) -> Result<Vec<CallEffect>, CallFailure> {
        let count = i32::try_from(count).unwrap_or(i32::MAX);
        let request = self.client.assign_private_ip_addresses().network_interface_id(interface);
        let request = request.secondary_private_ip_address_count(count);
        // Repeated by the SDK it would assign twice as many.
        let once = Builder::new().retry_config(RetryConfig::disabled());
        let sent = request.customize().config_override(once).send();
        let answer = self.call("AssignPrivateIpAddresses", sent).await?;
        let assigned = answer.assigned_private_ip_addresses().iter();
        let assigned = assigned.filter_map(|assigned| assigned.private_ip_address()?.parse().ok());
        let at = |address: Ipv4Addr| CallEffect::At {
            interface: interface.into(),
            address: address.into(),
        };
        Ok(assigned.map(at).collect())
    }

    async fn unassign_private(
        &self,
        interface: &str,
        addresses: &BTreeSet<Ipv4Addr>,
    ) -> Result<Vec<CallEffect>, CallFailure> {
        let texts = addresses.iter().map(ToString::to_string).collect();
        let request = self.client.unassign_private_ip_addresses().network_interface_id(interface);
        let request = request.set_private_ip_addresses(Some(texts));
        self.call("UnassignPrivateIpAddresses", request.send()).await?;
        let nowhere = |address: &Ipv4Addr| CallEffect::Nowhere { address: IpAddr::from(*address) };
        Ok(addresses.iter().map(nowhere).collect())
    }

    async fn associate(
        &self,
        public: Ipv4Addr,
        allocation: &str,
        (interface, private): (&str, Ipv4Addr),
        take: bool,
    ) -> Result<Vec<CallEffect>, CallFailure> {
        let request = self.client.associate_address().allocation_id(allocation);
        let request = request.network_interface_id(interface);
        let request = request.private_ip_address(private.to_string()).allow_reassociation(take);
        let answer = self.call("AssociateAddress", request.send()).await?;
        let id = answer.association_id().unwrap_or_default().to_owned();
        let association = Association { id, interface: interface.into(), private };
        Ok(vec![CallEffect::Associated { public, association }])
    }

    /// Makes one call: counted, its error classified. Changes have been admitted, by their urgency.
    async fn call<T, E>(
        &self,
        operation: &'static str,
        sent: impl Future<Output = Result<T, SdkError<E>>>,
    ) -> Result<T, CallFailure>
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        SdkError<E>: RequestId,
    {
        if operation.starts_with("Describe") {
            self.limiter.admit(operation, Urgency::Failover).await;
        }
        match sent.await {
            Ok(answer) => {
                self.calls.count(operation, "ok");
                Ok(answer)
            }
            Err(error) => {
                let failure = self.failure(operation, &error);
                self.calls.count(operation, failure.class.name());
                tracing::debug!(operation, code = failure.code, "{failure}");
                Err(failure)
            }
        }
    }

    fn failure<E>(&self, operation: &'static str, error: &SdkError<E>) -> CallFailure
    where
        E: ProvideErrorMetadata + std::error::Error + 'static,
        SdkError<E>: RequestId,
    {
        let answer = error.as_service_error();
        let code = answer.and_then(|answer| answer.code()).map(ToOwned::to_owned);
        let status = error.raw_response().map(|response| response.status().as_u16());
        let unsent = unsent(error);
        let (class, remedy) = match unsent {
            Some(class) => (class, NOT_SENT),
            None => classify(code.as_deref(), status),
        };
        let sent = unsent.is_none();
        let class = match class {
            ErrorClass::Throttled { .. } => with_pause(class, self.limiter.pause(operation)),
            other => other,
        };
        let words = match answer.and_then(|answer| answer.message()) {
            Some(message) => format!("{}: {message}", code.as_deref().unwrap_or("error")),
            None => unanswered(error),
        };
        // Not in the message: it would be another one at every attempt, and told anew.
        tracing::debug!(operation, request = error.request_id(), words, "EC2 refuses");
        CallFailure {
            operation,
            class,
            code,
            message: words,
            remedy,
            refused: !sent || refused(class),
        }
    }
}

/// What happened to a call that EC2 has not answered; the innermost cause is the one that a person
/// can do something about.
fn unanswered<E: std::error::Error + 'static>(error: &SdkError<E>) -> String {
    let mut cause: &(dyn std::error::Error + 'static) = error;
    while let Some(inner) = cause.source() {
        cause = inner;
    }
    match error {
        SdkError::TimeoutError(_) => "EC2 has not answered in time".to_owned(),
        SdkError::DispatchFailure(_) => format!("EC2 cannot be reached: {cause}"),
        SdkError::ResponseError(_) => format!("EC2's answer cannot be understood: {cause}"),
        _ => DisplayErrorContext(error).to_string(),
    }
}

/// The class of what was never sent: there was no region, or there were no credentials.
fn unsent<E: std::error::Error + 'static>(error: &SdkError<E>) -> Option<ErrorClass> {
    if matches!(error, SdkError::ConstructionFailure(_)) {
        return Some(ErrorClass::Denied);
    }
    let mut cause: Option<&(dyn std::error::Error + 'static)> = Some(error);
    while let Some(error) = cause {
        match error.downcast_ref::<CredentialsError>() {
            None => cause = error.source(),
            Some(
                CredentialsError::CredentialsNotLoaded(_)
                | CredentialsError::InvalidConfiguration(_),
            ) => {
                return Some(ErrorClass::Denied);
            }
            // Whoever gives them out does not answer, or not with any.
            Some(_) => return Some(ErrorClass::Transient),
        }
    }
    None
}

const NOT_SENT: &str = "set the region, and give the controller credentials: a role by IRSA or Pod \
                        Identity, or the instance's role";

#[cfg(test)]
mod tests;
