//! The host's CNI configuration as text: our entry in and out, every other byte as it was.

use std::path::PathBuf;

use egret_cni::TYPE;
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

/// Why a configuration is left as it is.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub(crate) enum UnusableConflist {
    #[error("is not JSON: {0}")]
    Json(String),
    #[error(
        "is of one plugin, to which none can be chained: make it a .conflist with its content in \
         `plugins`"
    )]
    Single,
    #[error("has no plugin")]
    Empty,
}

/// What our entry says to the plugin.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct PluginEntry {
    /// As the host sees it, and so is the guard's file.
    pub(crate) socket: PathBuf,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(crate) guard: Option<PathBuf>,
    /// A pod whose guard cannot be loaded does not start.
    #[serde(default, rename = "failClosed", skip_serializing_if = "is_false")]
    pub(crate) fail_closed: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_false(value: &bool) -> bool {
    !value
}

/// The texts of `plugins`, borrowed, so that their places are known.
struct Conflist<'a> {
    plugins: Option<Vec<&'a RawValue>>,
}

#[derive(Deserialize)]
struct Plugin {
    #[serde(default, rename = "type")]
    kind: Value,
}

impl<'de: 'a, 'a> Deserialize<'de> for Conflist<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Keys;
        impl<'de> Visitor<'de> for Keys {
            type Value = Conflist<'de>;

            fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut plugins = None;
                while let Some(key) = map.next_key::<String>()? {
                    if key == "plugins" {
                        plugins = Some(map.next_value()?);
                    } else {
                        map.next_value::<&RawValue>()?;
                    }
                }
                Ok(Conflist { plugins })
            }
        }
        deserializer.deserialize_map(Keys)
    }
}

/// The text with our entry, as the last plugin where it was not there; equal to `text` where it was.
pub(crate) fn with(text: &str, entry: &PluginEntry) -> Result<String, UnusableConflist> {
    let ours: Vec<_> = parse(text)?.into_iter().filter_map(own_entry).collect();
    if let [Some(there)] = &ours[..]
        && there == entry
    {
        return Ok(text.to_owned());
    }
    let clean = without(text)?;
    let plugins = parse(&clean)?;
    let last = plugins.last().ok_or(UnusableConflist::Empty)?;
    let (start, end) = place(&clean, last);
    // Set off from the plugin before as that one is from what is before it.
    let space = &clean[clean[..start].trim_end().len()..start];
    let (head, tail) = clean.split_at(end);
    let entry = serde_json::to_string(&Typed { kind: TYPE, entry })
        .map_err(|error| UnusableConflist::Json(error.to_string()))?;
    Ok(format!("{head},{space}{entry}{tail}"))
}

#[derive(Serialize)]
struct Typed<'a> {
    #[serde(rename = "type")]
    kind: &'static str,
    #[serde(flatten)]
    entry: &'a PluginEntry,
}

/// The text without our entry; equal to `text` where it has none.
pub(crate) fn without(text: &str) -> Result<String, UnusableConflist> {
    let mut text = text.to_owned();
    loop {
        let plugins = parse(&text)?;
        let Some(ours) = plugins.iter().position(|plugin| own_entry(plugin).is_some()) else {
            break;
        };
        let (start, end) = place(&text, plugins[ours]);
        // With the comma before it, or after it where it is the first.
        let cut = if ours > 0 {
            place(&text, plugins[ours - 1]).1..end
        } else {
            start..plugins.get(1).map_or(end, |next| place(&text, next).0)
        };
        text.replace_range(cut, "");
    }
    Ok(text)
}

fn parse(text: &str) -> Result<Vec<&RawValue>, UnusableConflist> {
    let conflist: Conflist<'_> =
        serde_json::from_str(text).map_err(|error| UnusableConflist::Json(error.to_string()))?;
    conflist.plugins.ok_or(UnusableConflist::Single)
}

/// What an entry says, where it is ours; `None` inside where that cannot be read.
fn own_entry(plugin: &RawValue) -> Option<Option<PluginEntry>> {
    let Plugin { kind } = serde_json::from_str(plugin.get()).ok()?;
    (kind.as_str() == Some(TYPE)).then(|| serde_json::from_str(plugin.get()).ok())
}

/// From where to where a value is in the text that it was borrowed from.
fn place(text: &str, value: &RawValue) -> (usize, usize) {
    let start = value.get().as_ptr().addr() - text.as_ptr().addr();
    (start, start + value.get().len())
}

#[cfg(test)]
mod tests {
    use super::*;

    const SOCKET: &str = "/run/egret/cni.sock";

    const PRETTY: &str = r#"{
  "name": "k8s-pod-network",
  "cniVersion": "0.3.1",
  "plugins": [
    {
      "type": "calico", "mtu": 0,
      "ipam": { "type": "calico-ipam" },
      "a" : [1,  2]
    },
    {"type": "portmap", "snat": true, "capabilities": {"portMappings": true}}
  ],
  "disableCheck" : false
}
"#;

    fn at(socket: &str) -> PluginEntry {
        let guard = Some("/var/lib/egret/guard.json".into());
        PluginEntry { socket: socket.into(), guard, fail_closed: false }
    }

    fn put(text: &str) -> String {
        with(text, &at(SOCKET)).unwrap()
    }

    #[test]
    fn our_entry_comes_last_and_every_other_byte_stays() {
        let entry = r#"{"type":"egret-cni","socket":"/run/egret/cni.sock","guard":"/var/lib/egret/guard.json"}"#;
        let want = PRETTY.replace("true}}\n  ]", &format!("true}}}},\n    {entry}\n  ]"));
        assert_eq!(put(PRETTY), want);
        let plain = r#"{"cniVersion":"1.0.0","plugins":[{"type":"bridge"}],"name":"x"}"#;
        let want = r#"{"cniVersion":"1.0.0","plugins":[{"type":"bridge"},ENTRY],"name":"x"}"#;
        assert_eq!(put(plain), want.replace("ENTRY", entry));
    }

    #[test]
    fn in_twice_is_in_once_and_out_is_as_before() {
        for text in [PRETTY, r#"{"plugins":[{"type":"ptp"}]}"#, r#"{"plugins": [ {} ,3 ] }"#] {
            let once = put(text);
            assert_ne!(once, text);
            assert_eq!(put(&once), once);
            assert_eq!(without(&once).unwrap(), text);
            assert_eq!(without(text).unwrap(), text);
            // Another socket replaces the entry.
            let other = with(&once, &at("/run/other.sock")).unwrap();
            assert!(other.contains("/run/other.sock") && !other.contains(SOCKET));
            assert_eq!(without(&other).unwrap(), text);
        }
    }

    #[test]
    fn an_entry_that_says_something_else_is_replaced() {
        let older = r#"{"plugins":[{},{"type":"egret-cni","socket":"/run/egret/cni.sock"}]}"#;
        let now = put(older);
        assert!(now.contains("guard.json") && !now.contains("failClosed"), "{now}");
        let closed = with(&now, &PluginEntry { fail_closed: true, ..at(SOCKET) }).unwrap();
        assert!(closed.contains(r#""failClosed":true"#), "{closed}");
        assert_eq!(put(&closed), now);
        assert_eq!(put(r#"{"plugins":[{},{"type":"egret-cni","socket":3}]}"#), now);
    }

    #[test]
    fn an_entry_that_somebody_moved_is_found_and_several_too() {
        let ours = r#"{"type":"egret-cni"}"#;
        for (text, want) in [
            (format!(r#"{{"plugins":[{ours}, {{"type":"a"}}]}}"#), r#"{"plugins":[{"type":"a"}]}"#),
            (
                format!(r#"{{"plugins":[{{"type":"a"}}, {ours}, {{"type":"b"}}, {ours}]}}"#),
                r#"{"plugins":[{"type":"a"}, {"type":"b"}]}"#,
            ),
            (format!(r#"{{"plugins":[{ours}]}}"#), r#"{"plugins":[]}"#),
        ] {
            assert_eq!(without(&text).unwrap(), want);
        }
    }

    #[test]
    fn what_cannot_be_chained_is_named() {
        let socket = &at(SOCKET);
        assert_eq!(with(r#"{"type":"bridge"}"#, socket), Err(UnusableConflist::Single));
        assert_eq!(with(r#"{"plugins":[]}"#, socket), Err(UnusableConflist::Empty));
        assert!(matches!(with("{", socket), Err(UnusableConflist::Json(_))));
        assert!(matches!(with(r#"{"plugins":3}"#, socket), Err(UnusableConflist::Json(_))));
        assert!(matches!(with("", socket), Err(UnusableConflist::Json(_))));
    }

    #[test]
    fn the_entry_in_a_configuration_is_golden() {
        let text = crate::golden::golden("chained.conflist", &put(PRETTY));
        assert_eq!(put(&text), text);
        assert_eq!(without(&text).unwrap(), PRETTY);
    }
}
