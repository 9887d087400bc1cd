use std::collections::BTreeSet;

use egret_datapath::host::HostUplink;
use ipnet::IpNet;

use super::*;
use crate::testing::uplink;

mod in_time;
mod private;

const BLINK: Duration = Duration::from_millis(100);

fn ip(text: &str) -> IpAddr {
    text.parse().unwrap()
}

fn ips(texts: &[&str]) -> Vec<IpAddr> {
    texts.iter().map(|text| ip(text)).collect()
}

fn present(uplinks: &[HostUplink]) -> BTreeSet<IpAddr> {
    uplinks.iter().flat_map(|uplink| &uplink.addresses).map(IpNet::addr).collect()
}

fn choose(
    given: &[&str],
    uplinks: &[HostUplink],
    now: Instant,
) -> Result<TunnelEndpoints, AgentError> {
    let host = HostAddresses {
        uplinks,
        others: &[],
        present: &present(uplinks),
        egress: &BTreeSet::new(),
    };
    let wanted = match given {
        [] => WantedEndpoints::OfNode(Vec::new()),
        given => WantedEndpoints::Given(ips(given)),
    };
    TunnelEndpoints::choose(&wanted, &host, now)
}

/// A host whose interfaces are its uplinks, and the agent that runs on it.
struct Host {
    uplinks: Vec<HostUplink>,
    egress: BTreeSet<IpAddr>,
    now: Instant,
    endpoints: TunnelEndpoints,
}

impl Host {
    fn new(given: &[&str], uplinks: &[HostUplink]) -> Self {
        let now = Instant::now();
        let endpoints = choose(given, uplinks, now).unwrap();
        Self { uplinks: uplinks.to_vec(), egress: BTreeSet::new(), now, endpoints }
    }

    /// What is in use once the host has had these uplinks for so long.
    fn after(&mut self, uplinks: &[HostUplink], pause: Duration) -> Vec<IpAddr> {
        self.uplinks = uplinks.to_vec();
        self.look();
        self.now += pause;
        self.look();
        self.endpoints.current().to_vec()
    }

    fn look(&mut self) {
        let present = present(&self.uplinks);
        let host = HostAddresses {
            uplinks: &self.uplinks,
            others: &[],
            present: &present,
            egress: &self.egress,
        };
        let before = self.endpoints.current().to_vec();
        let changed = self.endpoints.follow(&host, self.now);
        assert_eq!(changed, self.endpoints.current() != before);
    }

    /// What the other nodes lack of this one.
    fn trouble(&self) -> String {
        self.said(AgentReason::EndpointMissing)
    }

    fn impaired(&self) -> String {
        self.said(AgentReason::EndpointImpaired)
    }

    fn said(&self, reason: AgentReason) -> String {
        self.endpoints.troubles(self.now).remove(&reason).unwrap_or_default()
    }
}

#[test]
fn an_address_that_is_there_stays_whatever_comes() {
    let mut host = Host::new(&[], &[uplink(3, &["10.0.1.20/24"])]);
    for uplinks in [
        vec![uplink(3, &["10.0.1.10/24", "10.0.1.20/24"])],
        vec![uplink(2, &["192.0.2.9/24"]), uplink(3, &["10.0.1.20/24"])],
        vec![uplink(2, &["10.0.1.20/24", "192.0.2.9/24"])],
    ] {
        assert_eq!(host.after(&uplinks, 2 * RESTLESS), ips(&["10.0.1.20"]));
    }
    // With the link that it was on last.
    assert_eq!(host.after(&[uplink(2, &["192.0.2.9/24"])], RENEWAL), ips(&["192.0.2.9"]));
}

#[test]
fn a_renewal_that_takes_it_away_and_gives_it_again_moves_nothing() {
    let own = uplink(2, &["10.0.1.20/24"]);
    let mut host = Host::new(&[], &[own.clone(), uplink(3, &["192.0.2.9/24"])]);
    for without in [vec![], vec![uplink(2, &["10.0.1.77/24"])]] {
        for _ in 0..9 {
            let rest = [without.clone(), vec![uplink(3, &["192.0.2.9/24"])]].concat();
            assert_eq!(host.after(&rest, BLINK), ips(&["10.0.1.20"]));
            assert!(host.endpoints.is_restless(host.now));
            assert_eq!(host.endpoints.due(host.now), Some(RENEWAL - BLINK));
            assert_eq!(host.trouble(), "");
            let again = [own.clone(), uplink(3, &["192.0.2.9/24"])];
            assert_eq!(host.after(&again, BLINK), ips(&["10.0.1.20"]));
            assert!(!host.endpoints.is_restless(host.now));
            assert_eq!(host.endpoints.due(host.now), None);
        }
    }
}

#[test]
fn another_link_is_never_taken() {
    let (own, other) = (uplink(2, &["10.0.1.20/24"]), uplink(3, &["192.0.2.9/24"]));
    let mut host = Host::new(&[], &[own.clone(), other.clone()]);
    for pause in [RENEWAL, FAMILY_LOST, RESTLESS] {
        assert_eq!(host.after(std::slice::from_ref(&other), pause), ips(&["10.0.1.20"]));
        assert!(host.trouble().contains("eth2 has no other IPv4 address"), "{}", host.trouble());
    }
    // Nor where no uplink is known.
    assert_eq!(host.after(&[], RESTLESS), ips(&["10.0.1.20"]));
    assert_eq!(host.after(&[own, other.clone()], BLINK), ips(&["10.0.1.20"]));
    assert_eq!(host.trouble(), "");
    // Made anew by its driver, and renamed.
    let anew = HostUplink { name: "eth2".to_owned(), ..uplink(9, &["10.0.1.21/24"]) };
    assert_eq!(host.after(&[other.clone(), anew], RENEWAL), ips(&["10.0.1.21"]));
    let renamed = HostUplink { name: "lan0".to_owned(), ..uplink(9, &["10.0.1.22/24"]) };
    assert_eq!(host.after(&[other, renamed], RENEWAL), ips(&["10.0.1.22"]));
}

/// As after `ip link set eth2 down`, which flushes IPv6 addresses.
#[test]
fn a_family_that_was_given_up_comes_back_on_its_link_alone() {
    let other = uplink(3, &["192.0.2.9/24", "2001:db8:3::9/64"]);
    let own = uplink(2, &["10.0.1.20/24", "2001:db8::20/64"]);
    let mut host = Host::new(&[], &[own.clone(), other.clone()]);
    let four = [uplink(2, &["10.0.1.20/24"]), other.clone()];
    assert_eq!(host.after(&four, FAMILY_LOST), ips(&["10.0.1.20"]));
    assert_eq!(host.after(&four, RESTLESS), ips(&["10.0.1.20"]));
    assert_eq!(host.after(&[own, other], BLINK), ips(&["10.0.1.20", "2001:db8::20"]));
}

#[test]
fn the_earliest_of_several_that_are_missing_is_due() {
    let mut host = Host::new(&[], &[uplink(2, &["10.0.1.20/24", "2001:db8::20/64"])]);
    host.after(&[uplink(2, &["2001:db8::20/64"])], BLINK);
    host.after(&[], BLINK);
    assert_eq!(host.endpoints.due(host.now), Some(RENEWAL - 2 * BLINK));
    host.now += RENEWAL - 2 * BLINK;
    assert_eq!(host.endpoints.due(host.now), Some(BLINK), "the other one");
    host.now += BLINK;
    assert_eq!(host.endpoints.due(host.now), None);
}

#[test]
fn a_family_that_is_gone_for_long_is_left_for_the_other_one() {
    let mut host = Host::new(&[], &[uplink(2, &["10.0.1.20/24"])]);
    let both = [uplink(2, &["10.0.1.20/24", "2001:db8::20/64"])];
    assert_eq!(host.after(&both, BLINK), ips(&["10.0.1.20", "2001:db8::20"]));
    let four = [uplink(2, &["10.0.1.20/24"])];
    assert_eq!(host.after(&four, RENEWAL), ips(&["10.0.1.20", "2001:db8::20"]));
    assert_eq!(host.trouble(), "", "what the tunnel uses is there");
    assert_eq!(host.after(&four, FAMILY_LOST), ips(&["10.0.1.20"]));
    assert_eq!(host.after(&both, BLINK), ips(&["10.0.1.20", "2001:db8::20"]));
    let six = [uplink(2, &["2001:db8::20/64"])];
    assert_eq!(host.after(&six, RENEWAL), ips(&["10.0.1.20", "2001:db8::20"]));
    assert!(host.trouble().contains("eth2 has no other IPv4 address"), "{}", host.trouble());
    assert_eq!(host.after(&six, FAMILY_LOST), ips(&["2001:db8::20"]));
    assert_eq!(host.trouble(), "");
    assert!(!host.endpoints.is_restless(host.now));
    // Peers reach it by either.
    assert_eq!(host.after(&both, BLINK), ips(&["2001:db8::20", "10.0.1.20"]));
}

#[test]
fn what_does_not_last_and_egress_addresses_are_never_chosen() {
    let passing = HostUplink {
        lasting: ips(&["2001:db8::20"]),
        ..uplink(2, &["2001:db8::66/64", "2001:db8::20/64"])
    };
    let mut host = Host::new(&[], std::slice::from_ref(&passing));
    assert_eq!(host.endpoints.current(), ips(&["2001:db8::20"]));
    // Deprecated by now, and still there.
    let deprecated = HostUplink { lasting: Vec::new(), ..passing };
    assert_eq!(host.after(&[deprecated], RESTLESS), ips(&["2001:db8::20"]));
    host.egress = ips(&["2001:db8::30"]).into_iter().collect();
    let next = uplink(2, &["2001:db8::30/64", "2001:db8::21/64"]);
    assert_eq!(host.after(&[next], RENEWAL), ips(&["2001:db8::21"]));
}

#[test]
fn a_host_that_has_nothing_better_begins_with_what_does_not_last() {
    let passing = HostUplink { lasting: Vec::new(), ..uplink(2, &["2001:db8::66/64"]) };
    let mut host = Host::new(&[], std::slice::from_ref(&passing));
    assert_eq!(host.endpoints.current(), ips(&["2001:db8::66"]));
    let both = uplink(2, &["2001:db8::66/64", "2001:db8::20/64"]);
    let better = HostUplink { lasting: ips(&["2001:db8::20"]), ..both };
    assert_eq!(host.after(&[better], RESTLESS), ips(&["2001:db8::66"]), "it is there");
    let rest = uplink(2, &["2001:db8::20/64"]);
    assert_eq!(host.after(&[rest], RENEWAL), ips(&["2001:db8::20"]));
    let (alone, egress) = ([passing], ips(&["2001:db8::66"]).into_iter().collect());
    let carried =
        HostAddresses { uplinks: &alone, others: &[], present: &present(&alone), egress: &egress };
    let none = TunnelEndpoints::choose(&WantedEndpoints::OfNode(Vec::new()), &carried, host.now);
    assert!(matches!(none, Err(AgentError::NoEndpoint)));
}

/// keepalived's address was there while DHCP renewed the node's own.
#[test]
fn what_was_left_is_gone_back_to() {
    let own = ["10.0.1.20/24", "10.0.1.99/32"];
    let mut host = Host::new(&[], &[uplink(2, &own)]);
    assert_eq!(host.after(&[uplink(2, &own[1..])], RENEWAL), ips(&["10.0.1.99"]));
    assert_eq!(host.after(&[uplink(2, &own)], BLINK), ips(&["10.0.1.20"]));
    assert_eq!(host.after(&[uplink(2, &own)], RESTLESS), ips(&["10.0.1.20"]));
    assert_eq!(host.trouble(), "");
}

#[test]
fn a_given_one_that_is_gone_is_said_until_it_is_back() {
    let own = [uplink(2, &["10.0.1.20/24"])];
    let mut host = Host::new(&["10.0.1.20"], &own);
    assert_eq!(host.after(&own, FAMILY_LOST), ips(&["10.0.1.20"]));
    assert_eq!(host.trouble(), "");
    let other = [uplink(2, &["10.0.1.21/24"])];
    assert_eq!(host.after(&other, BLINK), ips(&["10.0.1.20"]));
    assert_eq!(host.trouble(), "");
    assert_eq!(host.after(&other, 2 * FAMILY_LOST), ips(&["10.0.1.20"]));
    assert!(host.trouble().contains("--endpoint 10.0.1.20"), "{}", host.trouble());
    assert_eq!(host.after(&own, Duration::ZERO), ips(&["10.0.1.20"]));
    assert_eq!(host.trouble(), "");
}

/// As where one value of --endpoint is given to all nodes.
#[test]
fn given_ones_of_another_host_are_refused_at_the_start() {
    let own = [uplink(2, &["10.0.1.20/24"])];
    for given in [&["10.0.1.99"][..], &["10.0.1.99", "2001:db8::99"]] {
        let refused = choose(given, &own, Instant::now()).unwrap_err().to_string();
        assert!(refused.contains(&given.join(", ")), "{refused}");
    }
    // One of them is here: the other is said from the start, without any notice.
    let mut host = Host::new(&["10.0.1.99", "10.0.1.20"], &own);
    host.now += RENEWAL;
    assert!(host.trouble().contains("--endpoint 10.0.1.99"), "{}", host.trouble());
    assert_eq!(host.impaired(), "");
}

#[test]
fn a_second_given_one_that_is_gone_leaves_the_tunnel() {
    let both = [uplink(2, &["10.0.1.20/24", "2001:db8::20/64"])];
    let mut host = Host::new(&["10.0.1.20", "2001:db8::20"], &both);
    let four = [uplink(2, &["10.0.1.20/24"])];
    assert_eq!(host.after(&four, RESTLESS), ips(&["10.0.1.20", "2001:db8::20"]));
    assert_eq!(host.trouble(), "");
    assert!(host.impaired().contains("--endpoint 2001:db8::20"), "{}", host.impaired());
    host.after(&both, BLINK);
    assert_eq!(host.impaired(), "");
}

#[test]
fn a_subnet_that_no_link_is_in_is_refused_at_the_start() {
    let uplinks = [uplink(0, &["10.0.1.20/24"])];
    let host = HostAddresses {
        uplinks: &uplinks,
        others: &[],
        present: &present(&uplinks),
        egress: &BTreeSet::new(),
    };
    let within = |text: &str| {
        let wanted = WantedEndpoints::Within([text.parse().unwrap()].into());
        TunnelEndpoints::choose(&wanted, &host, Instant::now())
    };
    assert_eq!(within("10.0.0.0/16").unwrap().current(), ips(&["10.0.1.20"]));
    let refused = within("10.9.0.0/16").unwrap_err().to_string();
    assert!(refused.contains("--endpoint 10.9.0.0/16"), "{refused}");
}
