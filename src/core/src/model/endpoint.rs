use std::net::IpAddr;

use ipnet::IpNet;
use serde::{Deserialize, Serialize};

use super::Text;

/// The annotation of a Node that says where its tunnel ends.
pub const ENDPOINT_ANNOTATION: &str = "egret.dev/tunnel-endpoint";

/// Where a node's tunnel ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub enum EndpointChoice {
    /// At the address of its default route.
    Uplink,
    /// At the addresses by which Kubernetes knows it.
    InternalIP,
    /// At its address in one of these, the best first; a single address is a range of its own.
    Within(Vec<IpNet>),
}

/// `Uplink`, `InternalIP`, or addresses and subnets, separated by commas.
impl Text for EndpointChoice {
    fn to_text(&self) -> String {
        match self {
            Self::Uplink => "Uplink".to_owned(),
            Self::InternalIP => "InternalIP".to_owned(),
            Self::Within(nets) => nets.iter().map(written).collect::<Vec<_>>().join(","),
        }
    }

    fn from_text(text: &str) -> Result<Self, String> {
        match text.trim() {
            "Uplink" => Ok(Self::Uplink),
            "InternalIP" => Ok(Self::InternalIP),
            nets => nets
                .split(',')
                .map(|part| of_a_node(part.trim()))
                .collect::<Result<_, _>>()
                .map(Self::Within),
        }
    }
}

fn written(net: &IpNet) -> String {
    match net.prefix_len() == net.max_prefix_len() {
        true => net.addr().to_string(),
        false => net.to_string(),
    }
}

/// An address, as a range of its own, or a subnet.
///
/// # Errors
/// A sentence that has the text and says what to write instead.
pub fn address_or_subnet(text: &str) -> Result<IpNet, String> {
    if text.parse::<IpAddr>().is_ok() {
        return IpAddr::from_text(text).map(IpNet::from);
    }
    let net: IpNet = text.parse().map_err(|_| {
        format!(
            "{text:?} is neither an address, such as 10.1.0.5, nor a subnet, such as 10.1.0.0/16"
        )
    })?;
    if net.addr() != net.network() {
        let (address, subnet) = (net.addr(), net.trunc());
        return Err(format!("{text}: write the address {address} or the subnet {subnet}"));
    }
    Ok(net)
}

fn of_a_node(text: &str) -> Result<IpNet, String> {
    let net =
        address_or_subnet(text).map_err(|why| format!("{why}; or write InternalIP or Uplink"))?;
    let address = net.addr();
    let is_single = net.prefix_len() == net.max_prefix_len();
    if is_single && (address.is_unspecified() || address.is_loopback() || address.is_multicast()) {
        return Err(format!("{text} is the address of no node: write one, such as 10.1.0.5"));
    }
    Ok(net)
}

/// What the annotation of a Node says.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum EndpointAnnotation {
    /// There is none.
    #[default]
    Absent,
    /// Nobody can tell: what was known before stays.
    Unread,
    /// This.
    Says(EndpointChoice),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_choice_is_read_as_it_is_written() {
        for text in
            ["Uplink", "InternalIP", "10.1.0.5", "10.1.0.0/16,fd00::/64", "10.1.0.5,fd00::5"]
        {
            assert_eq!(EndpointChoice::from_text(text).unwrap().to_text(), text);
        }
        assert_eq!(
            EndpointChoice::from_text(" 10.1.0.0/16, fd00::5 ").unwrap().to_text(),
            "10.1.0.0/16,fd00::5"
        );
    }

    #[test]
    fn what_cannot_be_meant_is_refused_with_what_to_write() {
        for (text, remedy) in [
            ("", "InternalIP"),
            ("internalip", "InternalIP"),
            ("eth0", "10.1.0.0/16"),
            ("10.1.0.5/16", "10.1.0.0/16"),
            ("10.1.0.5,", "InternalIP"),
            ("0.0.0.0", "10.1.0.5"),
            ("::1", "10.1.0.5"),
            ("::ffff:10.1.0.5", "10.1.0.5"),
        ] {
            let refused = EndpointChoice::from_text(text).unwrap_err();
            assert!(refused.contains(remedy), "{text}: {refused}");
        }
    }
}
