use super::*;

fn with_host<T>(
    uplinks: &[HostUplink],
    others: &[HostUplink],
    ask: impl FnOnce(&HostAddresses<'_>) -> T,
) -> T {
    let all: Vec<HostUplink> = uplinks.iter().chain(others).cloned().collect();
    let (present, egress) = (&present(&all), &BTreeSet::new());
    ask(&HostAddresses { uplinks, others, present, egress })
}

/// A host with a public uplink, whose other links change, and the agent that runs on it.
struct PrivateHost {
    uplinks: [HostUplink; 1],
    others: Vec<HostUplink>,
    now: Instant,
    endpoints: TunnelEndpoints,
}

impl PrivateHost {
    fn new(wanted: &WantedEndpoints, others: &[HostUplink]) -> Self {
        let uplinks = [uplink(0, &["198.51.100.5/24", "2001:db8::5/64"])];
        let (others, now) = (others.to_vec(), Instant::now());
        let choose = |host: &HostAddresses<'_>| TunnelEndpoints::choose(wanted, host, now);
        let endpoints = with_host(&uplinks, &others, choose).unwrap();
        Self { uplinks, others, now, endpoints }
    }

    fn want(&mut self, wanted: &WantedEndpoints) -> Vec<IpAddr> {
        with_host(&self.uplinks, &self.others, |host| self.endpoints.want(wanted, host, self.now));
        self.endpoints.current().to_vec()
    }

    fn impaired(&self) -> String {
        self.endpoints.troubles(self.now).remove(&AgentReason::EndpointImpaired).unwrap_or_default()
    }

    fn of_node(known: &[&str], others: &[HostUplink]) -> Self {
        Self::new(&WantedEndpoints::OfNode(ips(known)), others)
    }

    /// What is in use once the host has had these other links for so long.
    fn after(&mut self, others: &[HostUplink], pause: Duration) -> Vec<IpAddr> {
        self.others = others.to_vec();
        for pause in [Duration::ZERO, pause] {
            self.now += pause;
            with_host(&self.uplinks, &self.others, |host| self.endpoints.follow(host, self.now));
        }
        self.endpoints.current().to_vec()
    }
}

/// What was wanted, what the other link has, and what is used of it.
#[test]
fn the_addresses_by_which_the_node_is_known_are_used_and_no_others() {
    let private = ["10.1.0.9/24", "10.1.0.5/24", "fd01::5/64"];
    let used = |known: &[&str], link: &[&str]| {
        PrivateHost::of_node(known, &[uplink(1, link)]).endpoints.current().to_vec()
    };
    assert_eq!(used(&["10.1.0.5"], &private), ips(&["10.1.0.5"]), "one family, one link");
    assert_eq!(used(&["fd01::5", "10.1.0.5"], &private), ips(&["10.1.0.5", "fd01::5"]));
    assert_eq!(used(&["fd01::5"], &private), ips(&["fd01::5"]), "IPv4 there was not asked for");
    assert_eq!(used(&["10.1.0.5"], &["10.1.0.5/32"]), ips(&["10.1.0.5"]), "alone in its subnet");
    let public = ips(&["198.51.100.5", "2001:db8::5"]);
    assert_eq!(used(&["203.0.113.9"], &private), public, "on no link: behind a NAT");
    assert_eq!(used(&[], &private), public);
}

#[test]
fn an_address_that_comes_after_the_start_is_moved_to() {
    let private = [uplink(1, &["10.1.0.5/24"])];
    let mut host = PrivateHost::of_node(&["10.1.0.5"], &[]);
    let why = host.impaired();
    assert!(why.contains("knows this node (10.1.0.5)") && why.contains("198.51.100.5"), "{why}");
    assert_eq!(host.after(&private, BLINK), ips(&["10.1.0.5"]), "and IPv6 has none any more");
    assert_eq!(host.impaired(), "");
    assert_eq!(PrivateHost::of_node(&[], &[]).impaired(), "", "the uplink is what is wanted");
}

#[test]
fn a_private_link_that_goes_and_comes_leaves_nothing_of_the_public_one() {
    let private = [uplink(1, &["10.1.0.5/24"])];
    let mut host = PrivateHost::of_node(&["10.1.0.5"], &private);
    assert_eq!(host.after(&[], FAMILY_LOST * 2), ips(&["10.1.0.5"]), "no other network is taken");
    assert_eq!(host.after(&private, BLINK), ips(&["10.1.0.5"]));
}

#[test]
fn another_address_within_the_subnet_comes_before_others_of_the_link() {
    let within = WantedEndpoints::Within(["10.1.0.0/16".parse().unwrap()].into());
    let with = |own: &str| [uplink(1, &[own, "192.0.2.9/24"])];
    let mut host = PrivateHost::new(&within, &with("10.1.0.5/16"));
    assert_eq!(host.after(&with("10.1.0.7/16"), RENEWAL), ips(&["10.1.0.7"]));
    let gone = [uplink(1, &["192.0.2.9/24"])];
    assert_eq!(host.after(&gone, RENEWAL), ips(&["192.0.2.9"]), "what the link has");
    assert_eq!(host.after(&with("10.1.0.8/16"), BLINK), ips(&["10.1.0.8"]), "and back within");
}

fn asked(nets: &[&str]) -> WantedEndpoints {
    let nets = nets.iter().map(|net| net.parse().unwrap()).collect();
    WantedEndpoints::Asked { nets, by: "the annotation".to_owned() }
}

#[test]
fn what_is_asked_for_while_the_agent_runs_is_moved_to_and_back() {
    let private = [uplink(1, &["10.1.0.5/24", "fd01::5/64"])];
    let public = ips(&["198.51.100.5", "2001:db8::5"]);
    let mut host = PrivateHost::of_node(&[], &private);
    assert_eq!(host.endpoints.current(), public);
    assert_eq!(host.want(&asked(&["10.1.0.0/16"])), ips(&["10.1.0.5"]));
    assert_eq!(host.after(&private, RESTLESS), ips(&["10.1.0.5"]));
    let known = WantedEndpoints::OfNode(ips(&["10.1.0.5", "fd01::5"]));
    assert_eq!(host.want(&known), ips(&["10.1.0.5", "fd01::5"]));
    assert_eq!(host.want(&WantedEndpoints::OfNode(Vec::new())), public);
    assert_eq!(host.after(&private, RESTLESS), public);
}

/// As an annotation that names another node's network.
#[test]
fn what_no_link_has_moves_nothing_and_is_said_with_the_remedy() {
    let private = [uplink(1, &["10.1.0.5/24"])];
    let mut host = PrivateHost::of_node(&["10.1.0.5"], &private);
    assert_eq!(host.want(&asked(&["10.9.0.0/16"])), ips(&["10.1.0.5"]));
    assert_eq!(host.after(&private, RESTLESS), ips(&["10.1.0.5"]));
    for part in ["10.9.0.0/16", "the annotation", "take it away", "10.1.0.5"] {
        assert!(host.impaired().contains(part), "{}", host.impaired());
    }
    let came = [uplink(1, &["10.1.0.5/24", "10.9.0.5/24"])];
    assert_eq!(host.after(&came, BLINK), ips(&["10.9.0.5"]));
    assert_eq!(host.impaired(), "");
}

#[test]
fn a_second_family_that_is_renumbered_is_followed_as_the_first_is() {
    let with = |own: &[&str]| [uplink(1, own)];
    let before = with(&["10.1.0.5/24", "fd01::5/64"]);
    let mut host = PrivateHost::of_node(&["10.1.0.5", "fd01::5"], &before);
    let six = with(&["10.1.0.5/24", "fd01::7/64"]);
    assert_eq!(host.after(&six, RENEWAL), ips(&["10.1.0.5", "fd01::7"]));
    assert_eq!(host.after(&six, RESTLESS), ips(&["10.1.0.5", "fd01::7"]), "and stays");
    let four = with(&["10.1.0.9/24", "fd01::7/64"]);
    assert_eq!(host.after(&four, RENEWAL), ips(&["10.1.0.9", "fd01::7"]));
    // Over a gap in which it has none.
    let alone = with(&["10.1.0.9/24"]);
    assert_eq!(host.after(&alone, FAMILY_LOST), ips(&["10.1.0.9"]));
    let back = with(&["10.1.0.9/24", "fd01::8/64"]);
    assert_eq!(host.after(&back, BLINK), ips(&["10.1.0.9", "fd01::8"]));
}

/// The network of the nodes becomes one of IPv6 alone, and one of IPv4 again.
#[test]
fn the_internal_address_of_one_family_goes_and_comes() {
    let (both, six) = (["10.1.0.5/24", "fd01::5/64"], ["fd01::5/64"]);
    let mut host = PrivateHost::of_node(&["10.1.0.5", "fd01::5"], &[uplink(1, &both)]);
    assert_eq!(host.after(&[uplink(1, &six)], FAMILY_LOST), ips(&["fd01::5"]));
    assert_eq!(host.after(&[uplink(1, &both)], BLINK), ips(&["fd01::5", "10.1.0.5"]));
    // Known by IPv4 alone, as its pod was started.
    let mut host = PrivateHost::of_node(&["10.1.0.5"], &[uplink(1, &both)]);
    assert_eq!(host.after(&[uplink(1, &six)], RENEWAL), ips(&["10.1.0.5"]));
    assert_eq!(host.after(&[uplink(1, &six)], FAMILY_LOST), ips(&["fd01::5"]), "of the same link");
    assert_eq!(host.after(&[uplink(1, &both)], BLINK), ips(&["10.1.0.5"]));
}

/// Known by IPv6 alone, and that comes late.
#[test]
fn the_public_network_is_left_whole_where_the_second_family_was_asked_for() {
    let mut host = PrivateHost::of_node(&["fd01::5"], &[]);
    assert_eq!(host.endpoints.current(), ips(&["198.51.100.5", "2001:db8::5"]));
    assert_eq!(host.after(&[uplink(1, &["fd01::5/64"])], BLINK), ips(&["fd01::5"]));
}
