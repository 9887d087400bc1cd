use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;

use ipnet::IpNet;
use serde::de::{DeserializeOwned, Error as _};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{BadDuration, ClaimRef, Millis, NamespaceName, Timestamp};

/// A value that objects have as text: in JSON and YAML, not in datagrams and kept files.
pub trait Text: Sized {
    /// The text, which [`Text::from_text`] reads back exactly.
    fn to_text(&self) -> String;

    /// The value of a text.
    ///
    /// # Errors
    /// A sentence that has the text and says what to write instead.
    fn from_text(text: &str) -> Result<Self, String>;
}

impl Text for IpAddr {
    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let address: Self = text.parse().map_err(|_| {
            format!("{text} is not an IP address: write it like 203.0.113.17 or 2001:db8:5::11")
        })?;
        not_mapped(address, text)
    }
}

fn not_mapped(address: IpAddr, text: &str) -> Result<IpAddr, String> {
    match address {
        IpAddr::V6(mapped) => match mapped.to_ipv4_mapped() {
            Some(plain) => Err(format!("{text} is an IPv4 address in IPv6 form: write {plain}")),
            None => Ok(address),
        },
        IpAddr::V4(_) => Ok(address),
    }
}

/// Bits beyond the prefix are allowed, as in a NetworkPolicy, and stay.
impl Text for IpNet {
    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        if let Ok(address) = text.parse::<IpAddr>() {
            not_mapped(address, text)?;
            // Whoever writes 0.0.0.0 means everything, not that address.
            let prefix = match address {
                _ if address.is_unspecified() => 0,
                IpAddr::V4(_) => 32,
                IpAddr::V6(_) => 128,
            };
            return Err(format!("{text} is an address, not a CIDR: write {text}/{prefix}"));
        }
        let written: Self = text.parse().map_err(|_| not_a_cidr(text))?;
        match not_mapped(written.addr(), text) {
            Ok(_) => Ok(written),
            Err(sentence) => Err(format!("{sentence} and a prefix that is 96 less")),
        }
    }
}

/// The sentence for a text that should be a CIDR.
pub fn not_a_cidr(text: &str) -> String {
    format!("{text} is not a CIDR: write it like 198.51.100.0/24 or 2001:db8:6::/64")
}

impl Text for Millis {
    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse().map_err(|error: BadDuration| error.to_string())
    }
}

/// RFC 3339, UTC, to the millisecond.
impl Text for Timestamp {
    fn to_text(&self) -> String {
        let bounded = self.0.clamp(
            jiff::Timestamp::MIN.as_millisecond() + 1,
            jiff::Timestamp::MAX.as_millisecond() - 1,
        );
        jiff::Timestamp::from_millisecond(bounded).unwrap_or_default().to_string()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        text.parse::<jiff::Timestamp>()
            .map(|time| Self(time.as_millisecond()))
            .map_err(|_| format!("{text} is not a time: write it like 2026-05-04T12:00:00Z"))
    }
}

/// `payments/bank`, or `bank` for the cluster-wide kind.
impl Text for ClaimRef {
    fn to_text(&self) -> String {
        self.to_string()
    }

    fn from_text(text: &str) -> Result<Self, String> {
        let (namespace, name) = match text.split_once('/') {
            Some((namespace, name)) => (Some(NamespaceName::new(namespace)), name),
            None => (None, text),
        };
        Ok(Self { namespace, name: name.to_owned() })
    }
}

/// One value as text.
pub(super) fn serialize<T: Text, S: Serializer>(value: &T, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(&value.to_text())
}

/// One value from text.
pub(super) fn deserialize<'de, T: Text, D: Deserializer<'de>>(from: D) -> Result<T, D::Error> {
    let text = String::deserialize(from)?;
    T::from_text(&text).map_err(D::Error::custom)
}

/// One value: as text where people read, else as its type has it.
struct AsText<T>(T);

impl<T: Text + Serialize> Serialize for AsText<&T> {
    fn serialize<S: Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
        if to.is_human_readable() { serialize(self.0, to) } else { self.0.serialize(to) }
    }
}

impl<'de, T: Text + DeserializeOwned> Deserialize<'de> for AsText<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        let value = if from.is_human_readable() { deserialize(from) } else { T::deserialize(from) };
        value.map(Self)
    }
}

/// A list of values, in their order.
pub(super) mod list {
    use super::*;

    pub(in crate::model) fn serialize<T: Text + Serialize, S: Serializer>(
        values: &[T],
        to: S,
    ) -> Result<S::Ok, S::Error> {
        to.collect_seq(values.iter().map(AsText))
    }

    pub(in crate::model) fn deserialize<'de, T, D>(from: D) -> Result<Vec<T>, D::Error>
    where
        T: Text + DeserializeOwned,
        D: Deserializer<'de>,
    {
        let values = Vec::<AsText<T>>::deserialize(from)?;
        Ok(values.into_iter().map(|AsText(value)| value).collect())
    }
}

/// A set of values, in order of their texts.
pub(super) mod set {
    use super::*;

    pub(in crate::model) fn serialize<T: Text, S: Serializer>(
        values: &BTreeSet<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let texts: BTreeSet<String> = values.iter().map(Text::to_text).collect();
        to.collect_seq(texts)
    }

    pub(in crate::model) fn deserialize<'de, T, D>(from: D) -> Result<BTreeSet<T>, D::Error>
    where
        T: Text + DeserializeOwned + Ord,
        D: Deserializer<'de>,
    {
        list::deserialize(from).map(BTreeSet::from_iter)
    }
}

/// One value, or none.
pub(super) mod option {
    use super::*;

    pub(in crate::model) fn serialize<T: Text + Serialize, S: Serializer>(
        value: &Option<T>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        value.as_ref().map(AsText).serialize(to)
    }

    pub(in crate::model) fn deserialize<'de, T, D>(from: D) -> Result<Option<T>, D::Error>
    where
        T: Text + DeserializeOwned,
        D: Deserializer<'de>,
    {
        let value = Option::<AsText<T>>::deserialize(from)?;
        Ok(value.map(|AsText(value)| value))
    }
}

/// Values by keys that are text, in order of the texts.
pub(super) mod map {
    use super::*;

    pub(in crate::model) fn serialize<K: Text, V: Serialize, S: Serializer>(
        values: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let texts = values.iter().map(|(key, value)| (key.to_text(), value));
        to.collect_map(texts.collect::<BTreeMap<_, _>>())
    }

    pub(in crate::model) fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Text + Ord,
        V: DeserializeOwned,
        D: Deserializer<'de>,
    {
        let texts = BTreeMap::<String, V>::deserialize(from)?;
        let key = |(key, value): (String, V)| Ok((K::from_text(&key)?, value));
        texts.into_iter().map(key).collect::<Result<_, String>>().map_err(D::Error::custom)
    }
}

/// Values by keys, all of them text.
pub(super) mod map_of_texts {
    use super::*;

    pub(in crate::model) fn serialize<K: Text, V: Text, S: Serializer>(
        values: &BTreeMap<K, V>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let texts = values.iter().map(|(key, value)| (key.to_text(), value.to_text()));
        to.collect_map(texts.collect::<BTreeMap<_, _>>())
    }

    pub(in crate::model) fn deserialize<'de, K, V, D>(from: D) -> Result<BTreeMap<K, V>, D::Error>
    where
        K: Text + Ord,
        V: Text,
        D: Deserializer<'de>,
    {
        let texts: BTreeMap<K, String> = map::deserialize(from)?;
        let value = |(key, value): (K, String)| Ok((key, V::from_text(&value)?));
        texts.into_iter().map(value).collect::<Result<_, String>>().map_err(D::Error::custom)
    }
}

/// Sets of values by keys, all of them text.
pub(super) mod map_of_sets {
    use super::*;

    pub(in crate::model) fn serialize<K: Text, T: Text, S: Serializer>(
        values: &BTreeMap<K, BTreeSet<T>>,
        to: S,
    ) -> Result<S::Ok, S::Error> {
        let texts = |(key, values): (&K, &BTreeSet<T>)| {
            (key.to_text(), values.iter().map(Text::to_text).collect())
        };
        to.collect_map(values.iter().map(texts).collect::<BTreeMap<_, BTreeSet<String>>>())
    }

    pub(in crate::model) fn deserialize<'de, K, T, D>(
        from: D,
    ) -> Result<BTreeMap<K, BTreeSet<T>>, D::Error>
    where
        K: Text + Ord,
        T: Text + DeserializeOwned + Ord,
        D: Deserializer<'de>,
    {
        let sets: BTreeMap<K, Vec<AsText<T>>> = map::deserialize(from)?;
        let set = |values: Vec<AsText<T>>| values.into_iter().map(|AsText(value)| value).collect();
        Ok(sets.into_iter().map(|(key, values)| (key, set(values))).collect())
    }
}
