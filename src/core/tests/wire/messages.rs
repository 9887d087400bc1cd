//! One message of every variant, every field with a value of its own.

use std::net::IpAddr;

use egret_core::lease::{
    AddressAnswer, Answer, Ask, HandoverStep, Holds, Message, NoticeAnswer, NoticedAddress,
    Refusal, RefusalReason, Release, ReleasedAddress, Request, RequestKind, RoundId, SetId,
    SetPart, Successor, Vote,
};
use egret_core::model::{Epoch, NodeName, PublicKey, Voter};

pub(crate) fn v4() -> IpAddr {
    "203.0.113.17".parse().unwrap()
}

pub(crate) fn v6() -> IpAddr {
    "2001:db8:5::17".parse().unwrap()
}

pub(crate) fn node(number: u8) -> NodeName {
    NodeName::new(format!("gateway-{number}"))
}

fn round() -> RoundId {
    RoundId { boot: u64::MAX - 1, counter: 0x1122_3344_5566 }
}

fn set() -> SetId {
    SetId { number: 300, digest: 0xfedc_ba98_7654_3210 }
}

fn epoch() -> Epoch {
    Epoch { counter: 70_000, node: node(3) }
}

fn request(kind: RequestKind) -> Message {
    let asks = vec![
        Ask { address: v4(), fence: 500, lease: 450, epoch: 70_001 },
        Ask { address: v6(), fence: 501, lease: u32::MAX, epoch: u64::MAX },
    ];
    Message::Request(Request { round: round(), set: set(), kind, asks })
}

fn answer() -> Message {
    let verdicts = [
        Vote::Granted,
        Vote::Taken { remaining: 449 },
        Vote::Fenced,
        Vote::Unplanned,
        Vote::TooLong,
    ];
    let one = |(epoch, vote)| AddressAnswer { address: v4(), vote, epoch };
    let answers = (1_000..).zip(verdicts).map(one).collect();
    Message::Answer(Answer { round: round(), answers })
}

fn refusal(reason: RefusalReason) -> Message {
    Message::Refusal(Refusal { round: round(), reason })
}

fn set_part() -> Message {
    let member = |number: u8, endpoints: Vec<IpAddr>| Voter {
        node: node(number),
        endpoints,
        peer_port: 7_946 + u16::from(number),
        public_key: PublicKey([0xa0 + number; 32]),
    };
    let members = vec![member(1, vec![v4(), v6()]), member(2, Vec::new())];
    Message::Set(SetPart { set: set(), total: 0xc8, first: 0x96, members })
}

fn release() -> Message {
    let coming = RoundId { boot: 900, counter: 901 };
    let successor = Some(Successor { node: node(2), round: coming });
    let released = vec![
        ReleasedAddress { address: v4(), successor },
        ReleasedAddress { address: v6(), successor: None },
    ];
    Message::Release(Release { round: round(), released })
}

fn notices() -> [(&'static str, Message); 4] {
    let announced = |address, epoch| NoticedAddress { address, epoch };
    let answers = vec![
        NoticeAnswer { address: v4(), epoch: 600, greater: Some(epoch()) },
        NoticeAnswer { address: v6(), epoch: 601, greater: None },
    ];
    let holds = vec![
        Holds { address: v4(), holder: Some((node(1), 700)) },
        Holds { address: v6(), holder: None },
    ];
    [
        ("Notice", Message::Notice(vec![announced(v4(), 602), announced(v6(), 603)])),
        ("NoticeAnswer", Message::NoticeAnswer(answers)),
        ("WhoHolds", Message::WhoHolds(vec![v4(), v6()])),
        ("Holds", Message::Holds(holds)),
    ]
}

fn moves() -> [(&'static str, Message); 5] {
    let (address, question) = (v6(), 800);
    let remaining =
        HandoverStep::Remaining { address, question, remaining: 450_000_000, epoch: 801 };
    [
        ("Move Come", Message::Move(HandoverStep::Come(v4()))),
        ("Move HowLong", Message::Move(HandoverStep::HowLong { address, question })),
        ("Move Remaining", Message::Move(remaining)),
        ("Move Coming", Message::Move(HandoverStep::Coming { address, question, round: round() })),
        ("Move Yours", Message::Move(HandoverStep::Yours(v4()))),
    ]
}

/// In the order in which the variants are numbered.
pub(crate) fn all() -> Vec<(&'static str, Message)> {
    let mut all = vec![
        ("Request PreVote", request(RequestKind::PreVote)),
        ("Request Vote", request(RequestKind::Vote)),
        ("Request Renewal", request(RequestKind::Renewal)),
        ("Answer", answer()),
        ("Refusal Silent", refusal(RefusalReason::Silent)),
        ("Refusal OlderSet", refusal(RefusalReason::OlderSet)),
        ("Refusal NewerSet", refusal(RefusalReason::NewerSet)),
        ("Refusal OtherSet", refusal(RefusalReason::OtherSet)),
        ("Set", set_part()),
        ("Release", release()),
        ("Heartbeat", Message::Heartbeat),
    ];
    all.extend(notices());
    all.extend([
        ("Ping", Message::Ping(v4())),
        ("Pong", Message::Pong(v4(), Some(702))),
        ("Pong of none", Message::Pong(v6(), None)),
        ("AskGrants", Message::AskGrants { address: v4(), epoch: 703 }),
        ("GrantsApplied", Message::GrantsApplied { address: v6(), epoch: 704 }),
    ]);
    all.extend(moves());
    all.push(("Wait", Message::Wait(vec![v4(), v6()])));
    let waiting = vec![NoticedAddress { address: v4(), epoch: 705 }];
    all.push(("Undelivered", Message::Undelivered(waiting)));
    all
}
