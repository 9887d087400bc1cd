//! Whether the routers behind the uplinks answer: one that no longer does swallows what leaves there, with the carrier
//! up.
//!
//! Who serves addresses gives them up later than who would take them over counts as doubtful: where the router itself
//! is gone, nobody takes anything.

use std::collections::{BTreeMap, BTreeSet};
use std::net::IpAddr;
use std::thread;
use std::time::{Duration, Instant};

use egret_core::lease::UplinkReach;
use egret_core::model::Family;
use egret_datapath::host::{HostUplink, NextHop};
use egret_datapath::link_proof::{self, LinkQuestion};
use serde::{Deserialize, Serialize};

/// How often a router that answers is asked at most: at every tick of the main loop.
const ASK_EVERY: Duration = Duration::from_millis(900);
/// So many questions in a row without an answer, and nobody comes here; each takes
/// [`egret_datapath::link_proof::ROUTER_PATIENCE`].
const DOUBTFUL_AFTER: u32 = 2;
/// So many, and what is here goes elsewhere. It takes longer than any other gateway takes to count as doubtful: a
/// pause of [`ASK_EVERY`] and the questions for that.
const SILENT_AFTER: u32 = 7;
/// So long a router that fell silent has to answer before this node takes addresses as any other would.
const STEADY_AFTER: Duration = Duration::from_secs(60);

/// Routers by link and family.
#[derive(Debug, Default)]
pub(crate) struct RouterWatch {
    ways: BTreeMap<(u32, Family), SeenRouters>,
    asked: Option<Instant>,
    /// Somebody is asking now.
    asking: bool,
}

/// The routers of one family on a link.
#[derive(Debug, Default)]
struct SeenRouters {
    /// Questions since the last answer, of each that has ever answered: of the others nothing is known.
    unanswered: BTreeMap<IpAddr, u32>,
    /// None of them answered for long enough.
    silent: bool,
    /// When one answered again.
    again: Option<Instant>,
}

/// What the next process of this boot is told of the routers of one family on a link: to it one that answers no
/// question would be one that never answered any, of which nothing is known.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct KeptRouters {
    link: u32,
    family: Family,
    /// Those that have ever answered, and whether they were in doubt.
    in_doubt: BTreeMap<IpAddr, bool>,
    silent: bool,
    /// One answers again, and has not for long.
    again: bool,
}

/// Whether each router has answered.
pub(crate) type RouterAnswers = Vec<(LinkQuestion, bool)>;

impl RouterWatch {
    /// The questions to ask now; `None` where it is too soon, or nobody is to be asked. [`Self::note`] follows.
    pub(crate) fn due(
        &mut self,
        questions: Vec<LinkQuestion>,
        now: Instant,
    ) -> Option<Vec<LinkQuestion>> {
        let links: BTreeSet<u32> = questions.iter().map(|question| question.link).collect();
        self.ways.retain(|(link, _), _| links.contains(link));
        for ((link, _), seen) in &mut self.ways {
            seen.unanswered.retain(|router, _| {
                questions.iter().any(|its| its.link == *link && its.neighbour == *router)
            });
        }
        let waits = self.ways.values().flat_map(|seen| seen.unanswered.values());
        let in_doubt = waits.into_iter().any(|unanswered| *unanswered > 0);
        let rests =
            self.asked.is_some_and(|asked| now.saturating_duration_since(asked) < ASK_EVERY);
        if self.asking || questions.is_empty() || (rests && !in_doubt) {
            return None;
        }
        (self.asked, self.asking) = (Some(now), true);
        Some(questions)
    }

    /// Takes note of what came of the questions.
    pub(crate) fn note(&mut self, answers: &[(LinkQuestion, bool)], now: Instant) {
        self.asking = false;
        for (question, answered) in answers {
            let way = (question.link, Family::of(question.neighbour));
            let seen = self.ways.entry(way).or_default();
            if *answered {
                seen.unanswered.insert(question.neighbour, 0);
            } else if let Some(unanswered) = seen.unanswered.get_mut(&question.neighbour) {
                *unanswered = unanswered.saturating_add(1);
            }
        }
        for seen in self.ways.values_mut() {
            seen.look(now);
        }
    }

    /// What the next process is to know. It changes when a router falls silent or is back, not at each question.
    pub(crate) fn kept(&self, now: Instant) -> Vec<KeptRouters> {
        let keep = |((link, family), seen): (&(u32, Family), &SeenRouters)| KeptRouters {
            link: *link,
            family: *family,
            in_doubt: seen
                .unanswered
                .iter()
                .map(|(router, unanswered)| (*router, *unanswered >= DOUBTFUL_AFTER))
                .collect(),
            silent: seen.silent,
            again: !seen.silent && seen.is_recent(now),
        };
        self.ways.iter().map(keep).collect()
    }

    /// Goes on with what an earlier process of this boot knew. One that was back has to last anew.
    pub(crate) fn recall(&mut self, kept: Vec<KeptRouters>, now: Instant) {
        for KeptRouters { link, family, in_doubt, silent, again } in kept {
            let unanswered = |in_doubt: bool| match (in_doubt, silent) {
                (false, _) => 0,
                (true, false) => DOUBTFUL_AFTER,
                (true, true) => SILENT_AFTER,
            };
            let seen = SeenRouters {
                unanswered: in_doubt
                    .into_iter()
                    .map(|(router, in_doubt)| (router, unanswered(in_doubt)))
                    .collect(),
                silent,
                again: again.then_some(now),
            };
            self.ways.insert((link, family), seen);
        }
    }

    /// Whether any router has ever been asked.
    pub(crate) fn is_empty(&self) -> bool {
        self.ways.is_empty()
    }

    /// What is known of the ways of a link, and the routers that are silent.
    pub(crate) fn ways(
        &self,
        link: u32,
        now: Instant,
    ) -> BTreeMap<Family, (UplinkReach, Vec<IpAddr>)> {
        let of_link = self.ways.iter().filter(|((of, _), _)| *of == link);
        of_link.map(|((_, family), seen)| (*family, (seen.reach(now), seen.silent()))).collect()
    }
}

impl SeenRouters {
    fn look(&mut self, now: Instant) {
        let Some(least) = self.unanswered.values().min() else { return };
        if *least >= SILENT_AFTER {
            (self.silent, self.again) = (true, None);
        } else if *least == 0 && self.silent {
            (self.silent, self.again) = (false, Some(now));
        }
    }

    fn reach(&self, now: Instant) -> UplinkReach {
        let in_doubt = self.unanswered.values().min().is_some_and(|least| *least >= DOUBTFUL_AFTER);
        if self.silent && !self.unanswered.is_empty() {
            UplinkReach::Lost
        } else if self.silent || in_doubt || self.is_recent(now) {
            UplinkReach::Unsteady
        } else {
            UplinkReach::Steady
        }
    }

    /// One that was silent is back, and not for long.
    fn is_recent(&self, now: Instant) -> bool {
        self.again.is_some_and(|again| now.saturating_duration_since(again) < STEADY_AFTER)
    }

    fn silent(&self) -> Vec<IpAddr> {
        self.unanswered.iter().filter(|(_, count)| **count > 0).map(|(router, _)| *router).collect()
    }
}

/// Whom to ask on a link: the routers by which it leads to the world in the families of `addresses` that it would carry.
pub(crate) fn questions(uplink: &HostUplink, addresses: &[IpAddr]) -> Vec<LinkQuestion> {
    let carries = |address: &&IpAddr| uplink.subnets().iter().any(|net| net.contains(*address));
    let families: BTreeSet<Family> =
        addresses.iter().filter(carries).map(|address| Family::of(*address)).collect();
    let routers = families.into_iter().flat_map(|family| routers(uplink, family));
    let ask = |neighbour| {
        let own = own_beside(uplink, neighbour)?;
        Some(LinkQuestion { link: uplink.index, mac: uplink.mac, own, neighbour })
    };
    routers.filter_map(ask).collect()
}

/// Asks all at once; blocks until each has answered, or has had its time for it.
pub(crate) fn ask(questions: Vec<LinkQuestion>) -> RouterAnswers {
    let answered = |question: LinkQuestion| {
        // Where it cannot be asked, that is the link's own trouble, which is looked at elsewhere.
        let answered = link_proof::is_answered(&question).ok()?;
        Some((question, answered))
    };
    thread::scope(|scope| {
        let asked: Vec<_> =
            questions.into_iter().map(|question| scope.spawn(move || answered(question))).collect();
        asked.into_iter().filter_map(|asked| asked.join().ok()?).collect()
    })
}

fn routers(uplink: &HostUplink, family: Family) -> BTreeSet<IpAddr> {
    let hop = match uplink.next_hops.get(&family) {
        // By this one alone addresses leave.
        Some(NextHop::Given(router)) => return BTreeSet::from([*router]),
        Some(NextHop::Default(router)) => Some(*router),
        // An appliance, which serves a part of the world: its end is not that of the way.
        Some(NextHop::Partial(_)) | None => None,
    };
    let of_main = uplink.defaults.iter().filter(|(of, _)| *of == family);
    of_main.filter_map(|(_, router)| *router).chain(hop).collect()
}

/// An address of its own to ask from: a router answers to one that it has on the link. A link-local one has all of them.
pub(crate) fn own_beside(uplink: &HostUplink, router: IpAddr) -> Option<IpAddr> {
    let is_lasting = |address: &IpAddr| uplink.lasting.contains(address);
    let is_link_local = matches!(router, IpAddr::V6(router) if router.is_unicast_link_local());
    let beside = uplink.addresses.iter().filter(|net| {
        net.contains(&router) || (is_link_local && net.addr().is_ipv6() && net.prefix_len() < 128)
    });
    beside.map(|net| net.addr()).find(|own| is_lasting(own) && *own != router)
}

#[cfg(test)]
mod tests;
