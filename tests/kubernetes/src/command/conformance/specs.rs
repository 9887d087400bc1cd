//! Which specs of Kubernetes' own suite run.

use std::collections::BTreeMap;

use anyhow::{Result, bail, ensure};

/// What no spec that runs has in its name, and why.
pub(super) const LEFT_OUT: [(&str, &str); 11] = [
    ("Netpol", NO_POLICIES),
    ("NetworkPolicy", NO_POLICIES),
    ("LoadBalancer", "nobody here gives a Service a load balancer"),
    ("SCTP", "not every kernel that runs this has SCTP"),
    ("[Feature:Ingress]", "no controller of Ingress runs here"),
    ("[Feature:Networking-", "it measures, or wants the Internet"),
    ("[Feature:PerformanceDNS]", "it measures"),
    ("[Feature:KubeProxyNFAcct]", "of kube-proxy with iptables"),
    ("[Slow]", "it takes many minutes"),
    ("[Serial]", "it suffers nothing beside it"),
    ("[Disruptive]", "it restarts programs of a node over ssh"),
];

const NO_POLICIES: &str = "no network here enforces policies";

/// What runs and what does not.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ChosenSpecs {
    /// The names of what runs.
    pub(super) chosen: Vec<String>,
    /// How many do not, by the reason.
    pub(super) left_out: BTreeMap<&'static str, usize>,
}

impl ChosenSpecs {
    /// Of all specs, those that have one of `only` in their names, where it names any.
    ///
    /// # Errors
    /// Where none is left, and where a reason leaves nothing out: the suite has other names by now.
    pub(super) fn of(all: &[String], only: &[String]) -> Result<Self> {
        for (text, _) in LEFT_OUT {
            ensure!(
                all.iter().any(|name| name.contains(text)),
                "no spec of the suite has {text:?} in its name: take it from the list of what is left out"
            );
        }
        let mut selection = Self { chosen: Vec::new(), left_out: BTreeMap::new() };
        for name in all {
            let why = LEFT_OUT.iter().find(|(text, _)| name.contains(text));
            match why {
                Some((_, why)) => *selection.left_out.entry(why).or_default() += 1,
                None if only.is_empty() || only.iter().any(|text| name.contains(text)) => {
                    selection.chosen.push(name.clone());
                }
                None => *selection.left_out.entry("not asked for").or_default() += 1,
            }
        }
        if selection.chosen.is_empty() {
            bail!(
                "no spec is selected: of {} none is left that has {only:?} in its name",
                all.len()
            );
        }
        Ok(selection)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One that runs, and one for every reason.
    fn all() -> Vec<String> {
        let left_out = LEFT_OUT.iter().map(|(text, _)| format!("[sig-network] {text} does"));
        left_out.chain(["[sig-network] Services should serve".to_owned()]).collect()
    }

    #[test]
    fn what_has_no_reason_runs() {
        let selection = ChosenSpecs::of(&all(), &[]).unwrap();
        assert_eq!(selection.chosen, ["[sig-network] Services should serve"]);
        assert_eq!(selection.left_out.values().sum::<usize>(), LEFT_OUT.len());
        assert_eq!(selection.left_out[NO_POLICIES], 2);
    }

    #[test]
    fn an_empty_selection_is_an_error() {
        for only in ["should fly", "[Slow]"] {
            let error = ChosenSpecs::of(&all(), &[only.to_owned()]).unwrap_err().to_string();
            assert!(error.contains("no spec is selected"), "{error}");
        }
    }

    #[test]
    fn a_reason_without_a_spec_is_an_error() {
        let without = all().split_off(1);
        let error = ChosenSpecs::of(&without, &[]).unwrap_err().to_string();
        assert!(error.contains(LEFT_OUT[0].0), "{error}");
    }
}
