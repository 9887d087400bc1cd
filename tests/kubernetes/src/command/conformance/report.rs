//! What a run of the suite has written about itself: ginkgo's report in JSON.

use anyhow::{Context, Result, bail};
use serde_json::Value;

/// How one spec ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum SpecOutcome {
    /// As it should.
    Passed,
    /// It says itself why it cannot be run here.
    Skipped(String),
    /// It failed or ran out of time: the first lines of what it says.
    Failed(String),
}

/// The names of all specs of the network in a report, whatever became of them.
///
/// # Errors
/// Where the text is no report.
pub(super) fn names(report: &str) -> Result<Vec<String>> {
    let mut names: Vec<_> = specs(report)?.iter().filter_map(name).collect();
    names.retain(|name| name.starts_with("[sig-network]"));
    names.sort();
    names.dedup();
    Ok(names)
}

/// What became of a spec.
///
/// # Errors
/// Where the text is no report, and where the spec was not run: the suite itself has failed, or has no such spec.
pub(super) fn outcome(report: &str, wanted: &str) -> Result<SpecOutcome> {
    let specs = specs(report)?;
    let around = specs.iter().find(|spec| name(spec).is_none() && text(&spec["State"]) != "passed");
    if let Some(spec) = around {
        bail!("{} failed: {}", text(&spec["LeafNodeType"]), said(spec));
    }
    let spec = specs.iter().find(|spec| name(spec).as_deref() == Some(wanted));
    let spec = spec.with_context(|| format!("the suite has no spec {wanted}"))?;
    match text(&spec["State"]) {
        "passed" => Ok(SpecOutcome::Passed),
        "skipped" if spec["Failure"].is_null() => bail!("the suite did not select {wanted}"),
        "skipped" => Ok(SpecOutcome::Skipped(said(spec))),
        "pending" => Ok(SpecOutcome::Skipped("pending".to_owned())),
        state => Ok(SpecOutcome::Failed(format!("{state}: {}", said(spec)))),
    }
}

fn specs(report: &str) -> Result<Vec<Value>> {
    let suites: Vec<Value> = serde_json::from_str(report).context("no report in JSON")?;
    let specs = suites.into_iter().map(|mut suite| suite["SpecReports"].take());
    Ok(specs.filter_map(|specs| specs.as_array().cloned()).flatten().collect())
}

/// Of a spec, not of what is run before and after all.
fn name(spec: &Value) -> Option<String> {
    let containers = spec["ContainerHierarchyTexts"].as_array().into_iter().flatten();
    let parts = containers.chain([&spec["LeafNodeText"]]).map(text);
    (spec["LeafNodeType"] == "It").then(|| parts.collect::<Vec<_>>().join(" "))
}

fn said(spec: &Value) -> String {
    let message = text(&spec["Failure"]["Message"]);
    let lines = message.lines().map(str::trim).filter(|line| !line.is_empty());
    lines.take(3).collect::<Vec<_>>().join(" ").chars().take(300).collect()
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    const NAME: &str = "[sig-network] Services should serve";

    fn report(before: &str, spec: &Value) -> String {
        let mut spec = spec.clone();
        spec["ContainerHierarchyTexts"] = json!(["[sig-network] Services"]);
        spec["LeafNodeText"] = json!("should serve");
        spec["LeafNodeType"] = json!("It");
        let before = json!({"LeafNodeType": "SynchronizedBeforeSuite", "State": before,
            "Failure": {"Message": "no nodes"}});
        let other = json!({"LeafNodeType": "It", "State": "skipped", "LeafNodeText": "other"});
        json!([{"SpecReports": [before, other, spec]}]).to_string()
    }

    #[test]
    fn a_spec_ends_in_one_of_three_ways() {
        let failure = json!({"Message": "timed out\n\n  in 3 s"});
        for (state, outcome) in [
            ("passed", SpecOutcome::Passed),
            ("skipped", SpecOutcome::Skipped("timed out in 3 s".to_owned())),
            ("failed", SpecOutcome::Failed("failed: timed out in 3 s".to_owned())),
            ("timedout", SpecOutcome::Failed("timedout: timed out in 3 s".to_owned())),
            ("panicked", SpecOutcome::Failed("panicked: timed out in 3 s".to_owned())),
        ] {
            let report = report("passed", &json!({"State": state, "Failure": failure}));
            assert_eq!(super::outcome(&report, NAME).unwrap(), outcome);
            assert_eq!(names(&report).unwrap(), [NAME]);
        }
    }

    #[test]
    fn what_did_not_run_is_no_outcome() {
        let not_selected = report("passed", &json!({"State": "skipped"}));
        let suite_failed = report("failed", &json!({"State": "skipped"}));
        for (report, name, says) in [
            (not_selected.as_str(), NAME, "did not select"),
            (&not_selected, "[sig-network] Services should fly", "no spec"),
            (&suite_failed, NAME, "SynchronizedBeforeSuite failed: no nodes"),
            ("", NAME, "no report"),
        ] {
            let error = outcome(report, name).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
        }
    }
}
