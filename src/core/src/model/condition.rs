use std::fmt;

use serde::{Deserialize, Deserializer, Serialize, Serializer};

use super::{Timestamp, text};

// What people read of these types in `kubectl explain` are their comments here.

/// A condition, as in the Kubernetes API conventions.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
#[serde(rename_all = "camelCase")]
pub struct Condition {
    /// What the condition is about, such as Ready.
    #[serde(rename = "type")]
    #[cfg_attr(feature = "schema", schemars(with = "String"))]
    pub kind: ConditionType,
    /// Whether it holds.
    #[serde(with = "spelled")]
    #[cfg_attr(feature = "schema", schemars(with = "ConditionStatus"))]
    pub status: bool,
    // `crate::reason`; of another version any other.
    /// Why, in CamelCase, from a documented list.
    pub reason: String,
    /// For people: what is so and what to do.
    pub message: String,
    /// The generation of the object that the condition speaks of.
    #[serde(default)]
    pub observed_generation: i64,
    /// When `status` last changed (RFC 3339).
    #[serde(rename = "lastTransitionTime", with = "text")]
    #[cfg_attr(feature = "schema", schemars(with = "String", extend("format" = "date-time")))]
    pub last_transition: Timestamp,
}

impl Condition {
    /// A condition of an object without generations, as it is from `now` on.
    pub fn new(
        kind: ConditionType,
        status: bool,
        reason: impl fmt::Display,
        message: impl Into<String>,
        now: Timestamp,
    ) -> Self {
        Self {
            kind,
            status,
            reason: reason.to_string(),
            message: message.into(),
            observed_generation: 0,
            last_transition: now,
        }
    }

    /// Dated as in `before`, where the condition of its type had the same status: so an unchanged
    /// condition causes no write.
    #[must_use]
    pub fn dated_by(self, before: &[Self]) -> Self {
        let before = before.iter().find(|before| before.kind == self.kind);
        let same = before.filter(|before| before.status == self.status);
        let last_transition = same.map_or(self.last_transition, |same| same.last_transition);
        Self { last_transition, ..self }
    }

    /// Whether it says that something is wrong.
    #[must_use]
    pub fn is_trouble(&self) -> bool {
        self.kind.wrong_when() == Some(self.status)
    }

    /// Takes the place of the condition of its type, dated by that.
    pub fn put_into(self, conditions: &mut Vec<Self>) {
        let next = self.dated_by(conditions);
        match conditions.iter_mut().find(|condition| condition.kind == next.kind) {
            Some(old) => *old = next,
            None => conditions.push(next),
        }
    }
}

/// What the conditions of one object say, as every command shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ConditionSummary<'a> {
    /// What `Ready` says; `None` where nobody has said it yet.
    pub ready: Option<bool>,
    /// Why it is not ready, for people; empty where it is, or where nobody has said.
    pub message: &'a str,
    /// The other conditions that say that something is wrong and whose messages `message` does not repeat.
    pub troubles: Vec<&'a Condition>,
}

impl<'a> ConditionSummary<'a> {
    /// Of the conditions of one object.
    #[must_use]
    pub fn of(conditions: &'a [Condition]) -> Self {
        let ready = conditions.iter().find(|condition| condition.kind == ConditionType::Ready);
        let message = ready.filter(|ready| !ready.status).map_or("", |ready| &ready.message);
        let other = |condition: &&Condition| {
            let repeated = !condition.message.is_empty() && message.contains(&condition.message);
            condition.kind != ConditionType::Ready && condition.is_trouble() && !repeated
        };
        let troubles = conditions.iter().filter(other).collect();
        Self { ready: ready.map(|ready| ready.status), message, troubles }
    }
}

/// Whether a condition holds.
#[derive(Clone, Copy, Serialize, Deserialize)]
#[cfg_attr(feature = "schema", derive(schemars::JsonSchema))]
enum ConditionStatus {
    /// It holds.
    True,
    /// It does not hold.
    False,
}

mod spelled {
    use super::*;

    pub(super) fn serialize<S: Serializer>(status: &bool, to: S) -> Result<S::Ok, S::Error> {
        let status = if *status { ConditionStatus::True } else { ConditionStatus::False };
        status.serialize(to)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(from: D) -> Result<bool, D::Error> {
        ConditionStatus::deserialize(from).map(|status| matches!(status, ConditionStatus::True))
    }
}

macro_rules! condition_types {
    ($($(#[$doc:meta])* $name:ident wrong when $wrong:literal,)*) => {
        /// What a condition is about.
        #[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum ConditionType {
            $($(#[$doc])* $name,)*
            /// One that this version does not know; kept as it was read.
            Other(String),
        }

        impl ConditionType {
            /// As the API spells it.
            #[must_use]
            pub fn as_str(&self) -> &str {
                match self {
                    $(Self::$name => stringify!($name),)*
                    Self::Other(name) => name,
                }
            }

            /// The status with which it says that something is wrong; of a type of another version nobody knows it.
            fn wrong_when(&self) -> Option<bool> {
                match self {
                    $(Self::$name => Some($wrong),)*
                    Self::Other(_) => None,
                }
            }

            #[cfg(test)]
            const ALL: &[Self] = &[$(Self::$name,)*];
        }

        impl From<&str> for ConditionType {
            fn from(name: &str) -> Self {
                match name {
                    $(stringify!($name) => Self::$name,)*
                    other => Self::Other(other.to_owned()),
                }
            }
        }
    };
}

condition_types! {
    /// Of a claim: its spec makes sense and the pool lets it in.
    Accepted wrong when false,
    /// Of a claim: it has its addresses.
    Bound wrong when false,
    /// Of a claim: nodes steer its pods.
    Programmed wrong when false,
    /// Of a claim: another one wins some of its pods and destinations.
    Overridden wrong when true,
    /// Of an address in use, its claim and its pool: the pool has the address no longer.
    OutsidePool wrong when true,
    /// Of a claim, a pool, an address or a node: all is well.
    Ready wrong when false,
    /// Of a pool: a person paused it.
    Paused wrong when true,
    /// Of a pool that is rebalanced: its addresses lie evenly on its gateways.
    Balanced wrong when false,
    /// Of a pool in a cloud: the cloud can deliver to its gateways.
    GatewaysUsable wrong when false,
    /// Of an address in a cloud: the cloud delivers it to its holder.
    Attached wrong when false,
    /// Of an address: a foreign host claims it.
    Conflict wrong when true,
    /// Of a node: traffic of pods passes its netfilter by.
    DatapathBypassed wrong when true,
    /// Of a node: the guard was in its kernel before the first agent of this boot.
    GuardedAtBoot wrong when false,
    /// Of a node, by word of the controller: the voters do not hear its agent.
    AgentAbsent wrong when true,
    /// Of a node: `egret uninstall` has taken everything out of its kernel.
    TornDown wrong when true,
    /// Of the cluster: the controller cannot read the addresses of the API servers.
    ApiServersUnread wrong when true,
}

impl fmt::Display for ConditionType {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.as_str())
    }
}

impl Serialize for ConditionType {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(self.as_str())
    }
}

impl<'de> Deserialize<'de> for ConditionType {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer).map(|name| Self::from(name.as_str()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_type_of_another_version_is_kept() {
        for name in ["\"Ready\"", "\"AsGoodAsNew\""] {
            let read: ConditionType = serde_json::from_str(name).unwrap();
            assert_eq!(serde_json::to_string(&read).unwrap(), name);
        }
        assert_eq!(ConditionType::from("Ready"), ConditionType::Ready);
    }

    #[test]
    fn an_unchanged_condition_keeps_its_time() {
        let ready = |status, reason, now| {
            Condition::new(ConditionType::Ready, status, reason, "", Timestamp(now))
        };
        let mut conditions = vec![ready(true, "Programmed", 1)];
        ready(true, "Held", 2).put_into(&mut conditions);
        assert_eq!(conditions, [ready(true, "Held", 1)]);
        ready(false, "RulesNotApplied", 3).put_into(&mut conditions);
        assert_eq!(conditions, [ready(false, "RulesNotApplied", 3)]);
        let paused = Condition::new(ConditionType::Paused, true, "Paused", "", Timestamp(4));
        paused.clone().put_into(&mut conditions);
        assert_eq!(conditions, [ready(false, "RulesNotApplied", 3), paused]);
    }

    fn said(kind: &ConditionType, status: bool) -> Condition {
        Condition::new(kind.clone(), status, "Reason", format!("{kind} is {status}"), Timestamp(1))
    }

    /// Ready is what the object says, whatever stands beside it; and whatever is wrong is told once.
    #[test]
    fn a_summary_says_what_the_object_says() {
        for kind in ConditionType::ALL.iter().filter(|kind| **kind != ConditionType::Ready) {
            for (status, ready) in [(true, true), (true, false), (false, true), (false, false)] {
                let other = said(kind, status);
                let conditions = [other.clone(), said(&ConditionType::Ready, ready)];
                let summary = ConditionSummary::of(&conditions);
                assert_eq!(summary.ready, Some(ready), "{kind}");
                assert_eq!(summary.message, if ready { "" } else { "Ready is false" });
                let told = if other.is_trouble() { vec![&other] } else { Vec::new() };
                assert_eq!(summary.troubles, told);
                assert_eq!(ConditionSummary::of(&conditions[..1]).ready, None, "{kind}");
            }
            assert_ne!(said(kind, true).is_trouble(), said(kind, false).is_trouble(), "{kind}");
        }
        let unknown = ConditionType::from("AsGoodAsNew");
        assert!(!said(&unknown, true).is_trouble() && !said(&unknown, false).is_trouble());
    }

    #[test]
    fn what_ready_says_already_is_not_told_again() {
        let conflict = said(&ConditionType::Conflict, true);
        let message = format!("{}; choose another address", conflict.message);
        let ready =
            Condition::new(ConditionType::Ready, false, "Conflict", message.clone(), Timestamp(1));
        let conditions = [conflict, ready];
        let summary = ConditionSummary::of(&conditions);
        assert_eq!((summary.ready, summary.message), (Some(false), message.as_str()));
        assert_eq!(summary.troubles, Vec::<&Condition>::new());
    }
}
