use super::*;
use crate::model::Epoch;

/// The most that postcard makes of a message: its JSON has every byte of every text and number
/// too, so here only the arithmetic of the pieces is checked; `egret-peers` encodes for real.
#[test]
fn long_lists_are_cut() {
    let asks = |count: u128| {
        (0..count).map(|number| Ask {
            address: IpAddr::from(number.to_be_bytes()),
            fence: u64::MAX,
            lease: u32::MAX,
            epoch: u64::MAX,
        })
    };
    let pieces = encoding::pieces(asks(100));
    assert_eq!(pieces.iter().map(Vec::len).sum::<usize>(), 100);
    assert!(pieces.iter().all(|piece| piece.len() <= (MAX_DATAGRAM - 44) / 42));
    assert!(encoding::pieces(asks(0)).is_empty());
}

#[test]
fn a_set_of_long_names_comes_in_parts_and_is_put_together() {
    let mut set = voter_set(9, &[1, 2, 3, 4, 5, 6]);
    for member in &mut set.members {
        member.node = NodeName::new(format!("{}{}", member.node, "x".repeat(250)));
    }
    let parts = encoding::set_parts(SetId::of("c", &set), &set.members);
    assert!(parts.len() > 1);
    let mut machine = Machine::new(LeaseConfig::new(name(1), "boot"), None, at(0), 1);
    machine.handle(at(0), Input::View(Box::new(view())));
    for part in parts.into_iter().rev() {
        let message = Message::Set(part);
        machine.handle(at(0), Input::Receive { from: name(2), message });
    }
    assert_eq!(machine.persisted().set, Some(set));
}

#[test]
fn an_answer_with_a_name_of_253_bytes_fits() {
    let greater = Epoch { counter: u64::MAX, node: NodeName::new("x".repeat(253)) };
    let answers = vec![NoticeAnswer { address: address(), epoch: 1, greater: Some(greater) }; 20];
    let pieces = encoding::pieces(answers);
    assert!(pieces.iter().all(|piece| piece.len() <= 4), "{}", pieces.len());
}
