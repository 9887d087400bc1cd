//! What EC2's error codes mean: one table. The texts beside them are for people only.
//!
//! Sources: EC2 API reference, "Error codes" (client, server and common errors), and the pages of
//! the actions that `ec2-calls.txt` names.

use std::time::Duration;

use egret_ports::error::ErrorClass;

const THROTTLED: ErrorClass = ErrorClass::Throttled { after: None };

/// Code, class, remedy (empty where repeating is the remedy).
type KnownCode = (&'static str, ErrorClass, &'static str);

const PERMISSION: &str = "give the controller's role the policy of terraform/aws";
const CREDENTIALS: &str = "check the controller's credentials: its role for IRSA or Pod Identity, \
                           or the instance's role, and the clock of its node";
const INTERFACE: &str = "the gateway's interface is gone: it is looked for again";
const ALLOCATION: &str = "the Elastic IP has been released: take it out of the pool";
const LARGER: &str = "use a larger instance type, more gateways, or fewer delegated prefixes there";

/// Every documented code that the calls can answer with.
pub(crate) const CODES: &[KnownCode] = &[
    // Who calls.
    ("AuthFailure", ErrorClass::Denied, CREDENTIALS),
    ("Blocked", ErrorClass::Denied, "the account is blocked: contact AWS Support"),
    ("DryRunOperation", ErrorClass::Invalid, ""),
    ("ExpiredToken", ErrorClass::Denied, CREDENTIALS),
    ("ExpiredTokenException", ErrorClass::Denied, CREDENTIALS),
    ("IncompleteSignature", ErrorClass::Denied, CREDENTIALS),
    ("InvalidClientTokenId", ErrorClass::Denied, CREDENTIALS),
    ("MissingAuthenticationToken", ErrorClass::Denied, CREDENTIALS),
    ("OptInRequired", ErrorClass::Denied, "enable the region for the account"),
    ("PendingVerification", ErrorClass::Denied, "the account is being verified: wait for AWS"),
    ("RequestExpired", ErrorClass::Denied, CREDENTIALS),
    ("SignatureDoesNotMatch", ErrorClass::Denied, CREDENTIALS),
    ("UnauthorizedOperation", ErrorClass::Denied, PERMISSION),
    ("AccessDenied", ErrorClass::Denied, PERMISSION),
    ("AccessDeniedException", ErrorClass::Denied, PERMISSION),
    ("OperationNotPermitted", ErrorClass::Denied, "the resource is managed by another AWS service"),
    // Not there.
    ("InvalidAddress.NotFound", ErrorClass::NotFound, ALLOCATION),
    ("InvalidAddressID.NotFound", ErrorClass::NotFound, ALLOCATION),
    ("InvalidAllocationID.NotFound", ErrorClass::NotFound, ALLOCATION),
    ("InvalidAssociationID.NotFound", ErrorClass::NotFound, ""),
    ("InvalidAttachmentID.NotFound", ErrorClass::NotFound, INTERFACE),
    ("InvalidInstanceID.NotFound", ErrorClass::NotFound, "the gateway's instance is gone"),
    ("InvalidNetworkInterfaceID.NotFound", ErrorClass::NotFound, INTERFACE),
    ("InvalidNetworkInterface.NotFound", ErrorClass::NotFound, INTERFACE),
    ("InvalidSubnetID.NotFound", ErrorClass::NotFound, "the gateway's subnet is gone"),
    ("InvalidSubnet.NotFound", ErrorClass::NotFound, "the gateway's subnet is gone"),
    ("InvalidVpcID.NotFound", ErrorClass::NotFound, "the gateway's VPC is gone"),
    ("Gateway.NotAttached", ErrorClass::Invalid, "attach an internet gateway to the gateways' VPC"),
    // Somebody else has it.
    ("InvalidIPAddress.InUse", ErrorClass::Conflict, "another interface has the address"),
    ("InvalidNetworkInterface.InUse", ErrorClass::Conflict, ""),
    ("Resource.AlreadyAssociated", ErrorClass::Conflict, "something else uses the Elastic IP"),
    ("Resource.AlreadyAssigned", ErrorClass::Conflict, "another interface has the address"),
    ("IncorrectState", ErrorClass::Conflict, ""),
    ("IncorrectInstanceState", ErrorClass::Conflict, ""),
    ("InvalidInstanceID", ErrorClass::Conflict, "the instance is starting or ending"),
    ("InvalidInstanceState", ErrorClass::Conflict, ""),
    ("InvalidState", ErrorClass::Conflict, ""),
    ("ConcurrentCreateRouteError", ErrorClass::Conflict, ""),
    ("IdempotentParameterMismatch", ErrorClass::Conflict, ""),
    (
        "InvalidAddress.Locked",
        ErrorClass::Denied,
        "unlock the Elastic IP: AWS Support has locked it",
    ),
    ("AddressInUse", ErrorClass::Conflict, "another interface has the address"),
    // Limits.
    ("AddressLimitExceeded", ErrorClass::Quota, "have the quota of Elastic IPs raised"),
    (
        "InsufficientFreeAddressesInSubnet",
        ErrorClass::Quota,
        "free addresses in the gateway's subnet",
    ),
    ("InsufficientCidrBlocks", ErrorClass::Quota, "free addresses in the gateway's subnet"),
    ("NetworkInterfaceLimitExceeded", ErrorClass::Quota, LARGER),
    ("PrivateIpAddressLimitExceeded", ErrorClass::Quota, LARGER),
    ("Ipv6AddressLimitExceeded", ErrorClass::Quota, LARGER),
    ("ResourceLimitExceeded", ErrorClass::Quota, "have the quota raised"),
    ("RequestResourceCountExceeded", ErrorClass::Invalid, ""),
    ("FilterLimitExceeded", ErrorClass::Invalid, ""),
    // Too much at once.
    ("BandwidthLimitExceeded", THROTTLED, ""),
    ("EC2ThrottledException", THROTTLED, ""),
    ("LimitExceededException", THROTTLED, ""),
    ("PriorRequestNotComplete", THROTTLED, ""),
    ("ProvisionedThroughputExceededException", THROTTLED, ""),
    ("RequestLimitExceeded", THROTTLED, ""),
    ("RequestThrottled", THROTTLED, ""),
    ("RequestThrottledException", THROTTLED, ""),
    ("SlowDown", THROTTLED, ""),
    ("ThrottledException", THROTTLED, ""),
    ("Throttling", THROTTLED, ""),
    ("ThrottlingException", THROTTLED, ""),
    ("TooManyRequestsException", THROTTLED, ""),
    ("TransactionInProgressException", THROTTLED, ""),
    // AWS's own trouble.
    ("InternalError", ErrorClass::Transient, ""),
    ("InternalFailure", ErrorClass::Transient, ""),
    ("InternalException", ErrorClass::Transient, ""),
    ("InternalServerError", ErrorClass::Transient, ""),
    ("RequestTimeout", ErrorClass::Transient, ""),
    ("RequestTimeoutException", ErrorClass::Transient, ""),
    ("ServiceUnavailable", ErrorClass::Transient, ""),
    ("ServiceUnavailableException", ErrorClass::Transient, ""),
    ("Unavailable", ErrorClass::Transient, ""),
    // The request makes no sense there.
    ("ActionNotSupported", ErrorClass::Invalid, ""),
    ("InvalidAction", ErrorClass::Invalid, "the endpoint is not EC2's"),
    ("InvalidAddress.Malformed", ErrorClass::Invalid, ""),
    ("InvalidAddressID.Malformed", ErrorClass::Invalid, ""),
    ("InvalidAllocationID.Malformed", ErrorClass::Invalid, ""),
    ("InvalidAssociationID.Malformed", ErrorClass::Invalid, ""),
    ("InvalidCharacter", ErrorClass::Invalid, ""),
    ("InvalidFilter", ErrorClass::Invalid, ""),
    ("InvalidInput", ErrorClass::Invalid, ""),
    ("InvalidInstanceID.Malformed", ErrorClass::Invalid, "check the node's provider id"),
    ("InvalidInstanceID.NotLinkable", ErrorClass::Invalid, ""),
    ("InvalidInstanceType", ErrorClass::Invalid, ""),
    ("InvalidInterface.IpAddressLimitExceeded", ErrorClass::Quota, LARGER),
    ("InvalidNetworkInterfaceID.Malformed", ErrorClass::Invalid, ""),
    ("InvalidNetworkInterfaceId.Malformed", ErrorClass::Invalid, ""),
    ("InvalidNextToken", ErrorClass::Transient, ""),
    ("InvalidPaginationToken", ErrorClass::Transient, ""),
    ("InvalidParameter", ErrorClass::Invalid, ""),
    ("InvalidParameterCombination", ErrorClass::Invalid, ""),
    ("InvalidParameterValue", ErrorClass::Invalid, ""),
    ("InvalidParameterDependency", ErrorClass::Invalid, ""),
    ("InvalidQueryParameter", ErrorClass::Invalid, ""),
    ("InvalidSubnetID.Malformed", ErrorClass::Invalid, ""),
    ("MalformedQueryString", ErrorClass::Invalid, ""),
    ("MissingAction", ErrorClass::Invalid, ""),
    ("MissingParameter", ErrorClass::Invalid, ""),
    ("NonEBSInstance", ErrorClass::Invalid, ""),
    ("NoSuchVersion", ErrorClass::Invalid, "the endpoint is not EC2's"),
    ("OperationNotSupported", ErrorClass::Invalid, ""),
    ("UnknownParameter", ErrorClass::Invalid, ""),
    ("UnsupportedHibernationConfiguration", ErrorClass::Invalid, ""),
    ("UnsupportedOperation", ErrorClass::Invalid, ""),
    ("UnsupportedProtocol", ErrorClass::Invalid, ""),
    ("Unsupported", ErrorClass::Invalid, ""),
    ("ValidationError", ErrorClass::Invalid, ""),
];

/// Codes that one address of a list can bring upon all of it, or that a shorter list may not have.
const OF_ONE: [&str; 8] = [
    "AddressInUse",
    "InsufficientFreeAddressesInSubnet",
    "InvalidIPAddress.InUse",
    "InvalidInterface.IpAddressLimitExceeded",
    "InvalidParameter",
    "InvalidParameterValue",
    "PrivateIpAddressLimitExceeded",
    "Resource.AlreadyAssigned",
];

/// A call that did not succeed.
#[derive(Clone, Debug, thiserror::Error)]
#[error("{operation}: {message}{}", hint(remedy))]
pub(crate) struct CallFailure {
    /// The EC2 action.
    pub operation: &'static str,
    pub class: ErrorClass,
    /// EC2's code, where it answered.
    pub code: Option<String>,
    /// EC2's words, its request's id and what else is known.
    pub message: String,
    pub remedy: &'static str,
    /// It has certainly changed nothing.
    pub refused: bool,
}

impl CallFailure {
    /// The interface has no room for all of a list, or for one.
    pub fn is_interface_full(&self) -> bool {
        self.code.as_deref() == Some("PrivateIpAddressLimitExceeded")
    }

    /// Such a refusal may be about some of the addresses of a list, not about the interface, the subnet, the
    /// account or EC2.
    pub fn is_of_one(&self) -> bool {
        let code = self.code.as_deref();
        self.refused && code.is_some_and(|code| OF_ONE.contains(&code))
    }
}

fn hint(remedy: &str) -> String {
    if remedy.is_empty() { String::new() } else { format!(" ({remedy})") }
}

/// The class and remedy of a code; of one that nobody documented, by the HTTP status.
pub(crate) fn classify(code: Option<&str>, status: Option<u16>) -> (ErrorClass, &'static str) {
    let row = code.and_then(|code| CODES.iter().find(|(known, ..)| *known == code));
    match (row, status) {
        (Some((_, class, remedy)), _) => (*class, remedy),
        (None, Some(429 | 503)) => (ErrorClass::Throttled { after: None }, ""),
        (None, Some(401 | 403)) => (ErrorClass::Denied, PERMISSION),
        (None, Some(400..=499)) => (ErrorClass::Invalid, ""),
        (None, _) => (ErrorClass::Transient, ""),
    }
}

/// Whether such an answer says that nothing has changed. Who answers with trouble of his own may
/// have done it all the same.
pub(crate) fn refused(class: ErrorClass) -> bool {
    !matches!(class, ErrorClass::Transient)
}

/// The class with the time that this process stays away for after it.
pub(crate) fn with_pause(class: ErrorClass, pause: Duration) -> ErrorClass {
    match class {
        ErrorClass::Throttled { after } => {
            ErrorClass::Throttled { after: Some(after.map_or(pause, |after| after.max(pause))) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_one_row() {
        let mut codes: Vec<_> = CODES.iter().map(|(code, ..)| *code).collect();
        codes.sort_unstable();
        let all = codes.len();
        codes.dedup();
        assert_eq!(codes.len(), all, "a code is there twice");
    }

    #[test]
    fn codes_have_the_class_that_their_pages_describe() {
        for (code, class) in [
            ("UnauthorizedOperation", ErrorClass::Denied),
            ("AuthFailure", ErrorClass::Denied),
            ("RequestExpired", ErrorClass::Denied),
            ("RequestLimitExceeded", THROTTLED),
            ("InternalError", ErrorClass::Transient),
            ("Unavailable", ErrorClass::Transient),
            ("InvalidInstanceID.NotFound", ErrorClass::NotFound),
            ("InvalidNetworkInterfaceID.NotFound", ErrorClass::NotFound),
            ("InvalidAllocationID.NotFound", ErrorClass::NotFound),
            ("InvalidAssociationID.NotFound", ErrorClass::NotFound),
            ("InvalidInstanceID.Malformed", ErrorClass::Invalid),
            ("InvalidParameterValue", ErrorClass::Invalid),
            ("Resource.AlreadyAssociated", ErrorClass::Conflict),
            ("PrivateIpAddressLimitExceeded", ErrorClass::Quota),
            ("InsufficientFreeAddressesInSubnet", ErrorClass::Quota),
            ("AddressLimitExceeded", ErrorClass::Quota),
        ] {
            assert_eq!(classify(Some(code), Some(400)).0, class, "{code}");
        }
    }

    #[test]
    fn what_nobody_documented_goes_by_the_status() {
        for (status, class) in [
            (Some(400), ErrorClass::Invalid),
            (Some(403), ErrorClass::Denied),
            (Some(429), THROTTLED),
            (Some(503), THROTTLED),
            (Some(500), ErrorClass::Transient),
            (None, ErrorClass::Transient),
        ] {
            assert_eq!(classify(Some("Novelty"), status).0, class, "{status:?}");
            assert_eq!(classify(None, status).0, class, "{status:?}");
        }
        // A row counts more than the status that it comes with.
        assert_eq!(classify(Some("RequestLimitExceeded"), Some(500)).0, THROTTLED);
    }

    #[test]
    fn what_waits_for_a_person_says_what_to_do() {
        for (code, class, remedy) in CODES {
            let waits = matches!(class, ErrorClass::Denied | ErrorClass::Quota);
            assert!(!waits || !remedy.is_empty(), "{code}");
            let failure = CallFailure {
                operation: "AssociateAddress",
                class: *class,
                code: Some((*code).into()),
                message: "EC2's words".into(),
                remedy,
                refused: true,
            };
            let text = failure.to_string();
            assert!(text.contains("EC2's words") && text.contains(remedy), "{text}");
        }
    }

    #[test]
    fn what_one_address_of_a_list_can_bring_about_is_known() {
        for code in OF_ONE {
            assert!(CODES.iter().any(|(known, ..)| *known == code), "{code}");
        }
    }

    #[test]
    fn only_trouble_of_its_own_may_have_changed_something() {
        for (_, class, _) in CODES {
            assert_eq!(refused(*class), *class != ErrorClass::Transient);
        }
        assert_eq!(
            with_pause(THROTTLED, Duration::from_secs(2)),
            ErrorClass::Throttled { after: Some(Duration::from_secs(2)) }
        );
        assert_eq!(with_pause(ErrorClass::Quota, Duration::from_secs(2)), ErrorClass::Quota);
    }
}
