//! Which crate may depend on which: docs/design.md decision 1, as tables.

use crate::repository::{Dependency, Package};

/// Normal and build dependencies of a crate that must stay small, all of them.
const CLOSED: [(&str, &[&str]); 2] = [
    ("egret-core", &["ipnet", "jiff", "serde", "sha2", "thiserror"]),
    ("egret-ports", &["egret-core", "ipnet", "serde", "thiserror", "tokio"]),
];

/// Optional dependencies that a crate may have all the same: those of contract suites, which only
/// tests build, and the schemas that `egret-api` switches on.
const OPTIONAL: [(&str, &[&str]); 2] =
    [("egret-core", &["schemars"]), ("egret-ports", &["egret-netns", "socket2"])];

/// The crates of this workspace that a crate may use. Who is not listed may use none.
const LAYERS: [(&str, &[&str]); 12] = [
    ("egret-ports", &["egret-core"]),
    ("egret-api", &["egret-core"]),
    ("egret-state", &["egret-api", "egret-core", "egret-ports"]),
    ("egret-datapath", &["egret-core", "egret-ports"]),
    ("egret-guard", &["egret-core"]),
    ("egret-cni", &["egret-guard"]),
    ("egret-runtime", &["egret-core", "egret-ports"]),
    ("egret-peers", &["egret-core", "egret-ports"]),
    ("egret-provider-", &["egret-core", "egret-ports"]),
    ("egret-controller", &["egret-core", "egret-ports", "egret-runtime"]),
    (
        "egret-agent",
        &[
            "egret-cni",
            "egret-core",
            "egret-datapath",
            "egret-guard",
            "egret-peers",
            "egret-ports",
            "egret-runtime",
        ],
    ),
    (
        "egret",
        &[
            "egret-agent",
            "egret-api",
            "egret-cni",
            "egret-controller",
            "egret-core",
            "egret-datapath",
            "egret-peers",
            "egret-ports",
            "egret-provider-",
            "egret-runtime",
            "egret-state",
        ],
    ),
];

/// Dependencies that only some crates may have: what they stand for must not leak further.
const CONFINED: [(&str, &[&str]); 14] = [
    ("kube", &["egret-api", "egret-state"]),
    ("k8s-openapi", &["egret-api"]),
    ("schemars", &["egret-api"]),
    ("aya", &["egret-datapath"]),
    ("rtnetlink", &["egret-datapath"]),
    ("x25519-dalek", &["egret-peers"]),
    ("anyhow", &["egret"]),
    ("aws-sdk-ec2", &["egret-provider-aws"]),
    ("aws-config", &["egret-provider-aws"]),
    ("aws-credential-types", &["egret-provider-aws"]),
    ("aws-smithy-http-client", &["egret-provider-aws"]),
    ("google-cloud-compute-v1", &["egret-provider-gcp"]),
    ("google-cloud-auth", &["egret-provider-gcp"]),
    ("google-cloud-gax", &["egret-provider-gcp"]),
];

/// What breaks the layers, one sentence each. Crates under `tests` may use what they like; nothing
/// but another of them may use one, and nobody's dev-dependencies count.
#[must_use]
pub fn violations<'a>(packages: impl IntoIterator<Item = &'a Package>) -> Vec<String> {
    let mut found = Vec::new();
    for package in packages.into_iter().filter(|package| !is_test(package)) {
        let name = package.name.as_str();
        let used = package.dependencies.iter();
        let used =
            used.filter(|dependency| !is_dev(dependency) && !may_be_optional(name, dependency));
        for used in used.map(|dependency| dependency.name.as_str()) {
            found.extend(not_closed(name, used));
            found.extend(not_below(name, used));
            found.extend(not_confined(name, used));
        }
    }
    found
}

fn not_closed(name: &str, used: &str) -> Option<String> {
    let (_, allowed) = CLOSED.iter().find(|(closed, _)| *closed == name)?;
    (!allowed.contains(&used)).then(|| {
        format!("{name} depends on {used}: it may have {allowed:?} only, so that it stays pure")
    })
}

fn not_below(name: &str, used: &str) -> Option<String> {
    if !is_ours(used) {
        return None;
    }
    let allowed = LAYERS.iter().find(|(layer, _)| matches(layer, name)).map(|(_, below)| *below);
    let allowed = allowed.unwrap_or_default();
    (!allowed.iter().any(|below| matches(below, used)))
        .then(|| format!("{name} depends on {used}: of this workspace it may use {allowed:?} only"))
}

fn not_confined(name: &str, used: &str) -> Option<String> {
    let (_, allowed) = CONFINED.iter().find(|(confined, _)| *confined == used)?;
    (!allowed.contains(&name))
        .then(|| format!("{name} depends on {used}, which only {allowed:?} may have"))
}

fn matches(pattern: &str, name: &str) -> bool {
    if pattern.ends_with('-') { name.starts_with(pattern) } else { name == pattern }
}

fn is_ours(name: &str) -> bool {
    name == "egret" || name.starts_with("egret-")
}

fn is_dev(dependency: &Dependency) -> bool {
    dependency.kind.as_deref() == Some("dev")
}

fn may_be_optional(name: &str, dependency: &Dependency) -> bool {
    let named = |(package, used): &(&str, &[&str])| {
        *package == name && used.contains(&dependency.name.as_str())
    };
    dependency.optional && OPTIONAL.iter().any(named)
}

fn is_test(package: &Package) -> bool {
    package.manifest_path.iter().rev().nth(2).is_some_and(|folder| folder == "tests")
}

#[cfg(test)]
mod tests {
    use super::*;

    fn package(folder: &str, name: &str, kind: Option<&str>, used: &[&str]) -> Package {
        let dependency = |name: &&str| Dependency {
            name: (*name).into(),
            kind: kind.map(Into::into),
            optional: false,
        };
        Package {
            name: name.into(),
            manifest_path: format!("/repository/{folder}/x/Cargo.toml").into(),
            dependencies: used.iter().map(dependency).collect(),
            targets: Vec::new(),
        }
    }

    fn broken(name: &str, used: &str) -> usize {
        violations(&[package("src", name, None, &[used])]).len()
    }

    #[test]
    fn what_is_forbidden_is_found() {
        for (name, used) in [
            ("egret-core", "tokio"),
            ("egret-core", "egret-ports"),
            ("egret-ports", "kube"),
            ("egret-ports", "tracing"),
            ("egret-ports", "egret-netns"),
            ("egret-provider-gcp", "egret-state"),
            ("egret-provider-aws", "egret-runtime"),
            ("egret-state", "egret-agent"),
            ("egret-agent", "egret-controller"),
            ("egret-controller", "egret-agent"),
            ("egret-controller", "kube"),
            ("egret-agent", "k8s-openapi"),
            ("egret-datapath", "egret-runtime"),
            ("egret-new", "egret-core"),
            ("egret", "egret-netns"),
        ] {
            assert_ne!(broken(name, used), 0, "{name} -> {used}");
        }
    }

    #[test]
    fn what_is_allowed_passes() {
        for (name, used) in [
            ("egret-core", "serde"),
            ("egret-provider-aws", "egret-ports"),
            ("egret", "egret-provider-aws"),
            ("egret", "egret-agent"),
            ("egret-state", "kube"),
        ] {
            assert_eq!(broken(name, used), 0, "{name} -> {used}");
        }
        let dev = package("src", "egret-core", Some("dev"), &["proptest", "egret-netns"]);
        let test = package("tests", "egret-lab", None, &["egret-netns", "anyhow", "egret-state"]);
        assert_eq!(violations(&[dev, test]), Vec::<String>::new());
        let mut suite = package("src", "egret-ports", None, &["egret-netns"]);
        suite.dependencies[0].optional = true;
        assert_eq!(violations(&[suite]), Vec::<String>::new());
        let build = package("src", "egret-core", Some("build"), &["anyhow"]);
        assert_ne!(violations(&[build]).len(), 0, "a build script is no place to hide");
    }
}
