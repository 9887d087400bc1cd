//! Marks in iptables, legacy or nft, where their tools are installed: `nft` shows neither the legacy rules nor
//! the arguments of xtables matches.

use std::process::{Command, Stdio};

use egret_ports::steering::Collision;

use super::findings::HostFindings;
use crate::constants::HostSettings;
use crate::packet_mark::MarkMatch;

/// Adds rules that use our bit of the connection's mark, and what packets' marks are matched with.
pub(super) fn marks(settings: &HostSettings, found: &mut HostFindings) {
    let families = ["iptables", "ip6tables"];
    let flavours = ["-save", "-nft-save", "-legacy-save"];
    for family in families {
        for flavour in flavours {
            let tool = format!("{family}{flavour}");
            let output = Command::new(&tool).stdin(Stdio::null()).stderr(Stdio::null()).output();
            let Ok(output) = output else { continue };
            for line in String::from_utf8_lossy(&output.stdout).lines() {
                let who = format!("the {family} rule `{line}`");
                let matches = packet_marks(line, &who);
                if is_about_our_packets(&matches) && connection_bits(line) & settings.mark != 0 {
                    found.collisions.insert(Collision {
                        what: format!("the connection mark's bit {:#x}", settings.mark),
                        who,
                        setting: "mark",
                    });
                }
                found.marks.extend(matches);
            }
        }
    }
}

/// Whether a rule with these matches may be about packets that have our mark: it asks for no mark, which ours is
/// chosen not to be.
pub(super) fn is_about_our_packets(matches: &[MarkMatch]) -> bool {
    matches.iter().all(|one| one.inverted || (one.hits(0) && one.mask != u32::MAX))
}

/// What a line of iptables-save matches packets' marks with.
fn packet_marks(line: &str, who: &str) -> Vec<MarkMatch> {
    arguments(line)
        .filter(|argument| (argument.of, argument.option) == ("mark", "--mark"))
        .map(|argument| {
            let (want, mask) = value_and_mask(argument.value);
            let inverted = argument.inverted;
            MarkMatch { want, mask, inverted, before: false, who: who.to_owned() }
        })
        .collect()
}

/// Bits of the connection's mark that a line of iptables-save matches or writes.
fn connection_bits(line: &str) -> u32 {
    let mut bits = 0;
    let mut saves = false;
    for Argument { of, option, value, .. } in arguments(line) {
        match (of, option) {
            ("connmark", "--mark") | ("CONNMARK", "--set-xmark" | "--set-mark") => {
                let (want, mask) = value_and_mask(value);
                bits |= if mask == u32::MAX { want } else { want | mask };
            }
            ("CONNMARK", "--save-mark") => {
                saves = true;
                bits = u32::MAX;
            }
            // Follows --save-mark and narrows it.
            ("CONNMARK", "--ctmask") if saves => bits = number(value).unwrap_or(u32::MAX),
            _ => {}
        }
    }
    bits
}

/// An option of a match or target, with the word that follows it.
struct Argument<'a> {
    of: &'a str,
    option: &'a str,
    value: &'a str,
    inverted: bool,
}

fn arguments(line: &str) -> impl Iterator<Item = Argument<'_>> {
    let words: Vec<&str> = line.split_whitespace().collect();
    let mut of = "";
    let mut before = "";
    (0..words.len()).filter_map(move |index| {
        let option = *words.get(index)?;
        let value = words.get(index + 1).copied().unwrap_or_default();
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
            ("-A X -j CONNMARK --set-xmark 0x4000/0x4000", 0x4000),
            ("-A X -m connmark --mark 0x1000/0x1000 -j ACCEPT", 0x1000),
            ("-A X -j CONNMARK --set-xmark 0x1/0xffffffff", 1),
            ("-A X -j CONNMARK --save-mark --nfmask 0x80 --ctmask 0x80", 0x80),
            ("-A X -j CONNMARK --save-mark", u32::MAX),
            // What is copied to packets alone does not touch the connection.
            ("-A X -j CONNMARK --restore-mark --nfmask 0xffffffff --ctmask 0xffffffff", 0),
            ("-A X -j MARK --set-xmark 0x1000/0x1000", 0),
            ("-A X -m mark --mark 0x1000/0x1000 -j ACCEPT", 0),
            ("-A X -p tcp --dport 4096 -j ACCEPT", 0),
        ] {
            assert_eq!(connection_bits(line), bits, "{line}");
        }
    }

    #[test]
    fn matches_of_packet_marks_are_read() {
        let read = |line: &str| {
            let all = packet_marks(line, "x");
            all.into_iter().map(|one| (one.want, one.mask, one.inverted)).collect::<Vec<_>>()
        };
        let accept = "-A KUBE-FORWARD -m mark --mark 0x4000/0x4000 -j ACCEPT";
        assert_eq!(read(accept), [(0x4000, 0x4000, false)]);
        let back = "-A KUBE-POSTROUTING -m mark ! --mark 0x4000/0x4000 -j RETURN";
        assert_eq!(read(back), [(0x4000, 0x4000, true)]);
        assert_eq!(read("-A X -m mark --mark 0x1 -j DROP"), [(1, u32::MAX, false)]);
        assert_eq!(read("-A X -m connmark --mark 0x1 -j DROP"), []);
        assert_eq!(read("-A X -j MARK --set-xmark 0x1/0x1"), []);
    }

    /// wg-quick saves the marks of its own packets alone.
    #[test]
    fn a_rule_for_packets_with_another_mark_is_not_about_ours() {
        let own = "-A POSTROUTING -p udp -m mark --mark 0xca6c -j CONNMARK --save-mark";
        assert!(!is_about_our_packets(&packet_marks(own, "x")));
        let other = "-A POSTROUTING -m mark ! --mark 0xca6c -j CONNMARK --save-mark";
        assert!(is_about_our_packets(&packet_marks(other, "x")));
        assert!(is_about_our_packets(&packet_marks("-A X -j CONNMARK --save-mark", "x")));
    }
}
