use super::*;

fn assign(interface: &str, address: &str, take: bool) -> Step<Attachment> {
    let (interface, addresses) = (interface.into(), [ip(address)].into());
    Step::Call(Ec2Call::AssignPrivate { interface, addresses, take })
}

#[test]
fn a_private_address_is_assigned_in_its_subnet_and_taken_only_from_nodes() {
    let mut account = Account::new();
    // Nobody is seen to have it: whoever has it all the same keeps it.
    assert_eq!(account.attach("10.0.1.50", "a"), assign("eni-a", "10.0.1.50", false));
    account.secondary("eni-b", "10.0.1.50");
    assert_eq!(account.attach("10.0.1.50", "a"), assign("eni-a", "10.0.1.50", true));
    let there = private_attachment("b".into(), "eni-b");
    assert_eq!(account.attach("10.0.1.50", "b"), Step::Done(there));
    account.inventory.nodes.remove(&"b".into());
    assert_eq!(account.refused("10.0.1.50", "a").class, ErrorClass::Conflict);
    // The status knows whose it was.
    let was = private_attachment("b".into(), "eni-b");
    account.inventory.addresses.insert(ip("10.0.1.50").into(), [("b".into(), was)].into());
    assert_eq!(account.attach("10.0.1.50", "a"), assign("eni-a", "10.0.1.50", true));
}

#[test]
fn what_cannot_be_is_refused_before_any_call() {
    let mut account = Account::new();
    for (address, node, class) in [
        ("10.0.1.50", "c", ErrorClass::Invalid),
        ("10.0.1.3", "a", ErrorClass::Invalid),
        ("10.0.1.255", "a", ErrorClass::Invalid),
        ("10.0.1.11", "a", ErrorClass::Invalid),
        ("198.51.100.1", "a", ErrorClass::NotFound),
        ("10.0.1.50", "nobody", ErrorClass::NotFound),
        ("2001:db8:0:2::50", "a", ErrorClass::Invalid),
    ] {
        assert_eq!(account.refused(address, node).class, class, "{address} at {node}");
    }
    account.interface("eni-a").v4_prefixes = 9;
    assert_eq!(account.refused("10.0.1.50", "a").class, ErrorClass::Quota);
    account.interface("eni-a").v4_prefixes = 8;
    assert_eq!(account.attach("10.0.1.50", "a"), assign("eni-a", "10.0.1.50", false));
    account.full.insert("eni-a".into());
    assert_eq!(account.refused("10.0.1.50", "a").class, ErrorClass::Quota);
    assert_eq!(account.refused(PUBLIC, "a").class, ErrorClass::Quota);
    account.inventory.nodes.insert("a".into(), "gce://project/zone/name".into());
    assert_eq!(account.refused("10.0.1.50", "a").class, ErrorClass::Invalid);
}

#[test]
fn an_ipv6_address_is_unassigned_before_it_is_assigned() {
    let mut account = Account::new();
    let address: Ipv6Addr = "2001:db8:0:1::50".parse().unwrap();
    account.interface("eni-b").v6.insert(address);
    let unassign = Ec2Call::UnassignIpv6 { interface: "eni-b".into(), address };
    assert_eq!(account.attach("2001:db8:0:1::50", "a"), Step::Call(unassign.clone()));
    assert_eq!(account.detach("2001:db8:0:1::50", "b"), Step::Call(unassign));
    account.interface("eni-b").v6.clear();
    let assign = Ec2Call::AssignIpv6 { interface: "eni-a".into(), address };
    assert_eq!(account.attach("2001:db8:0:1::50", "a"), Step::Call(assign));
}

#[test]
fn a_read_after_a_call_without_an_answer_proves_nothing() {
    let mut account = Account::new();
    account.secondary("eni-a", "10.0.1.50");
    account.doubts.insert(ip("10.0.1.50").into(), Doubt::Moved);
    assert_eq!(account.attach("10.0.1.50", "a"), assign("eni-a", "10.0.1.50", true));
    assert_eq!(account.detach("10.0.1.50", "b"), Step::Wait(None));
    account.doubts.clear();
    assert_eq!(account.detach("10.0.1.50", "b"), Step::Done(()));
}

#[test]
fn an_address_is_detached_from_the_interface_that_the_status_names_when_the_node_is_gone() {
    let mut account = Account::new();
    account.secondary("eni-b", "10.0.1.50");
    let taken =
        Ec2Call::UnassignPrivate { interface: "eni-b".into(), addresses: [ip("10.0.1.50")].into() };
    assert_eq!(account.detach("10.0.1.50", "a"), Step::Done(()), "not its own");
    account.inventory.nodes.remove(&"b".into());
    account.interface("eni-b").instance = None;
    let was = private_attachment("b".into(), "eni-b");
    account.inventory.addresses.insert(ip("10.0.1.50").into(), [("b".into(), was)].into());
    assert_eq!(account.detach("10.0.1.50", "b"), Step::Call(taken));
}

#[test]
fn the_interface_is_the_tagged_one_or_the_primary_and_not_one_of_the_vpc_cni() {
    let mut account = Account::new();
    account.interface("eni-a").tags.clear();
    assert_eq!(account.attach("10.0.1.50", "a"), assign("eni-a", "10.0.1.50", false));
    let mut second = account.interface("eni-a").clone();
    second.device = 1;
    second.v4 = [(ip("10.0.1.20"), Private { primary: true, public: None })].into();
    account.view.interfaces.insert("eni-second".into(), second);
    assert_eq!(account.attach("10.0.1.50", "a"), assign("eni-a", "10.0.1.50", false));
    account.interface("eni-second").description = "aws-K8S-i-1".into();
    let refused = account.refused("10.0.1.50", "a");
    assert_eq!(refused.class, ErrorClass::Invalid);
    assert!(refused.message.contains("VPC CNI"), "{}", refused.message);
    account.rules.managed = true;
    assert_eq!(account.attach("10.0.1.50", "a"), assign("eni-a", "10.0.1.50", false));
    account.rules.managed = false;
    // The CNI does not look at the tags of a primary interface.
    account.interface("eni-a").tags = tags(&[("node.k8s.amazonaws.com/no_manage", "true")]);
    assert_eq!(account.refused("10.0.1.50", "a").class, ErrorClass::Invalid);
    account.interface("eni-a").tags.clear();
    account.interface("eni-second").tags =
        tags(&[("node.k8s.amazonaws.com/no_manage", "true"), ("egret.dev/gateway", "true")]);
    assert_eq!(account.attach("10.0.1.50", "a"), assign("eni-second", "10.0.1.50", false));
    // A node of EKS has the VPC CNI, whatever interfaces it has so far.
    account.view.interfaces.remove("eni-second");
    account.view.instances.values_mut().for_each(|instance| instance.eks = true);
    assert_eq!(account.refused("10.0.1.50", "a").class, ErrorClass::Invalid);
}

#[test]
fn a_node_that_came_back_as_another_instance_does_not_have_what_the_old_one_had() {
    let mut account = Account::new();
    let address = ip("10.0.1.50");
    account.secondary("eni-b", "10.0.1.50");
    let was = private_attachment("b".into(), "eni-b");
    account.inventory.addresses.insert(address.into(), [("b".into(), was)].into());
    account.interface("eni-b").instance = None;
    account.gateway("new", "subnet-1", "10.0.1.12");
    let id = account.inventory.nodes.remove(&"new".into()).unwrap();
    account.inventory.nodes.insert("b".into(), id);
    assert_eq!(account.look(|scene| scene.attachment(address.into())), None);
    assert_eq!(account.attach("10.0.1.50", "b"), assign("eni-new", "10.0.1.50", true));
    let (interface, addresses) = ("eni-b".into(), [address].into());
    let taken = Ec2Call::UnassignPrivate { interface, addresses };
    assert_eq!(account.detach("10.0.1.50", "b"), Step::Call(taken));
}
