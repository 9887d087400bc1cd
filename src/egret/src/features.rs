//! What this build can do, and what it says of the rest.

use std::sync::LazyLock;

use clap::error::{ContextKind, ContextValue, ErrorKind};

/// A feature of this crate.
struct Feature {
    name: &'static str,
    built: bool,
    /// What a build without it is without.
    what: &'static str,
    /// The commands that need it.
    commands: &'static [&'static str],
    /// The flags that only a build with it has.
    flags: &'static [&'static str],
}

const FEATURES: [Feature; 7] = [
    Feature {
        name: "node",
        built: cfg!(feature = "node"),
        what: "the agent",
        commands: &["agent", "standalone", "teardown", "cni"],
        flags: &[],
    },
    Feature {
        name: "controller",
        built: cfg!(feature = "controller"),
        what: "the controller",
        commands: &["controller", "standalone"],
        flags: &[],
    },
    Feature {
        name: "plugin",
        built: cfg!(feature = "plugin"),
        what: "the commands for people",
        commands: &[
            "status",
            "voters",
            "explain",
            "what-if",
            "drain",
            "uncordon",
            "move",
            "pause",
            "resume",
            "release",
            "uninstall",
            "events",
        ],
        flags: &[],
    },
    Feature {
        name: "kubernetes",
        built: cfg!(feature = "kubernetes"),
        what: "Kubernetes",
        commands: &["crds", "uninstall"],
        flags: &["--kubeconfig", "--context", "--system-namespace"],
    },
    Feature { name: "aws", built: cfg!(feature = "aws"), what: "AWS", commands: &[], flags: &[] },
    Feature {
        name: "gcp",
        built: cfg!(feature = "gcp"),
        what: "Google Cloud",
        commands: &[],
        flags: &[],
    },
    Feature {
        name: "layout-next",
        built: cfg!(feature = "layout-next"),
        what: "the next layout of the pinned maps",
        commands: &[],
        flags: &[],
    },
];

/// What `egret --version` says.
pub(crate) fn version() -> &'static str {
    static VERSION: LazyLock<String> = LazyLock::new(|| {
        let built = FEATURES.iter().filter(|feature| feature.built);
        let built: Vec<&str> = built.map(|feature| feature.name).collect();
        let built = if built.is_empty() { "none".to_owned() } else { built.join(", ") };
        format!("{}\nfeatures: {built}", env!("CARGO_PKG_VERSION"))
    });
    &VERSION
}

/// What to say where `error` is about something that this build was made without.
pub(crate) fn unbuilt(error: &clap::Error) -> Option<String> {
    let (context, of): (_, fn(&Feature) -> &[&str]) = match error.kind() {
        ErrorKind::InvalidSubcommand => {
            (ContextKind::InvalidSubcommand, |feature| feature.commands)
        }
        ErrorKind::UnknownArgument => (ContextKind::InvalidArg, |feature| feature.flags),
        _ => return None,
    };
    let ContextValue::String(named) = error.get(context)? else { return None };
    let missing = FEATURES.iter().filter(|feature| !feature.built);
    let missing = missing.filter(|feature| of(feature).contains(&named.as_str()));
    sentence(missing.collect())
}

/// The same, where a command needs the feature of this name after all.
#[cfg(any(
    all(feature = "plugin", not(feature = "node")),
    all(
        any(feature = "node", feature = "controller", feature = "plugin"),
        not(feature = "kubernetes")
    )
))]
pub(crate) fn missing(name: &str) -> String {
    let missing = FEATURES.iter().filter(|feature| feature.name == name).collect();
    sentence(missing).unwrap_or_default()
}

fn sentence(missing: Vec<&Feature>) -> Option<String> {
    let (what, names): (Vec<&str>, Vec<&str>) =
        missing.into_iter().map(|feature| (feature.what, feature.name)).unzip();
    (!names.is_empty()).then(|| {
        format!(
            "this egret was built without {}: build it with --features {}",
            what.join(" and "),
            names.join(",")
        )
    })
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use clap::{CommandFactory as _, Parser as _};

    use super::*;
    use crate::args::Args;

    /// The commands that need no feature.
    const ALWAYS: [&str; 2] = ["init", "check"];

    /// What is answered to a command line that does not parse.
    fn answer(line: &str) -> Option<String> {
        let error = Args::try_parse_from(line.split(' ')).unwrap_err();
        unbuilt(&error)
    }

    #[test]
    fn what_is_not_built_is_named_with_the_remedy() {
        for feature in FEATURES.iter().filter(|feature| !feature.built) {
            for command in feature.commands {
                let answer = answer(&format!("egret {command} --any thing")).unwrap();
                assert!(answer.contains(feature.what), "{answer}");
                let (_, remedy) = answer.split_once("build it with --features ").unwrap();
                assert!(remedy.split(',').any(|name| name == feature.name), "{answer}");
            }
        }
        if cfg!(all(feature = "plugin", not(feature = "kubernetes"))) {
            let sentence =
                "this egret was built without Kubernetes: build it with --features kubernetes";
            for line in ["egret status --kubeconfig a", "egret status --kubeconfig=a", "egret crds"]
            {
                assert_eq!(answer(line).as_deref(), Some(sentence), "{line}");
            }
        }
    }

    #[test]
    fn what_is_misspelt_stays_so() {
        assert_eq!(answer("egret initt"), None);
        assert_eq!(answer("egret init --manifest a"), None);
    }

    /// Each command is there exactly where the features that it needs are; a new one is either
    /// listed with them or needs none.
    #[test]
    fn commands_are_those_of_the_features() {
        let command = Args::command();
        let listed = FEATURES.iter().flat_map(|feature| feature.commands);
        let listed: BTreeSet<&str> = listed.chain(&ALWAYS).copied().collect();
        for found in command.get_subcommands() {
            assert!(listed.contains(found.get_name()), "{} is in no feature", found.get_name());
        }
        for name in ALWAYS {
            assert!(command.find_subcommand(name).is_some(), "{name}");
        }
        for name in FEATURES.iter().flat_map(|feature| feature.commands) {
            let mut needed = FEATURES.iter().filter(|feature| feature.commands.contains(name));
            let there = command.get_subcommands().any(|found| found.get_name() == *name);
            assert_eq!(there, needed.all(|feature| feature.built), "{name}");
        }
    }

    #[cfg(all(
        feature = "kubernetes",
        any(feature = "node", feature = "controller", feature = "plugin")
    ))]
    #[test]
    fn flags_are_those_of_the_features() {
        use clap::Args as _;

        let command = crate::args::KubernetesArgs::augment_args(clap::Command::new("any"));
        let found = command.get_arguments().filter_map(|argument| argument.get_long());
        let found: BTreeSet<String> = found.map(|name| format!("--{name}")).collect();
        let kubernetes = FEATURES.iter().filter(|feature| feature.name == "kubernetes");
        let listed = kubernetes.flat_map(|feature| feature.flags);
        assert_eq!(found, listed.map(|flag| (*flag).to_owned()).collect());
    }

    #[test]
    fn features_are_those_of_the_manifest() {
        let (_, section) = include_str!("../Cargo.toml").split_once("[features]\n").unwrap();
        let (section, _) = section.split_once("\n[").unwrap();
        let names = section.lines().filter_map(|line| line.split_once(" = ")).map(|(name, _)| name);
        let names: BTreeSet<&str> = names.filter(|name| *name != "default").collect();
        assert_eq!(names, FEATURES.iter().map(|feature| feature.name).collect());
    }

    #[test]
    fn the_version_lists_the_features() {
        let (_, listed) = version().split_once("features: ").unwrap();
        for feature in &FEATURES {
            let found = listed.split(", ").any(|name| name == feature.name);
            assert_eq!(found, feature.built, "{}", feature.name);
        }
    }
}
