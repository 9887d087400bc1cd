//! How EC2 is reached and how it is treated.

use std::collections::BTreeMap;
use std::time::Duration;

/// Options of the provider; `Options::default()` suits EC2.
#[derive(Clone, Debug, PartialEq)]
pub struct AwsOptions {
    /// The region, such as `eu-central-1`; `None`: by the SDK's default chain (`AWS_REGION`, the
    /// profile, the instance's metadata).
    pub region: Option<String>,
    /// EC2's endpoint, such as that of a VPC endpoint; `None`: the region's.
    pub endpoint: Option<String>,
    /// For a connection to be there.
    pub connect_timeout: Duration,
    /// For one attempt of a call.
    pub attempt_timeout: Duration,
    /// For a call with what the SDK repeats.
    pub call_timeout: Duration,
    /// Attempts of a call by the SDK, the first one included.
    pub attempts: u32,
    /// Calls a second in the long run, of all kinds; above 0.
    pub max_calls_per_second: f64,
    /// Of the limits that EC2 documents for each action, how much this process may use; above 0. 1: all; more
    /// where AWS has raised them for the account.
    pub limits: f64,
    /// How long a call waits for others with which it can be one.
    pub collect: Duration,
    /// How long a change is waited for to be seen; then the call fails as transient.
    pub settle: Duration,
    /// How long after a change a read may still show what was before it; longer than a call takes.
    /// For as long, a change that somebody else makes to the same address is not seen.
    pub horizon: Duration,
    /// How long an instance's type and a subnet's ranges are believed.
    pub cache: Duration,
    /// An interface with all of these tags is Egret's own, and every secondary address there is.
    pub interface_tags: BTreeMap<String, String>,
    /// Use an interface that the VPC CNI manages all the same: it runs, but hands out nothing.
    pub managed_interfaces: bool,
}

impl Default for AwsOptions {
    fn default() -> Self {
        Self {
            region: None,
            endpoint: None,
            connect_timeout: Duration::from_secs(3),
            attempt_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(30),
            attempts: 3,
            max_calls_per_second: 20.0,
            limits: 1.0,
            collect: Duration::from_millis(20),
            settle: Duration::from_secs(20),
            horizon: Duration::from_secs(60),
            cache: Duration::from_secs(900),
            interface_tags: [("egret.dev/gateway".to_owned(), "true".to_owned())].into(),
            managed_interfaces: false,
        }
    }
}
