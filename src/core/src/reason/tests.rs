use super::*;

const ALL: [Reason; 58] = [
    Reason::Accepted,
    Reason::PoolNotFound,
    Reason::PoolNotReady,
    Reason::NamespaceNotAllowed,
    Reason::AddressOutsidePool,
    Reason::AddressReserved,
    Reason::AddressInUse,
    Reason::AddressIsNodeAddress,
    Reason::FamilyNotInPool,
    Reason::AddressIsNextHop,
    Reason::Bound,
    Reason::NotAccepted,
    Reason::PoolExhausted,
    Reason::PoolPaused,
    Reason::AddressReleasing,
    Reason::Programmed,
    Reason::DatapathBypassed,
    Reason::NodeNotReady,
    Reason::ServiceNotFound,
    Reason::NoAgent,
    Reason::OtherClaimWins,
    Reason::NotInPool,
    Reason::Ready,
    Reason::NotBound,
    Reason::NotProgrammed,
    Reason::NotServed,
    Reason::Held,
    Reason::NoHolder,
    Reason::HolderAbsent,
    Reason::NoMajority,
    Reason::HolderUnreached,
    Reason::NoGateway,
    Reason::Conflict,
    Reason::NotAttached,
    Reason::InterfaceUnusable,
    Reason::Released,
    Reason::Revoked,
    Reason::Attached,
    Reason::AttachFailed,
    Reason::ProviderMissing,
    Reason::GatewaysUsable,
    Reason::GatewaysRefused,
    Reason::UnsupportedDataplane,
    Reason::DiscoveryFailed,
    Reason::NothingFound,
    Reason::OverlapsPool,
    Reason::OverlapsClusterRange,
    Reason::LeaseTooLong,
    Reason::NoGatewayNode,
    Reason::NoLivingGateway,
    Reason::Paused,
    Reason::NotPaused,
    Reason::Even,
    Reason::MoveIntended,
    Reason::MoveHeldBack,
    Reason::AgentNotHeard,
    Reason::NotAllowed,
    Reason::NotThere,
];

const AGENTS: [AgentReason; 28] = [
    AgentReason::BlocksNotApplied,
    AgentReason::DatapathBypassed,
    AgentReason::EndpointMissing,
    AgentReason::NoMajority,
    AgentReason::PodRangesUnknown,
    AgentReason::Programmed,
    AgentReason::RulesNotApplied,
    AgentReason::VoterSetConflict,
    AgentReason::InterfaceNotFound,
    AgentReason::AddressIsLocal,
    AgentReason::InterfaceUnusable,
    AgentReason::RouterSilent,
    AgentReason::PodsRerouted,
    AgentReason::EndpointImpaired,
    AgentReason::NoFreeMark,
    AgentReason::ConnectionMarkOverwritten,
    AgentReason::ProgramsPassedBy,
    AgentReason::DroppedByOthers,
    AgentReason::TunnelUnanswered,
    AgentReason::EbpfHostRouting,
    AgentReason::NotSeen,
    AgentReason::Clean,
    AgentReason::LeftBehind,
    AgentReason::GuardLoaded,
    AgentReason::GuardNotLoaded,
    AgentReason::ForeignHost,
    AgentReason::NoForeignHost,
    AgentReason::OnInterface,
];

const EVENTS: [EventReason; 25] = [
    EventReason::Bound,
    EventReason::Moved,
    EventReason::NoGateway,
    EventReason::Held,
    EventReason::HolderLost,
    EventReason::LeaseLost,
    EventReason::Conflict,
    EventReason::Released,
    EventReason::Revoked,
    EventReason::Freed,
    EventReason::Paused,
    EventReason::Resumed,
    EventReason::Attached,
    EventReason::AttachFailed,
    EventReason::DetachFailed,
    EventReason::Drifted,
    EventReason::TakenBack,
    EventReason::NotPrepared,
    EventReason::DiscoveryFailed,
    EventReason::Repaired,
    EventReason::CniNotChained,
    EventReason::HostNetwork,
    EventReason::AddressShared,
    EventReason::Voters,
    EventReason::NotUnderstood,
];

/// Programs of people read these: another name of a variant may not change what it says.
#[test]
fn every_reason_of_agents_and_events_is_spelled_as_it_was() {
    let lines = |text: &'static str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    let agents = AGENTS.map(|reason| reason.to_string());
    assert_eq!(agents.to_vec(), lines(include_str!("golden-agents.txt")));
    let events = EVENTS.map(|reason| reason.to_string());
    assert_eq!(events.to_vec(), lines(include_str!("golden-events.txt")));
}

#[test]
fn every_reason_is_spelled_as_it_was() {
    let spelled = ALL.map(|reason| {
        assert_eq!(serde_json::to_string(&reason).unwrap(), format!("\"{reason}\""));
        reason.to_string()
    });
    let golden: Vec<&str> = include_str!("golden.txt").lines().collect();
    assert_eq!(spelled.to_vec(), golden);
}
