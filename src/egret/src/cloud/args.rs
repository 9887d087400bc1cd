//! The clouds' flags. They are there in every build, so that a manifest that names them is
//! understood; without the feature no pool of that cloud is served.

use clap::Args;
use egret_core::model::{BadDuration, Millis};

/// How clouds are reached.
#[derive(Clone, Debug, Args)]
#[command(next_help_heading = "AWS")]
pub(crate) struct CloudArgs {
    /// The region, such as eu-central-1. Default: AWS_REGION, the profile, the instance's own.
    #[arg(long, value_name = "NAME")]
    pub(crate) aws_region: Option<String>,
    /// EC2's endpoint, such as that of a VPC endpoint. Default: the region's.
    #[arg(long, value_name = "URL")]
    pub(crate) aws_endpoint: Option<String>,
    /// A network interface with all of these tags is Egret's own; without one a gateway's primary
    /// interface is used. May be repeated.
    #[arg(
        long = "aws-interface-tag",
        value_name = "KEY=VALUE",
        value_parser = tag,
        default_value = "egret.dev/gateway=true"
    )]
    pub(crate) aws_interface_tags: Vec<(String, String)>,
    /// Use interfaces that the VPC CNI manages all the same: where it runs but hands out no address.
    #[arg(long)]
    pub(crate) aws_allow_managed_interfaces: bool,
    /// The most calls to EC2 in a second, in the long run: above 0.
    #[arg(long, value_name = "NUMBER", default_value_t = 20.0, value_parser = rate)]
    pub(crate) aws_max_calls_per_second: f64,
    /// How long one attempt of a call to EC2 may take; a call has three, and three times as long.
    #[arg(long, value_name = "DURATION", default_value = "10s", value_parser = timeout)]
    pub(crate) aws_call_timeout: Millis,
    /// Compute Engine's endpoint, such as that of Private Service Connect. Default: Google's.
    #[arg(long, value_name = "URL", help_heading = "Google Cloud")]
    pub(crate) gcp_endpoint: Option<String>,
    /// How long a call to Compute Engine may take; an operation may take longer.
    #[arg(
        long,
        value_name = "DURATION",
        default_value = "10s",
        value_parser = timeout,
        help_heading = "Google Cloud"
    )]
    pub(crate) gcp_call_timeout: Millis,
}

fn tag(text: &str) -> Result<(String, String), String> {
    match text.split_once('=') {
        Some((key, value)) if !key.is_empty() => Ok((key.to_owned(), value.to_owned())),
        _ => Err("write KEY=VALUE, such as egret.dev/gateway=true".to_owned()),
    }
}

fn rate(text: &str) -> Result<f64, String> {
    match text.parse::<f64>() {
        Ok(rate) if rate.is_finite() && rate > 0.0 => Ok(rate),
        _ => Err("use a number above 0, such as 20".to_owned()),
    }
}

fn timeout(text: &str) -> Result<Millis, String> {
    let length: Millis = text.parse().map_err(|error: BadDuration| error.to_string())?;
    if (1_000..=60_000).contains(&length.0) {
        Ok(length)
    } else {
        Err("use a length from 1s to 1m".to_owned())
    }
}
