use super::*;

fn any(interface: &str, wanted: &[&str]) -> Ec2Call {
    let wanted = wanted.iter().map(|public| ip(public)).collect();
    Ec2Call::AssignAny { interface: interface.into(), wanted }
}

fn to(interface: &str, private: &str, take: bool) -> Ec2Call {
    let (interface, private) = (interface.into(), ip(private));
    let allocation = format!("eipalloc-{PUBLIC}");
    Ec2Call::Associate { public: ip(PUBLIC), allocation, interface, private, take }
}

fn at(node: &str, wire: &str) -> Attachment {
    let allocation = format!("eipalloc-{PUBLIC}");
    elastic_attachment(node.into(), ip(wire), &format!("eni-{node}"), &allocation)
}

fn unassign<T>(interface: &str, address: &str) -> Step<T> {
    let (interface, addresses) = (interface.into(), [ip(address)].into());
    Step::Call(Ec2Call::UnassignPrivate { interface, addresses })
}

#[test]
fn an_elastic_ip_that_is_free_gets_a_wire_address_and_is_mapped_to_it() {
    let mut account = Account::new();
    assert_eq!(account.attach(PUBLIC, "a"), Step::Call(any("eni-a", &[PUBLIC])));
    // What a crash has left is used.
    account.secondary("eni-a", "10.0.1.77");
    assert_eq!(account.attach(PUBLIC, "a"), Step::Call(to("eni-a", "10.0.1.77", false)));
    account.elastic(PUBLIC, Some(("eni-a", "10.0.1.77")));
    assert_eq!(account.attach(PUBLIC, "a"), Step::Done(at("a", "10.0.1.77")));
}

#[test]
fn secondary_addresses_of_others_are_not_used() {
    let mut account = Account::new();
    account.secondary("eni-a", "10.0.1.77");
    let ours = account.clone();
    account.interface("eni-a").tags.clear();
    assert_eq!(account.attach(PUBLIC, "a"), Step::Call(any("eni-a", &[PUBLIC])), "not tagged");
    let mut private = ours.clone();
    private.inventory.addresses.insert(ip("10.0.1.77").into(), BTreeMap::new());
    assert_eq!(
        private.attach(PUBLIC, "a"),
        Step::Call(any("eni-a", &[PUBLIC])),
        "an egress address"
    );
    let mut claimed = ours.clone();
    let other = (ip("203.0.113.2").into(), "a".into());
    claimed.wires.insert(other, [ip("10.0.1.77")].into());
    assert_eq!(claimed.attach(PUBLIC, "a"), Step::Call(any("eni-a", &[PUBLIC])), "another's");
    let mut pending = ours;
    pending.in_flight.insert("eni-a".into());
    assert_eq!(pending.attach(PUBLIC, "a"), Step::Call(any("eni-a", &[PUBLIC])), "in flight");
}

#[test]
fn an_answer_that_moved_the_private_address_moves_the_elastic_ip_in_an_older_read() {
    let mut account = Account::new();
    account.elastic(PUBLIC, Some(("eni-a", "10.0.1.77")));
    let address = ip("10.0.1.77").into();
    account.view.apply(&CallEffect::At { interface: "eni-b".into(), address });
    assert_eq!(account.attach(PUBLIC, "b"), Step::Done(at("b", "10.0.1.77")));
    assert_eq!(account.interface("eni-b").idle().count(), 0, "it is nobody's spare");
    assert!(!account.interface("eni-a").has(address));
}

#[test]
fn within_a_subnet_one_call_moves_the_private_address_and_the_elastic_ip_follows() {
    let mut account = Account::new();
    account.elastic(PUBLIC, Some(("eni-a", "10.0.1.77")));
    let (interface, addresses) = ("eni-b".into(), [ip("10.0.1.77")].into());
    let moved = Ec2Call::AssignPrivate { interface, addresses, take: true };
    assert_eq!(account.attach(PUBLIC, "b"), Step::Call(moved));
    // It has arrived, the mapping is not shown yet.
    account.interface("eni-a").v4.remove(&ip("10.0.1.77"));
    account.secondary("eni-b", "10.0.1.77");
    let anew = to("eni-b", "10.0.1.77", true);
    assert_eq!(account.attach(PUBLIC, "b"), Step::Wait(Some(anew)));
}

#[test]
fn across_zones_one_call_maps_it_to_the_address_kept_ready() {
    let mut account = Account::new();
    account.elastic(PUBLIC, Some(("eni-a", "10.0.1.77")));
    assert_eq!(account.attach(PUBLIC, "c"), Step::Call(any("eni-c", &[PUBLIC])));
    assert_eq!(account.prepare("c", &[PUBLIC]), Step::Call(any("eni-c", &[PUBLIC])));
    account.secondary("eni-c", "10.0.2.77");
    account.wires.insert((ip(PUBLIC).into(), "c".into()), [ip("10.0.2.77")].into());
    let ready = [(ip(PUBLIC).into(), Ok(at("c", "10.0.2.77")))].into();
    assert_eq!(account.prepare("c", &[PUBLIC]), Step::Done(ready));
    assert_eq!(account.attach(PUBLIC, "c"), Step::Call(to("eni-c", "10.0.2.77", true)));
}

#[test]
fn a_standby_in_the_owner_s_subnet_needs_nothing_and_what_is_not_wanted_goes() {
    let mut account = Account::new();
    account.elastic(PUBLIC, Some(("eni-a", "10.0.1.77")));
    let ready = [(ip(PUBLIC).into(), Ok(at("b", "10.0.1.77")))].into();
    assert_eq!(account.prepare("b", &[PUBLIC]), Step::Done(ready));
    account.secondary("eni-b", "10.0.1.88");
    assert_eq!(account.prepare("b", &[PUBLIC]), unassign("eni-b", "10.0.1.88"));
    assert_eq!(account.prepare("b", &[]), unassign("eni-b", "10.0.1.88"));
    // What is attached stays, wanted or not.
    assert_eq!(account.prepare("a", &[]), Step::Done(BTreeMap::new()));
    account.pending.insert("eni-a".into());
    assert_eq!(account.prepare("a", &[]), Step::Wait(None));
    // On an interface that is not Egret's alone only what is known to be its own goes.
    account.interface("eni-b").tags.clear();
    assert_eq!(account.prepare("b", &[]), Step::Done(BTreeMap::new()));
    account.wires.insert((ip(PUBLIC).into(), "b".into()), [ip("10.0.1.88")].into());
    assert_eq!(account.prepare("b", &[]), unassign("eni-b", "10.0.1.88"));
}

#[test]
fn the_wire_addresses_of_the_status_are_known_after_a_restart() {
    let mut account = Account::new();
    account.interface("eni-c").tags.clear();
    account.secondary("eni-c", "10.0.2.77");
    let was = [("c".into(), at("c", "10.0.2.77"))].into();
    account.inventory.addresses.insert(ip(PUBLIC).into(), was);
    assert_eq!(account.attach(PUBLIC, "c"), Step::Call(to("eni-c", "10.0.2.77", false)));
    assert_eq!(account.detach(PUBLIC, "c"), unassign("eni-c", "10.0.2.77"));
}

#[test]
fn what_others_use_is_not_taken_and_the_primary_address_is_no_wire_address() {
    let mut account = Account::new();
    let private = ip("10.0.9.9");
    let association = Association { id: "x".into(), interface: "eni-other".into(), private };
    let elastic = account.view.elastic.get_mut(&ip(PUBLIC)).unwrap();
    elastic.association = Some(association);
    assert_eq!(account.refused(PUBLIC, "a").class, ErrorClass::Conflict);
    assert_eq!(account.detach(PUBLIC, "a"), Step::Done(()));
    account.elastic(PUBLIC, Some(("eni-a", "10.0.1.10")));
    assert_eq!(account.attach(PUBLIC, "a"), Step::Call(any("eni-a", &[PUBLIC])));
    let mut abroad = Account::new();
    abroad.interface("eni-a").zone = "eu-central-1-ham-1a".into();
    assert_eq!(abroad.refused(PUBLIC, "a").class, ErrorClass::Invalid);
}

#[test]
fn detaching_ends_the_mapping_by_its_id_and_then_gives_the_wire_address_back() {
    let mut account = Account::new();
    account.elastic(PUBLIC, Some(("eni-a", "10.0.1.77")));
    assert_eq!(account.detach(PUBLIC, "b"), Step::Done(()));
    let association = format!("eipassoc-{PUBLIC}");
    let end = Ec2Call::Disassociate { public: ip(PUBLIC), association };
    assert_eq!(account.detach(PUBLIC, "a"), Step::Call(end));
    account.elastic(PUBLIC, None);
    account.interface("eni-a").v4.insert(ip("10.0.1.77"), Private::default());
    account.wires.insert((ip(PUBLIC).into(), "a".into()), [ip("10.0.1.77")].into());
    assert_eq!(account.detach(PUBLIC, "a"), unassign("eni-a", "10.0.1.77"));
}

#[test]
fn in_doubt_it_is_mapped_anew_and_never_by_an_address_that_may_be_anybody_s() {
    let mut account = Account::new();
    account.elastic(PUBLIC, Some(("eni-a", "10.0.1.77")));
    account.doubts.insert(ip(PUBLIC).into(), Doubt::Mapped);
    assert_eq!(account.attach(PUBLIC, "a"), Step::Call(to("eni-a", "10.0.1.77", true)));
    assert_eq!(account.detach(PUBLIC, "b"), Step::Wait(None));
    account.doubts = [(ip("10.0.1.77").into(), Doubt::Gone)].into();
    assert_eq!(account.attach(PUBLIC, "b"), Step::Call(any("eni-b", &[PUBLIC])));
    // A move that may have happened is made again.
    account.doubts = [(ip("10.0.1.77").into(), Doubt::Moved)].into();
    let (interface, addresses) = ("eni-a".into(), [ip("10.0.1.77")].into());
    let again = Ec2Call::AssignPrivate { interface, addresses, take: true };
    assert_eq!(account.attach(PUBLIC, "a"), Step::Call(again));
}
