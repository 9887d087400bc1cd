//! Laws, over every account of a small world: wherever the Elastic IP and spare addresses are, and
//! whatever is known of them.

use super::*;
use crate::snapshot::CallEffect;

const NODES: [&str; 3] = ["a", "b", "c"];
const SPARE: [&str; 3] = ["10.0.1.81", "10.0.1.82", "10.0.2.83"];
const OTHER: &str = "203.0.113.9";

/// What EC2 does.
fn carry_out(account: &mut Account, call: &Ec2Call, number: &mut u32) {
    let mut effects = Vec::new();
    match call {
        Ec2Call::AssignPrivate { interface, addresses, take } => {
            let address = addresses.first().expect("a plan moves one address");
            let follows = account.view.elastic.iter().find_map(|(public, elastic)| {
                let at = elastic.association.clone()?;
                (at.private == *address).then_some((*public, at))
            });
            let held = account.view.holder((*address).into()).is_some();
            assert!(*take || !held, "EC2 refuses {call:?}");
            effects
                .push(CallEffect::At { interface: interface.clone(), address: (*address).into() });
            if let Some((public, at)) = follows {
                let association = Association { interface: interface.clone(), ..at };
                effects.push(CallEffect::Associated { public, association });
            }
        }
        Ec2Call::AssignAny { interface, wanted } => {
            let subnet = if interface == "eni-c" { 2 } else { 1 };
            for public in wanted {
                *number += 1;
                let address: IpAddr = ip(&format!("10.0.{subnet}.{}", 100 + *number)).into();
                effects.push(CallEffect::At { interface: interface.clone(), address });
                let node: NodeName = interface.strip_prefix("eni-").unwrap().into();
                let IpAddr::V4(wire) = address else { unreachable!() };
                account.wires.entry(((*public).into(), node)).or_default().insert(wire);
            }
        }
        Ec2Call::UnassignPrivate { interface, addresses } => {
            for address in addresses {
                let private = account.interface(interface).v4[address];
                assert!(!private.primary && private.public.is_none(), "{call:?}");
                effects.push(CallEffect::Nowhere { address: (*address).into() });
            }
        }
        Ec2Call::Associate { public, interface, private, take, .. } => {
            let at = account.view.elastic[public].association.is_some();
            assert!(*take || !at, "EC2 refuses {call:?}");
            let public_there = account.interface(interface).v4[private].public;
            assert!(public_there.is_none() || public_there == Some(*public), "{call:?} displaces");
            *number += 1;
            let id = format!("eipassoc-{number}");
            let association = Association { id, interface: interface.clone(), private: *private };
            effects.push(CallEffect::Associated { public: *public, association });
        }
        Ec2Call::Disassociate { public, association } => {
            let at = account.view.elastic[public].association.as_ref();
            assert_eq!(at.map(|at| &at.id), Some(association));
            effects.push(CallEffect::Disassociated { public: *public });
        }
        Ec2Call::AssignIpv6 { .. } | Ec2Call::UnassignIpv6 { .. } => panic!("{call:?}"),
    }
    for effect in effects {
        account.view.apply(&effect);
    }
}

/// Goes on until it is so; the calls that it took.
fn settle<T: std::fmt::Debug>(
    account: &mut Account,
    decide: impl Fn(&Account) -> Step<T>,
) -> (Vec<Ec2Call>, T) {
    let (mut calls, mut number) = (Vec::new(), 0);
    loop {
        match decide(account) {
            Step::Done(value) => return (calls, value),
            Step::Call(call) | Step::Wait(Some(call)) => {
                carry_out(account, &call, &mut number);
                calls.push(call);
                assert!(calls.len() < 6, "it never ends: {calls:?}");
            }
            other => panic!("{other:?} after {calls:?}"),
        }
    }
}

/// Every account: the Elastic IP nowhere, at a wire address or at a primary address of each node;
/// each spare address there or not, and known to be the Elastic IP's or not.
fn accounts() -> Vec<Account> {
    let places = [
        None,
        Some(("eni-a", "10.0.1.77")),
        Some(("eni-b", "10.0.1.77")),
        Some(("eni-c", "10.0.2.77")),
        Some(("eni-a", "10.0.1.10")),
    ];
    let mut all = Vec::new();
    for place in places {
        for bits in 0..64_u32 {
            let mut account = Account::new();
            account.elastic(OTHER, Some(("eni-b", "10.0.1.99")));
            account.elastic(PUBLIC, place);
            if let Some((interface, private)) = place {
                // A primary address is one still.
                let is_primary = private == "10.0.1.10";
                account.interface(interface).v4.get_mut(&ip(private)).unwrap().primary = is_primary;
            }
            for (index, (node, spare)) in NODES.into_iter().zip(SPARE).enumerate() {
                if bits & (1 << index) != 0 {
                    account.secondary(&format!("eni-{node}"), spare);
                }
                if bits & (8 << index) != 0 {
                    let of = (ip(PUBLIC).into(), node.into());
                    account.wires.insert(of, [ip(spare)].into());
                }
            }
            all.push(account);
        }
    }
    all
}

/// The other Elastic IP stays where it is, whatever is done for this one.
fn other_is_untouched(account: &Account) {
    let at = account.view.elastic[&ip(OTHER)].association.clone().unwrap();
    assert_eq!((at.interface.as_str(), at.private), ("eni-b", ip("10.0.1.99")));
}

#[test]
fn attaching_ends_at_the_node_in_two_calls_at_most_and_is_idempotent() {
    for node in NODES {
        for mut account in accounts() {
            let (calls, attached) = settle(&mut account, |account| account.attach(PUBLIC, node));
            assert!(calls.len() <= 2, "{calls:?}");
            assert_eq!(attached.node, node.into());
            let there = account.look(|scene| scene.attachment(ip(PUBLIC).into()));
            assert_eq!(there, Some(attached.clone()), "attach and observe disagree");
            let (again, same) = settle(&mut account, |account| account.attach(PUBLIC, node));
            assert_eq!((again, same), (Vec::new(), attached));
            other_is_untouched(&account);
        }
    }
}

#[test]
fn what_is_prepared_is_one_call_away_and_what_attach_returns() {
    for node in NODES {
        for mut account in accounts() {
            let prepare = |account: &Account| account.prepare(node, &[PUBLIC]);
            let before = account.view.elastic[&ip(PUBLIC)].association.clone();
            let (_, ready) = settle(&mut account, prepare);
            let after = &account.view.elastic[&ip(PUBLIC)].association;
            assert_eq!(*after, before, "to prepare is not to attach");
            let (again, _) = settle(&mut account, prepare);
            assert_eq!(again, [], "ready already");
            let promised = ready[&ip(PUBLIC).into()].clone().unwrap();
            let (calls, attached) = settle(&mut account, |account| account.attach(PUBLIC, node));
            assert!(calls.len() <= 1, "{calls:?}");
            assert_eq!(attached, promised);
            other_is_untouched(&account);
        }
    }
}

#[test]
fn after_detaching_and_preparing_nothing_is_left() {
    for mut account in accounts() {
        for node in NODES {
            settle(&mut account, |account| account.detach(PUBLIC, node));
        }
        assert_eq!(account.view.elastic[&ip(PUBLIC)].association, None);
        for node in NODES {
            settle(&mut account, |account| account.prepare(node, &[]));
        }
        for (id, interface) in &account.view.interfaces {
            assert_eq!(interface.idle().count(), 0, "left at {id}: {interface:?}");
        }
        other_is_untouched(&account);
    }
}

/// What a crash after any call leaves is gone on from without what the dead process knew.
#[test]
fn a_process_that_knows_nothing_goes_on_from_any_prefix() {
    for node in NODES {
        for account in accounts() {
            let mut whole = account.clone();
            let (calls, _) = settle(&mut whole, |account| account.attach(PUBLIC, node));
            for prefix in 0..=calls.len() {
                let (mut account, mut number) = (account.clone(), 0);
                for call in &calls[..prefix] {
                    carry_out(&mut account, call, &mut number);
                }
                account.wires.clear();
                let (rest, attached) = settle(&mut account, |account| account.attach(PUBLIC, node));
                assert!(prefix + rest.len() <= 3, "{calls:?} then {rest:?}");
                assert_eq!(attached.node, node.into());
                other_is_untouched(&account);
            }
        }
    }
}
