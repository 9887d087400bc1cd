use clap::FromArgMatches as _;
use egret_ports::steering::{Steering as _, SteeringDrop};
use egret_runtime::metrics::registry;
use egret_runtime::prometheus_client::encoding::text::encode;

use super::*;
use crate::testing::InMemorySteering;

fn args() -> AgentArgs {
    let command = <AgentArgs as clap::Args>::augment_args(clap::Command::new("agent"));
    let matches = command.try_get_matches_from(["agent", "--bpffs=/nowhere"]).unwrap();
    AgentArgs::from_arg_matches(&matches).unwrap()
}

/// A scrape without its values.
fn scrape(registry: &Registry) -> String {
    let mut text = String::new();
    encode(&mut text, registry).unwrap();
    let shown = |line: &str| match line.starts_with('#') {
        true => format!("{line}\n"),
        false => format!("{}\n", line.rsplit_once(' ').unwrap().0),
    };
    text.lines().map(shown).collect()
}

/// The names and types in a scrape, whatever is measured.
fn names(registry: &Registry) -> Vec<String> {
    let text = scrape(registry);
    text.lines().filter(|line| line.starts_with('#')).map(ToOwned::to_owned).collect()
}

/// Every name, type and label, and every value of a label that comes from a list. What a kernel or
/// another agent would have to be there for is made up.
#[test]
fn names_and_labels_are_as_they_were() {
    let mut made_up = registry("VERSION");
    let packets = || bpf::reasons().iter().map(|reason| (reason.name, 1)).collect();
    let steering = InMemorySteering::default();
    for drop in SteeringDrop::ALL {
        steering.count_drops(*drop, 1);
    }
    register_kernel(&mut made_up, packets, steering.counters());
    let measures = AgentMetrics::default();
    measures.0.peers.set((Discarded::default(), LastReceived::default())).unwrap();
    let usage = AddressUsage { connections: 1, ..AddressUsage::default() };
    measures.note_usage(&[("203.0.113.17".parse().unwrap(), usage)].into());
    register_measured(&mut made_up, &measures, || vec![("node-2".to_owned(), 0.5)]);
    let mut fresh = scrape(&made_up);
    // The kernel's counters are an array that survives upgrades: their order counts too.
    for (index, reason) in bpf::reasons().iter().enumerate() {
        fresh += &format!("{index} {}{}\n", reason.name, if reason.drop { " drop" } else { "" });
    }
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/src/metrics/golden.txt");
    if std::env::var_os("EGRET_UPDATE").is_some() {
        std::fs::write(path, &fresh).unwrap();
    }
    let golden = std::fs::read_to_string(path).unwrap_or_default();
    assert_eq!(fresh, golden, "EGRET_UPDATE=1 cargo test -p egret-agent metrics");
}

/// What is made up above is registered by the agent too.
#[test]
fn an_agent_has_all_of_them() {
    let mut agents = registry("VERSION");
    register(&args(), &AgentMetrics::default(), &mut agents).unwrap();
    let mut made_up = registry("VERSION");
    register_kernel(&mut made_up, BTreeMap::new, InMemorySteering::default().counters());
    register_measured(&mut made_up, &AgentMetrics::default(), Vec::new);
    assert_eq!(names(&agents), names(&made_up));
}

/// Every scrape asks the back end anew, and shows nothing where it cannot say.
#[test]
fn a_scrape_shows_what_the_back_end_has_dropped() {
    let steering = InMemorySteering::default();
    let mut shown = registry("VERSION");
    register_kernel(&mut shown, BTreeMap::new, steering.counters());
    let drops = || {
        let mut text = String::new();
        encode(&mut text, &shown).unwrap();
        let lines = text.lines().filter(|line| line.contains("director_drops_total{"));
        lines.map(ToOwned::to_owned).collect::<Vec<_>>()
    };
    assert_eq!(drops(), [""; 0]);
    steering.count_drops(SteeringDrop::NoBlock, 2);
    assert_eq!(drops(), ["egret_director_drops_total{reason=\"no_block\"} 2"]);
    steering.count_drops(SteeringDrop::NoBlock, 3);
    steering.count_drops(SteeringDrop::UnknownPod, 1);
    let both = [
        "egret_director_drops_total{reason=\"no_block\"} 5",
        "egret_director_drops_total{reason=\"unknown_pod\"} 1",
    ];
    assert_eq!(drops(), both);
    let unread = || {
        let mut text = String::new();
        encode(&mut text, &shown).unwrap();
        let sample = "egret_unread_counters{counter=\"director_drops\"} ";
        text.lines().find_map(|line| line.strip_prefix(sample)?.parse::<f64>().ok())
    };
    assert_eq!(unread(), Some(0.0));
    steering.refuse(true);
    assert_eq!(drops(), [""; 0]);
    assert_eq!(unread(), Some(1.0));
    steering.refuse(false);
    assert_eq!(drops(), both);
    assert_eq!(unread(), Some(0.0));
}
