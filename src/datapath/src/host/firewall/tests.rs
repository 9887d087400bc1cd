use super::*;

const BIT: u32 = 0x100_0000;

fn rule(chain: &str, verdict: RuleVerdict) -> FirewallRule {
    FirewallRule { chain: chain.to_owned(), verdict, ..FirewallRule::default() }
}

fn seen(chain: &str, verdict: RuleVerdict) -> FirewallRule {
    FirewallRule { marks: vec![(BIT, BIT, true)], conditional: true, ..rule(chain, verdict) }
}

fn found(rules: Vec<FirewallRule>) -> HostFindings {
    let bases =
        [("raw", HookPlace::Before), ("forward", HookPlace::Behind), ("input", HookPlace::Local)];
    let bases = bases.map(|(chain, place)| (chain.to_owned(), place)).into();
    let calicos = FirewallRule { who: "chain cali-x".to_owned(), ..FirewallRule::default() };
    let rules = rules.into_iter().chain([calicos]).collect();
    judge(&[Firewall { bases, rules, shows_targets: true }], &HostSettings::default())
}

fn effects(rules: Vec<FirewallRule>) -> Vec<MatchEffect> {
    found(rules).marks.iter().map(|one| one.effect).collect()
}

/// Calico's eBPF mode drops in FORWARD what its programs have not marked.
#[test]
fn a_demand_for_bits_counts_where_our_packets_pass() {
    let refuses = || RuleVerdict::Refuses;
    let jumps = |to: &str| RuleVerdict::Jumps(to.to_owned());
    assert_eq!(effects(vec![seen("forward", refuses())]), [MatchEffect::Demanded]);
    assert_eq!(effects(vec![seen("input", refuses())]), [MatchEffect::Other]);
    assert_eq!(effects(vec![seen("nobody jumps here", refuses())]), [MatchEffect::Refused]);
    let clear = FirewallRule { marks: vec![(0, BIT, false)], ..seen("forward", refuses()) };
    assert_eq!(effects(vec![clear]), [MatchEffect::Refused], "a policy of Calico's");
    let other =
        FirewallRule { marks: vec![(0x10000, 0x10000, true)], ..seen("forward", refuses()) };
    assert_eq!(effects(vec![other]), [MatchEffect::Refused], "maybe a policy's");
    let by_jump =
        vec![seen("forward", jumps("end")), rule("end", jumps("drops")), rule("drops", refuses())];
    assert_eq!(effects(by_jump), [MatchEffect::Demanded]);
    let below = vec![rule("forward", jumps("checks")), seen("checks", refuses())];
    assert_eq!(effects(below), [MatchEffect::Demanded]);
    let maybe = vec![
        seen("forward", jumps("some")),
        FirewallRule { conditional: true, ..rule("some", refuses()) },
    ];
    assert_eq!(effects(maybe), [MatchEffect::Other]);
    assert_eq!(effects(vec![seen("forward", RuleVerdict::Spares)]), [MatchEffect::Spared]);
}

#[test]
fn an_overwritten_connection_is_said_and_no_collision() {
    let whole = |chain: &str, marks: &[(u32, u32, bool)]| FirewallRule {
        who: chain.to_owned(),
        marks: marks.to_vec(),
        overwrites_connection: true,
        ..rule(chain, RuleVerdict::Other)
    };
    let gate = [(0xca6c, u32::MAX, false)];
    for (rules, expected) in [
        (vec![whole("raw", &[])], true),
        (vec![whole("raw", &gate)], true),
        (vec![whole("forward", &[])], true),
        (vec![whole("forward", &gate)], false),
        (vec![whole("input", &[])], false),
        (vec![whole("nobody jumps here", &gate)], true),
    ] {
        let found = found(rules.clone());
        assert_eq!(!found.overwrites.is_empty(), expected, "{rules:?}");
        assert!(found.collisions.is_empty(), "{rules:?}");
    }
}
