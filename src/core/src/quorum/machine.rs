use std::collections::BTreeMap;
use std::net::IpAddr;
use std::sync::Arc;

use super::address::Address;
use super::director::Directed;
use super::notices::Outgoing;
use super::presence::Presence;
use super::rounds::Round;
use super::voter::Voting;
use super::{
    BootTime, Config, Effect, Input, Kept, Message, Now, Report, RoundId, SetId, View, message,
};
use crate::model::{NodeName, Voter};

/// Whether a rule is broken on purpose; `false` at compile time without the feature.
#[cfg(feature = "mistakes")]
macro_rules! mistaken {
    ($machine:expr, $mistake:ident) => {
        $machine.config.mistakes.0.contains(&crate::quorum::Mistake::$mistake)
    };
}
#[cfg(not(feature = "mistakes"))]
macro_rules! mistaken {
    ($machine:expr, $mistake:ident) => {
        crate::quorum::machine::never()
    };
}
pub(super) use mistaken;

#[cfg(not(feature = "mistakes"))]
pub(super) const fn never() -> bool {
    false
}

/// One agent's whole lease life.
///
/// Guarantees: [`handle`](Machine::handle) never panics and never waits; what it costs grows with
/// the number of addresses that concern this node. Time may stand still between two calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    pub(super) config: Config,
    pub(super) kept: Kept,
    /// `kept` has changed in this call.
    pub(super) dirty: bool,
    pub(super) view: Option<Arc<View>>,
    /// The moment of the last call.
    pub(super) now: Now,
    /// This boot in round numbers.
    pub(super) boot: u64,
    pub(super) next_round: u64,
    pub(super) rounds: BTreeMap<u64, Round>,
    pub(super) addresses: BTreeMap<IpAddr, Address>,
    pub(super) voting: Voting,
    /// Parts of a newer set.
    pub(super) set_parts: Option<(SetId, BTreeMap<u8, Voter>)>,
    /// When each voter last answered, on the boot-time clock.
    pub(super) answered: BTreeMap<NodeName, u64>,
    /// Notices that are not acknowledged, by receiver.
    pub(super) outgoing: BTreeMap<NodeName, Outgoing>,
    pub(super) directed: BTreeMap<IpAddr, Directed>,
    pub(super) presence: Presence,
    /// Messages to be said again, since their loss would cost a lease: when, to whom, what.
    pub(super) again: Vec<(u64, NodeName, Message)>,
    /// The grants in this gateway's kernel.
    pub(super) grants_applied: u64,
    /// Directors that wait for a grant.
    pub(super) waiting: BTreeMap<(NodeName, IpAddr), u64>,
    pub(super) stopping: bool,
    pub(super) stopped: bool,
    pub(super) chance: u64,
}

/// Collects the effects of one call.
#[derive(Debug, Default)]
pub(super) struct Out(pub Vec<Effect>);

impl Out {
    pub(super) fn push(&mut self, effect: Effect) {
        self.0.push(effect);
    }

    pub(super) fn send(&mut self, to: &NodeName, message: Message) {
        self.0.push(Effect::Send { to: to.clone(), message });
    }

    pub(super) fn report(&mut self, report: Report) {
        self.0.push(Effect::Report(report));
    }
}

impl Machine {
    /// A machine at the start of a process. `kept` of another boot counts as absent. `seed` is the
    /// only source of chance (pauses after a split vote).
    pub fn new(config: Config, kept: Option<Kept>, now: Now, seed: u64) -> Self {
        let mut kept = kept.filter(|kept| kept.boot_id == config.boot_id).unwrap_or_else(|| Kept {
            boot_id: config.boot_id.clone(),
            silent_since: now.raw,
            ..Kept::default()
        });
        kept.grants.retain(|_, grant| grant.until > now.raw);
        kept.promised.retain(|_, (_, until)| *until > now.boot.0);
        let mut machine = Self {
            boot: message::boot_number(&config.boot_id),
            next_round: now.boot.0.max(1),
            config,
            kept,
            dirty: false,
            view: None,
            now,
            rounds: BTreeMap::new(),
            addresses: BTreeMap::new(),
            voting: Voting { set_seen: now.raw, ..Voting::default() },
            set_parts: None,
            answered: BTreeMap::new(),
            outgoing: BTreeMap::new(),
            directed: BTreeMap::new(),
            presence: Presence::new(now),
            again: Vec::new(),
            grants_applied: 0,
            waiting: BTreeMap::new(),
            stopping: false,
            stopped: false,
            chance: seed,
        };
        machine.break_rules();
        machine
    }

    fn break_rules(&mut self) {
        if mistaken!(self, RoundNumbersRepeat) {
            (self.boot, self.next_round) = (0, 1);
        }
        if mistaken!(self, RestartLosesSet) {
            self.kept.set = None;
        }
        if mistaken!(self, RestartLosesPromise) {
            self.kept.promised.clear();
        }
        if mistaken!(self, RestartLosesFences) {
            self.kept.fences.clear();
        }
    }

    /// Takes one input and says what to do, in order.
    pub fn handle(&mut self, now: Now, input: Input) -> Vec<Effect> {
        self.handle_all(now, [input])
    }

    /// Takes inputs that have come together, in their order. What is kept is kept once for all, and
    /// time is looked at once behind them: a node with many addresses gets through a backlog of
    /// datagrams faster than one by one.
    pub fn handle_all(&mut self, now: Now, inputs: impl IntoIterator<Item = Input>) -> Vec<Effect> {
        let mut out = Out::default();
        self.now = now;
        for input in inputs {
            self.take_in(now, input, &mut out);
        }
        self.advance(now, &mut out);
        self.with_keep(out)
    }

    fn take_in(&mut self, now: Now, input: Input, out: &mut Out) {
        match input {
            Input::Tick => {}
            Input::Receive { from, message } => self.on_message(now, &from, message, out),
            Input::View(view) => self.on_view(now, view, out),
            Input::ConsistentRead { began, view } => {
                self.on_view(now, view, out);
                self.on_consistent_read(now, began, out);
            }
            Input::Probed { address, conflict } => self.on_probed(now, address, conflict, out),
            Input::GrantsApplied { epoch } => self.on_own_grants(epoch, out),
            Input::AskGrants { address, epoch } => self.ask_grants(now, address, epoch, out),
            Input::NeedHolder { address } => self.need_holder(now, address, out),
            Input::Stop { handover } => self.stop(now, handover, out),
        }
    }

    /// What is to be kept comes first: everything behind it may rest on it.
    fn with_keep(&mut self, mut out: Out) -> Vec<Effect> {
        if std::mem::take(&mut self.dirty) {
            let keep = Effect::Keep(Box::new(self.kept.clone()));
            let at = if mistaken!(self, AnswersBeforeKeeping) { out.0.len() } else { 0 };
            out.0.insert(at, keep);
        }
        out.0
    }

    fn on_message(&mut self, now: Now, from: &NodeName, message: Message, out: &mut Out) {
        self.heard_from(now, from);
        match message {
            Message::Heartbeat => {}
            Message::Request(request) => self.on_request(now, from, &request, out),
            Message::Answer(answer) => self.on_answer(now, from, &answer, out),
            Message::Refusal(refusal) => self.on_refusal(now, from, &refusal, out),
            Message::Set(part) => self.on_set(now, from, part, out),
            Message::Release(release) => self.on_release(from, &release),
            Message::Notice(announced) => self.on_notice(now, from, &announced, out),
            Message::NoticeAnswer(answers) => self.on_notice_answer(now, from, &answers, out),
            Message::WhoHolds(addresses) => self.on_who_holds(now, from, &addresses, out),
            Message::Holds(holds) => self.on_holds(now, from, &holds, out),
            Message::Ping(address) => self.on_ping(now, from, address, out),
            Message::Pong(address, epoch) => self.on_pong(now, from, address, epoch, out),
            Message::AskGrants { address, epoch } => self.on_ask_grants(from, address, epoch, out),
            Message::GrantsApplied { address, epoch } => {
                self.on_grants_applied(from, address, epoch, out);
            }
            Message::Move(step) => self.on_move(now, from, step, out),
            Message::Wait(addresses) => self.on_wait(now, from, &addresses),
        }
    }

    /// What time alone changes.
    fn advance(&mut self, now: Now, out: &mut Out) {
        self.advance_voter(now, out);
        self.advance_rounds(now, out);
        self.advance_holders(now, out);
        self.advance_moves(now, out);
        self.advance_candidates(now, out);
        self.advance_notices(now, out);
        self.advance_directors(now, out);
        self.advance_presence(now, out);
        self.advance_again(now, out);
    }

    fn advance_again(&mut self, now: Now, out: &mut Out) {
        let (due, later): (Vec<_>, Vec<_>) =
            std::mem::take(&mut self.again).into_iter().partition(|(at, ..)| *at <= now.boot.0);
        self.again = later;
        for (_, to, message) in due {
            out.send(&to, message);
        }
        self.finish_stop(out);
    }

    /// When [`Input::Tick`] is due at the latest; `None`: not before another input.
    pub fn next_wakeup(&self) -> Option<BootTime> {
        // The two clocks run apart by parts in a thousand: near enough for a wake-up.
        let raw = self
            .voter_due()
            .map(|raw| self.now.boot.0.saturating_add(raw.saturating_sub(self.now.raw)));
        let dues = [
            raw,
            self.rounds_due(),
            self.holders_due(),
            self.moves_due(),
            self.candidates_due(),
            self.notices_due(),
            self.directors_due(),
            self.presence_due(),
            self.again.iter().map(|(at, ..)| *at).min(),
        ];
        dues.into_iter().flatten().min().map(BootTime)
    }

    /// What must survive a restart of the process, as of the last call.
    pub fn kept(&self) -> &Kept {
        &self.kept
    }

    /// A number below `bound`, from the seed (splitmix64, Steele and others 2014).
    pub(super) fn random(&mut self, bound: u64) -> u64 {
        self.chance = self.chance.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.chance;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (z ^ (z >> 31)).checked_rem(bound).unwrap_or(0)
    }

    /// The id of the next round.
    pub(super) fn next_round_id(&self) -> RoundId {
        RoundId { boot: self.boot, counter: self.next_round }
    }
}
