//! The fields that a type takes, as its own `Deserialize` says them: there is no list to keep.

use std::cell::Cell;

use serde::de::value::{Error, MapDeserializer, SeqDeserializer};
use serde::de::{DeserializeOwned, Deserializer, Error as _, IntoDeserializer, Visitor};
use serde::forward_to_deserialize_any;

/// The fields that a `T` takes at `path`, such as `destinations[1]`, in order of their names; none
/// where no structure is there. With the path empty, those of `T` itself.
pub fn fields_at<T: DeserializeOwned>(path: &str) -> Vec<&'static str> {
    let keys: Vec<&str> = path
        .split('.')
        .map(|part| part.split('[').next().unwrap_or(part))
        .filter(|key| !key.is_empty())
        .collect();
    let found = Cell::new(&[] as &'static [&'static str]);
    // Always an error, since no value is there: what was found on the way counts.
    let _ = T::deserialize(Probe { keys: &keys, found: &found });
    let mut fields = found.get().to_vec();
    fields.sort_unstable();
    fields
}

/// Holds nothing but the way to the structure whose fields are asked for.
#[derive(Clone, Copy)]
struct Probe<'a> {
    keys: &'a [&'a str],
    found: &'a Cell<&'static [&'static str]>,
}

impl<'de> Deserializer<'de> for Probe<'_> {
    type Error = Error;

    fn deserialize_any<V: Visitor<'de>>(self, _: V) -> Result<V::Value, Error> {
        Err(Error::custom("no value"))
    }

    fn deserialize_option<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_some(self)
    }

    fn deserialize_seq<V: Visitor<'de>>(self, visitor: V) -> Result<V::Value, Error> {
        visitor.visit_seq(SeqDeserializer::new(std::iter::once(self)))
    }

    fn deserialize_struct<V: Visitor<'de>>(
        self,
        _: &'static str,
        fields: &'static [&'static str],
        visitor: V,
    ) -> Result<V::Value, Error> {
        let Some((key, keys)) = self.keys.split_first() else {
            self.found.set(fields);
            return self.deserialize_any(visitor);
        };
        visitor.visit_map(MapDeserializer::new(std::iter::once((*key, Self { keys, ..self }))))
    }

    forward_to_deserialize_any! {
        bool i8 i16 i32 i64 i128 u8 u16 u32 u64 u128 f32 f64 char str string bytes byte_buf unit
        unit_struct newtype_struct tuple tuple_struct map enum identifier ignored_any
    }
}

impl<'de> IntoDeserializer<'de, Error> for Probe<'_> {
    type Deserializer = Self;

    fn into_deserializer(self) -> Self {
        self
    }
}

#[cfg(test)]
mod tests {
    use egret_api as api;

    use super::*;

    #[test]
    fn fields_are_found_through_options_and_lists() {
        let fields = fields_at::<api::StaticEgressIPSpec>;
        assert_eq!(fields("destinations[3]"), ["cidr", "except"]);
        assert_eq!(fields("podSelector.matchExpressions[0]"), ["key", "operator", "values"]);
        assert_eq!(fields("whenUnavailable"), [""; 0]);
        assert_eq!(fields("podSelector.matchLabels"), [""; 0]);
        assert_eq!(fields("nothing.of.this"), [""; 0]);
        let rule = fields_at::<api::nirmata::StaticEgressIPSpec>("rules[0]");
        assert_eq!(rule, ["cidr", "egressip", "service-name"]);
    }

    #[cfg(feature = "kubernetes")]
    #[test]
    fn they_are_those_of_the_schema() {
        use serde_json::Value;

        fn compare<T: DeserializeOwned>(path: &str, schema: &Value) -> usize {
            let Some(fields) = schema["properties"].as_object() else { return 0 };
            assert_eq!(fields_at::<T>(path), fields.keys().collect::<Vec<_>>(), "at {path:?}");
            let below = fields.iter().map(|(name, schema)| {
                let inner = if schema["items"].is_object() { &schema["items"] } else { schema };
                compare::<T>(&format!("{path}.{name}"), inner)
            });
            1 + below.sum::<usize>()
        }
        fn spec<T: DeserializeOwned>(crds: &[Value], kind: &str) -> usize {
            let of_kind = |crd: &&Value| crd["spec"]["names"]["kind"] == kind;
            let crd = crds.iter().find(of_kind).unwrap();
            let schema = &crd["spec"]["versions"][0]["schema"]["openAPIV3Schema"];
            compare::<T>("", &schema["properties"]["spec"])
        }
        let value = |crd| serde_json::to_value(crd).unwrap();
        let crds: Vec<Value> = api::crds().into_iter().map(value).collect();
        assert!(spec::<api::EgressPoolSpec>(&crds, "EgressPool") > 6);
        assert!(spec::<api::StaticEgressIPSpec>(&crds, "StaticEgressIP") > 3);
        assert!(spec::<api::ClusterStaticEgressIPSpec>(&crds, "ClusterStaticEgressIP") > 4);
        let nirmata = [value(api::nirmata_crd())];
        assert_eq!(spec::<api::nirmata::StaticEgressIPSpec>(&nirmata, "StaticEgressIP"), 2);
    }
}
