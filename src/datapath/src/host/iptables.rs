//! Marks in iptables, legacy or nft, where their tools are installed: `nft` shows neither the legacy rules nor
//! the arguments of xtables matches.

use std::io;
use std::time::Duration;

use egret_ports::error::{ErrorClass, PortError};

use super::firewall::{Firewall, FirewallRule, HookPlace, RuleVerdict};
use crate::child;

/// For one listing, which nobody waits for.
const LISTING: Duration = Duration::from_secs(120);

/// What a rule without conditions of its own begins its words with.
const NO_CONDITIONS: [&str; 5] = ["-A", "-j", "-g", "-m", "-c"];

/// What the rules do with marks, a listing for each family and flavour whose tool is there.
pub(super) fn firewalls() -> Result<Vec<Firewall>, PortError> {
    let families = ["iptables", "ip6tables"];
    let flavours = ["-save", "-nft-save", "-legacy-save"];
    let mut firewalls = Vec::new();
    for family in families {
        let mut outputs = Vec::new();
        for flavour in flavours {
            let tool = format!("{family}{flavour}");
            let output = match child::output(&tool, &[], None, LISTING) {
                Ok(output) => output,
                Err(error) if error.kind() == io::ErrorKind::TimedOut => {
                    let operation = "read the rules of iptables";
                    return Err(PortError::new(ErrorClass::Transient, operation, error));
                }
                Err(_) => continue,
            };
            // The first is one of the others under another name.
            let rules = comparable(&String::from_utf8_lossy(&output.stdout));
            if !outputs.contains(&rules) {
                firewalls.push(read(family, &rules));
                outputs.push(rules);
            }
        }
    }
    Ok(firewalls)
}

/// Without the comments, which have the time.
fn comparable(listing: &str) -> String {
    listing
        .lines()
        .filter(|line| !line.starts_with('#'))
        .fold(String::new(), |all, line| all + line + "\n")
}

pub(super) fn read(family: &str, listing: &str) -> Firewall {
    let mut firewall = Firewall { shows_targets: true, ..Firewall::default() };
    let mut table = "";
    for line in listing.lines() {
        if let Some(name) = line.strip_prefix('*') {
            table = name;
        } else if let Some(chain) = line.strip_prefix(':') {
            let chain = chain.split_whitespace().next().unwrap_or_default();
            let place = match chain {
                "PREROUTING" => HookPlace::Before,
                "FORWARD" | "POSTROUTING" => HookPlace::Behind,
                "INPUT" | "OUTPUT" => HookPlace::Local,
                _ => continue,
            };
            firewall.bases.insert(format!("{table} {chain}"), place);
        } else if line.starts_with("-A ") {
            firewall.rules.push(rule(family, table, line));
        }
    }
    firewall
}

fn rule(family: &str, table: &str, line: &str) -> FirewallRule {
    let words = words(line);
    let after = |option: &str| {
        let at = words.iter().position(|word| word == option)?;
        words.get(at + 1).map(String::as_str)
    };
    let target = after("-j").or_else(|| after("-g"));
    let verdict = match target {
        Some("ACCEPT" | "RETURN") => RuleVerdict::Spares,
        Some("DROP" | "REJECT") => RuleVerdict::Refuses,
        // Targets that are no chains have no rules, and nobody comes from there.
        Some(chain) => RuleVerdict::Jumps(format!("{table} {chain}")),
        None => RuleVerdict::Other,
    };
    let is_condition = |word: &&String| {
        word.starts_with('-') && !word.starts_with("--") && !NO_CONDITIONS.contains(&word.as_str())
    };
    let matches = words.windows(2).filter(|pair| pair[0] == "-m").any(|pair| pair[1] != "comment");
    let (connection_bits, overwrites_connection) = connection_bits(&words);
    FirewallRule {
        chain: format!("{table} {}", after("-A").unwrap_or_default()),
        who: format!("the {family} rule `{line}`"),
        marks: packet_marks(&words),
        conditional: matches || words.iter().any(|word| is_condition(&word)),
        connection_bits,
        overwrites_connection,
        // With a mask it is in the bits that are written.
        saved: match overwrites_connection && words.iter().any(|word| word == "--save-mark") {
            true => u32::MAX,
            false => 0,
        },
        written: written(&words),
        may_set: may_set(&words),
        is_unread: false,
        verdict,
    }
}

/// What is between quotes is one word, and no option.
fn words(line: &str) -> Vec<String> {
    let parts = line.split('"').enumerate();
    parts
        .flat_map(|(index, part)| match index % 2 {
            0 => part.split_whitespace().map(str::to_owned).collect(),
            _ => vec!["quoted".to_owned()],
        })
        .collect()
}

/// What a rule matches packets' marks with: want, mask, inverted.
fn packet_marks(words: &[String]) -> Vec<(u32, u32, bool)> {
    arguments(words)
        .filter(|argument| (argument.of, argument.option) == ("mark", "--mark"))
        .map(|argument| {
            let (want, mask) = value_and_mask(argument.value);
            (want & mask, mask, argument.inverted)
        })
        .collect()
}

/// What a rule gives to the marks of packets, or of connections: value, and the bits that it is about.
fn written(words: &[String]) -> Vec<(u32, u32)> {
    arguments(words).filter_map(|argument| given(&argument)).collect()
}

fn given(Argument { of, option, value, .. }: &Argument<'_>) -> Option<(u32, u32)> {
    match (*of, *option) {
        ("MARK" | "CONNMARK", "--set-xmark" | "--set-mark") | ("TPROXY", "--tproxy-mark") => {
            let (value, mask) = value_and_mask(value);
            Some((value, mask | value))
        }
        ("MARK", "--or-mark" | "--xor-mark") => number(value).map(|bits| (bits, bits)),
        _ => None,
    }
}

/// Bits that a rule may set in packets' marks.
fn may_set(words: &[String]) -> u32 {
    let bits = arguments(words).fold(0, |bits, argument| {
        let given = match (argument.of, argument.option) {
            ("CONNMARK", "--restore-mark") => u32::MAX,
            ("SET", "--map-mark") => u32::MAX,
            ("HMARK", _) => u32::MAX,
            ("CONNMARK", _) => 0,
            _ => given(&argument).map_or(0, |(value, _)| value),
        };
        bits | given
    });
    // Follows --restore-mark, and says which bits are copied.
    let copied = arguments(words).find(|one| (one.of, one.option) == ("CONNMARK", "--ctmask"));
    bits & copied.and_then(|argument| number(argument.value)).unwrap_or(u32::MAX)
}

/// Bits of the connection's mark that a rule matches or writes, and whether it writes all of them and keeps none.
fn connection_bits(words: &[String]) -> (u32, bool) {
    let mut bits = 0;
    let mut overwrites = false;
    for Argument { of, option, value, .. } in arguments(words) {
        let (want, mask) = value_and_mask(value);
        let whole = mask == u32::MAX;
        match (of, option) {
            ("connmark", "--mark") => bits |= if whole { want } else { want | mask },
            ("CONNMARK", "--set-xmark" | "--set-mark") => {
                bits |= if whole { want } else { want | mask };
                overwrites |= whole;
            }
            ("CONNMARK", "--save-mark") => overwrites = true,
            // Follows --save-mark and narrows it.
            ("CONNMARK", "--ctmask") if overwrites => {
                let narrow = number(value).unwrap_or(u32::MAX);
                if narrow != u32::MAX {
                    (bits, overwrites) = (bits | narrow, false);
                }
            }
            _ => {}
        }
    }
    (bits, overwrites)
}

/// An option of a match or target, with the word that follows it.
struct Argument<'a> {
    of: &'a str,
    option: &'a str,
    value: &'a str,
    inverted: bool,
}

fn arguments(words: &[String]) -> impl Iterator<Item = Argument<'_>> {
    let mut of = "";
    let mut before = "";
    (0..words.len()).filter_map(move |index| {
        let option = words.get(index)?.as_str();
        let value = words.get(index + 1).map(String::as_str).unwrap_or_default();
        let inverted = std::mem::replace(&mut before, option) == "!";
        if ["-m", "-j"].contains(&option) {
            of = value;
        }
        option.starts_with("--").then_some(Argument { of, option, value, inverted })
    })
}

fn value_and_mask(text: &str) -> (u32, u32) {
    let (value, mask) = text.split_once('/').unwrap_or((text, "0xffffffff"));
    (number(value).unwrap_or(0), number(mask).unwrap_or(u32::MAX))
}

fn number(text: &str) -> Option<u32> {
    match text.strip_prefix("0x") {
        Some(digits) => u32::from_str_radix(digits, 16).ok(),
        None => text.parse().ok(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn bits_of_connection_marks_are_read() {
        for (line, bits) in [
            ("-A X -j CONNMARK --set-xmark 0x4000/0x4000", (0x4000, false)),
            ("-A X -m connmark --mark 0x1000/0x1000 -j ACCEPT", (0x1000, false)),
            ("-A X -j CONNMARK --set-xmark 0x1/0xffffffff", (1, true)),
            ("-A X -j CONNMARK --save-mark --nfmask 0x80 --ctmask 0x80", (0x80, false)),
            ("-A X -j CONNMARK --save-mark", (0, true)),
            ("-A X -j CONNMARK --save-mark --nfmask 0xffffffff --ctmask 0xffffffff", (0, true)),
            // What is copied to packets alone does not touch the connection.
            ("-A X -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff", (0, false)),
            ("-A X -j MARK --set-xmark 0x1000/0x1000", (0, false)),
            ("-A X -m mark --mark 0x1000/0x1000 -j ACCEPT", (0, false)),
            ("-A X -p tcp --dport 4096 -j ACCEPT", (0, false)),
            ("-A X -m comment --comment \"-j CONNMARK --save-mark\" -j ACCEPT", (0, false)),
        ] {
            assert_eq!(connection_bits(&words(line)), bits, "{line}");
        }
    }

    #[test]
    fn matches_of_packet_marks_are_read() {
        let read = |line: &str| packet_marks(&words(line));
        let accept = "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT";
        assert_eq!(read(accept), [(0x4000, 0x4000, false)]);
        let back = "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN";
        assert_eq!(read(back), [(0x4000, 0x4000, true)]);
        assert_eq!(read("-A X -m mark --mark 0x1 -j DROP"), [(1, u32::MAX, false)]);
        assert_eq!(read("-A X -m connmark --mark 0x1 -j DROP"), []);
        assert_eq!(read("-A X -j MARK --set-xmark 0x1/0x1"), []);
    }

    #[test]
    fn marks_that_are_written_are_read() {
        let read = |line: &str| written(&words(line));
        let all = u32::MAX;
        assert_eq!(read("-A X -j MARK --set-xmark 0x54/0xffffffff"), [(0x54, all)]);
        assert_eq!(read("-A X -j CONNMARK --set-xmark 0x7/0xffffffff"), [(7, all)]);
        let proxy = "-A X -p tcp -j TPROXY --on-port 4000 --on-ip 127.0.0.1 --tproxy-mark";
        assert_eq!(read(&format!("{proxy} 0x200/0xffffffff")), [(0x200, all)]);
        assert_eq!(read(&format!("{proxy} 0x200/0xf00")), [(0x200, 0xf00)]);
        assert_eq!(read("-A X -j MARK --set-xmark 0x10000/0x10000"), [(0x10000, 0x10000)]);
        assert!(read("-A X -j CONNMARK --restore-mark").is_empty());
    }

    #[test]
    fn bits_that_may_be_set_in_packets_marks_are_read() {
        for (line, bits) in [
            ("-A X -j MARK --set-xmark 0x10000/0x10000", 0x10000),
            ("-A X -j MARK --set-xmark 0x0/0x10000", 0),
            ("-A X -j MARK --or-mark 0x20000", 0x20000),
            ("-A X -j TPROXY --on-port 4000 --tproxy-mark 0x200/0xf00", 0x200),
            ("-A X -j CONNMARK --restore-mark", u32::MAX),
            ("-A X -j CONNMARK --restore-mark --nfmask 0x80 --ctmask 0x80", 0x80),
            ("-A X -j CONNMARK --set-xmark 0x80/0x80", 0),
            ("-A X -j CONNMARK --save-mark", 0),
            ("-A X -j SET --map-set approved src --map-mark", u32::MAX),
        ] {
            assert_eq!(may_set(&words(line)), bits, "{line}");
        }
    }

    #[test]
    fn chains_conditions_and_verdicts_are_read() {
        let listing = "*filter\n:FORWARD ACCEPT [0:0]\n:cali-X - [0:0]\n\
            -A FORWARD -m comment --comment \"a drop\" -j cali-X\n\
            -A cali-X -i cali+ -j DROP\n-A cali-X -j REJECT --reject-with icmp-port-unreachable\n";
        let firewall = super::read("iptables", listing);
        assert_eq!(firewall.bases, [("filter FORWARD".to_owned(), HookPlace::Behind)].into());
        let [jump, drop, reject] = firewall.rules.as_slice() else { panic!("{firewall:?}") };
        assert_eq!(jump.verdict, RuleVerdict::Jumps("filter cali-X".to_owned()));
        assert_eq!([jump.conditional, drop.conditional, reject.conditional], [false, true, false]);
        assert_eq!([&drop.verdict, &reject.verdict], [&RuleVerdict::Refuses; 2]);
    }
}
