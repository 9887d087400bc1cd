use std::net::{IpAddr, Ipv6Addr};

use egret_core::model::{AddressRange, Millis, Text, not_a_cidr};
use ipnet::IpNet;

/// Parses an IP address.
///
/// # Errors
/// A sentence where it is none, or an IPv4 address written as an IPv6 one.
pub fn parse_address(text: &str) -> Result<IpAddr, String> {
    visible(text)?;
    Text::from_text(text)
}

/// Parses an address of an object that is not Egret's: leading zeros are read in decimal, as
/// Kubernetes reads them (`ParseIPSloppy` of its package `net`).
///
/// # Errors
/// As of [`parse_address`].
pub(crate) fn lenient_address(text: &str) -> Result<IpAddr, String> {
    parse_address(text)
        .or_else(|message| parse_address(&without_leading_zeros(text)).map_err(|_| message))
}

/// Parses a CIDR of an object that is not Egret's, as [`lenient_address`] does.
///
/// # Errors
/// As of [`parse_cidr`].
pub(crate) fn lenient_cidr(text: &str) -> Result<Cidr, String> {
    parse_cidr(text)
        .or_else(|message| parse_cidr(&without_leading_zeros(text)).map_err(|_| message))
}

/// The text with no number of it beginning with a zero that could be left out; only that of an IPv4
/// address or CIDR, and of the prefix of an IPv6 one.
pub(crate) fn without_leading_zeros(text: &str) -> String {
    let number = |digits: &str| {
        let short = digits.trim_start_matches('0');
        if short.is_empty() && !digits.is_empty() { "0".to_owned() } else { short.to_owned() }
    };
    let (address, prefix) = text.split_once('/').map_or((text, None), |(a, b)| (a, Some(b)));
    let address = match address.contains(':') {
        true => address.to_owned(),
        false => address.split('.').map(number).collect::<Vec<_>>().join("."),
    };
    prefix.map_or_else(|| address.clone(), |prefix| format!("{address}/{}", number(prefix)))
}

/// Refuses what a person cannot see in a copied text. No address has anything but ASCII's printable
/// characters; a space is at most around the dash of a range.
fn visible(text: &str) -> Result<(), String> {
    match text.chars().all(|c| c.is_ascii_graphic()) {
        true => Ok(()),
        false => Err(invisible(text)),
    }
}

fn invisible(text: &str) -> String {
    format!("'{text}' has a space or a character that cannot be seen: type it anew")
}

/// A CIDR as written and as a range.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Cidr {
    /// The address and the prefix as written.
    pub written: IpNet,
}

impl Cidr {
    /// The range, with the bits beyond the prefix cleared.
    pub fn net(self) -> IpNet {
        self.written.trunc()
    }
}

/// Parses a CIDR; bits beyond the prefix are allowed, as in a NetworkPolicy.
///
/// # Errors
/// A sentence where it is none; for an address alone it says which prefix to write.
pub fn parse_cidr(text: &str) -> Result<Cidr, String> {
    visible(text)?;
    let written = Text::from_text(text).map(|written| Cidr { written })?;
    // Some programs read 010 as ten, others as eight.
    match without_leading_zeros(text) == text {
        true => Ok(written),
        false => Err(not_a_cidr(text)),
    }
}

/// Parses a range of a pool: a CIDR, `first-last`, or one address. The second value are the
/// addresses of it that are never given out: network and broadcast address of an IPv4 CIDR
/// shorter than /31 (RFC 3021 lets a /31 use both).
///
/// # Errors
/// A sentence where it is none of these, or holds addresses that no host can have.
pub fn parse_range(text: &str) -> Result<(AddressRange, Vec<IpAddr>), String> {
    let ends = text.split_once('-');
    let written = ends.map(|(first, last)| (first.trim_matches(' '), last.trim_matches(' ')));
    if let Some((first, last)) = written
        && (visible(first).is_err() || visible(last).is_err() || text.trim() != text)
    {
        return Err(invisible(text));
    }
    let (first, last, reserved) = if let Some((first, last)) = written {
        (parse_address(first)?, parse_address(last)?, Vec::new())
    } else if text.contains('/') {
        cidr_bounds(text)?
    } else {
        let address = parse_address(text)?;
        (address, address, Vec::new())
    };
    if first.is_ipv4() != last.is_ipv4() {
        return Err(format!("{text} begins in one family and ends in the other: split it in two"));
    }
    let range = AddressRange::new(first, last).ok_or_else(|| {
        let (first, last) = written.unwrap_or((text, text));
        format!("{text} ends below its beginning: write {last}-{first}")
    })?;
    for (special, what) in SPECIAL {
        let special: IpNet = special.parse().map_err(|_| format!("{special} is not a CIDR"))?;
        let outside = AddressRange::new(special.network(), special.broadcast());
        if outside.is_some_and(|outside| overlap(&outside, &range)) {
            return Err(format!("{text} holds {what} addresses ({special}): leave them out"));
        }
    }
    Ok((range, reserved))
}

/// Ranges that no egress address can come from (RFC 6890, RFC 4291).
const SPECIAL: [(&str, &str); 9] = [
    ("0.0.0.0/8", "unspecified"),
    ("127.0.0.0/8", "loopback"),
    ("169.254.0.0/16", "link-local"),
    ("224.0.0.0/4", "multicast"),
    ("240.0.0.0/4", "reserved"),
    ("::/128", "unspecified"),
    ("::1/128", "loopback"),
    ("fe80::/10", "link-local"),
    ("ff00::/8", "multicast"),
];

fn cidr_bounds(text: &str) -> Result<(IpAddr, IpAddr, Vec<IpAddr>), String> {
    let cidr = parse_cidr(text)?;
    let net = cidr.net();
    if net != cidr.written {
        return Err(format!(
            "{text} is an address inside a range: write {net} for the range or {} for the address",
            cidr.written.addr()
        ));
    }
    let (first, last) = (net.network(), net.broadcast());
    let reserved = match net {
        IpNet::V4(net) if net.prefix_len() < 31 => vec![first, last],
        _ => Vec::new(),
    };
    Ok((first, last, reserved))
}

/// True where the two ranges share an address.
pub(crate) fn overlap(one: &AddressRange, other: &AddressRange) -> bool {
    one.contains(other.first()) || other.contains(one.first())
}

/// Parses a duration as Go writes it, in whole milliseconds: `450ms`, `1h`, `1h30m`, `0s`.
///
/// # Errors
/// A sentence where it is none, or longer than a thousand years.
pub fn parse_duration(text: &str) -> Result<Millis, String> {
    Text::from_text(text)
}

/// The name of an `EgressAddress`, which is also its file's: a DNS name for both families, so IPv6
/// is written out in full, with dashes (`2001-0db8-0005-0000-0000-0000-0000-0010`).
pub(crate) fn object_name(address: IpAddr) -> String {
    match address {
        IpAddr::V4(address) => address.to_string(),
        IpAddr::V6(address) => full_form(address),
    }
}

fn full_form(address: Ipv6Addr) -> String {
    address.segments().map(|segment| format!("{segment:04x}")).join("-")
}
