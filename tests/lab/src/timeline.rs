//! What happened when: the agents' logs and what the oracles saw, on one clock.

use std::fmt;
use std::net::IpAddr;
use std::time::Duration;

use crate::clock::WallTime;
use crate::oracle::{Answers, GatewayOracle};
use crate::test_bed::TestBed;
use crate::wire::Mac;

/// One failover or planned move of one address, from what the agents said and the oracles saw.
#[derive(Clone, Debug, PartialEq)]
pub struct Passage {
    /// The address.
    pub address: IpAddr,
    /// When it was caused: power-off, or the command.
    pub begun: WallTime,
    /// Who held it.
    pub from: String,
    /// Who took it.
    pub to: Option<String>,
    /// The old holder's last renewal, as the new one heard it.
    pub last_renewal: Option<WallTime>,
    /// The new one had its majority.
    pub takeover: Option<WallTime>,
    /// Its first announcement on the LAN.
    pub announced: Option<WallTime>,
    /// The first packet that left through it, on the router's LAN side.
    pub first_packet: Option<WallTime>,
    /// The last packet through the old one.
    pub last_packet: Option<WallTime>,
}

impl Passage {
    /// Puts together what is known of `address` since `begun`, when `from` held it.
    #[must_use]
    pub fn observe(
        lab: &impl TestBed,
        (gateways, answers): (&GatewayOracle, &Answers),
        address: IpAddr,
        from: &str,
        begun: WallTime,
    ) -> Self {
        let old = lab.mac_of(from);
        let other = |mac: Mac| Some(mac) != old;
        let runs = gateways.runs();
        let first = runs.of(address).iter().find(|r| r.first >= begun && other(r.mac)).copied();
        let last = runs.of(address).iter().rfind(|r| Some(r.mac) == old && r.first <= begun);
        let heard = answers.announcements(begun);
        let announced = heard.iter().find(|a| a.address == address && other(a.mac));
        let events = lab.journal().events("took_over", begun);
        let took = events.iter().find(|e| e.address() == Some(address));
        let silent = took.and_then(|e| e.number("silent_ms")).filter(|ms| *ms >= 0.0);
        let held = lab.journal().events("held", begun);
        let held = held.iter().find(|e| e.address() == Some(address) && e.from != from);
        let mac = first.map(|run| run.mac).or(announced.map(|a| a.mac));
        Self {
            address,
            begun,
            from: from.to_owned(),
            to: mac
                .and_then(|mac| lab.name_of(mac))
                .or_else(|| took.map(|entry| entry.from.clone())),
            last_renewal: took
                .zip(silent)
                .map(|(entry, ms)| entry.at - Duration::from_secs_f64(ms / 1e3)),
            takeover: took.or(held).map(|entry| entry.at),
            announced: announced.map(|a| a.at),
            first_packet: first.map(|run| run.first),
            last_packet: last.map(|run| run.last),
        }
    }

    /// From the cause to the first packet through the new holder.
    #[must_use]
    pub fn gap(&self) -> Option<Duration> {
        self.first_packet.map(|at| at.since(self.begun))
    }
}

impl fmt::Display for Passage {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let to = self.to.as_deref().unwrap_or("nobody");
        writeln!(f, "  {}   {} → {to}", self.address, self.from)?;
        let mut lines = [
            ("last renewal heard", self.last_renewal),
            ("last packet through the old holder", self.last_packet),
            ("takeover: a majority has granted it", self.takeover),
            ("announced on the LAN", self.announced),
            ("first packet through the new holder", self.first_packet),
        ];
        lines.sort_by_key(|(_, at)| at.unwrap_or(WallTime(u64::MAX)));
        for (what, at) in lines {
            if let Some(at) = at {
                writeln!(f, "    {:>8.0} ms   {what}", at.millis_after(self.begun))?;
            }
        }
        Ok(())
    }
}
