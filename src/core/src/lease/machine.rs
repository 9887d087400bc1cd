use std::collections::BTreeSet;
use std::net::IpAddr;
use std::sync::Arc;

use super::applied_grants::AppliedGrants;
use super::config::injected;
use super::context::Context;
use super::director::Directors;
use super::durable::DurableState;
use super::effect::Effects;
use super::heartbeat::Heartbeats;
use super::holder::holding;
use super::invocation::Invocation;
use super::moves::Moves;
use super::notices::Notices;
use super::proposer::Proposer;
use super::set_assembly::SetAssembly;
use super::timers::{self, Timer};
use super::undelivered::Undelivered;
use super::voter::{VoterState, send_set};
use super::{
    BootTime, Effect, Holds, Input, LeaseConfig, Message, NoticeAnswer, NoticedAddress, Now,
    PersistedLease, PlanView, RefusalReason, Report, Request, RequestKind, encoding,
};
use crate::model::{Holding, NodeName, VoterSet};

/// One agent's whole lease life: hands each input to the parts that it concerns, and what one of
/// them finds out to the others.
///
/// Guarantees: [`handle`](Machine::handle) never panics and never waits; what it costs grows with
/// the number of addresses that concern this node. Time may stand still between two calls.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    config: LeaseConfig,
    view: Option<Arc<PlanView>>,
    /// The moment of the last call.
    now: Now,
    durable: DurableState,
    voter: VoterState,
    set_assembly: SetAssembly,
    proposer: Proposer,
    moves: Moves,
    notices: Notices,
    directors: Directors,
    undelivered: Undelivered,
    applied_grants: AppliedGrants,
    heartbeats: Heartbeats,
}

impl Machine {
    /// A machine at the start of a process. `kept` of another boot counts as absent. `seed` is the
    /// only source of chance (pauses after a split vote).
    pub fn new(config: LeaseConfig, kept: Option<PersistedLease>, now: Now, seed: u64) -> Self {
        Self {
            view: None,
            now,
            durable: DurableState::at_start(&config, kept, now),
            voter: VoterState { set_seen: now.raw, ..VoterState::default() },
            set_assembly: SetAssembly::default(),
            proposer: Proposer::new(&config, now, seed),
            moves: Moves::default(),
            notices: Notices::default(),
            directors: Directors::default(),
            undelivered: Undelivered::default(),
            applied_grants: AppliedGrants::default(),
            heartbeats: Heartbeats::new(now),
            config,
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
        let mut out = Effects::default();
        self.now = now;
        for input in inputs {
            self.take_in(input, &mut out);
        }
        timers::run_due(self, now, Self::deadline, |machine, timer| machine.act(timer, &mut out));
        self.with_persist(out)
    }

    /// When [`Input::Tick`] is due at the latest; `None`: not before another input.
    pub fn next_wakeup(&self) -> Option<BootTime> {
        timers::next(|timer| self.deadline(timer))
    }

    /// What must survive a restart of the process, as of the last call.
    pub fn persisted(&self) -> &PersistedLease {
        &self.durable.kept
    }

    /// Hashes what of a machine can still change who holds an address: everything but who was heard
    /// or answered when, notices, directors, and, where `epochs` is false, epochs.
    #[cfg(feature = "fault-injection")]
    pub fn hash_state(&self, epochs: bool, state: &mut impl std::hash::Hasher) {
        use std::hash::Hash as _;
        self.durable.hash_part(epochs, state);
        self.voter.hash_part(state);
        self.proposer.hash_part(state);
        (&self.set_assembly, self.moves.as_planned()).hash(state);
    }

    /// What asks for leases, and what it needs for that.
    fn asking<'a>(
        &'a mut self,
        out: &'a mut Effects,
    ) -> (Invocation<'a>, &'a mut Proposer, &'a mut Moves) {
        let cx = Context::new(&self.config, self.view.as_deref(), self.now);
        let (durable, voter) = (&mut self.durable, &mut self.voter);
        (Invocation { cx, durable, voter, out }, &mut self.proposer, &mut self.moves)
    }

    /// What is to be kept comes first: everything behind it may rest on it.
    fn with_persist(&mut self, mut out: Effects) -> Vec<Effect> {
        if std::mem::take(&mut self.durable.dirty) {
            let keep = Effect::Persist(Box::new(self.durable.kept.clone()));
            let at = if injected!(self.config, AnswersBeforeKeeping) { out.0.len() } else { 0 };
            out.0.insert(at, keep);
        }
        out.0
    }

    fn take_in(&mut self, input: Input, out: &mut Effects) {
        let cx = Context::new(&self.config, self.view.as_deref(), self.now);
        match input {
            Input::Tick => {}
            Input::Receive { from, message } => self.on_message(&from, message, out),
            Input::View(view) => self.on_view(view, out),
            Input::ConsistentRead { began, view } => {
                self.on_view(view, out);
                let cx = Context::new(&self.config, self.view.as_deref(), self.now);
                self.voter.on_consistent_read(&cx, &mut self.durable, began, out);
            }
            Input::Probed { address, found } => {
                self.proposer.addresses.on_probed(&cx, address, found, out);
            }
            Input::LinkReady { address } => self.proposer.addresses.on_link_ready(&cx, address),
            Input::GrantsApplied { epoch } => {
                self.applied_grants.on_applied(epoch, out);
                self.directors.on_own_grants();
            }
            Input::AskGrants { address, epoch } => {
                self.directors.ask_grants(&cx, address, epoch);
                self.repeat_grant_questions(out);
            }
            Input::NeedHolder { address } => {
                let known = self.proposer.addresses.known_node(address);
                self.directors.need_holder(&cx, address, known, out);
            }
            Input::Stop(mode) => {
                let (mut call, proposer, moves) = self.asking(out);
                moves.stop(&mut call, proposer, mode);
            }
        }
    }

    fn on_message(&mut self, from: &NodeName, message: Message, out: &mut Effects) {
        self.heartbeats.note_received(self.now, from);
        let cx = Context::new(&self.config, self.view.as_deref(), self.now);
        let is_holder = |address| self.proposer.addresses.known_node(address) == Some(from);
        match message {
            Message::Heartbeat => {}
            Message::Request(request) => self.on_request(from, &request, out),
            Message::Answer(answer) => {
                let (mut call, proposer, _) = self.asking(out);
                proposer.on_answer(&mut call, from, &answer);
            }
            Message::Refusal(refusal) => {
                let (mut call, proposer, _) = self.asking(out);
                proposer.on_refusal(&mut call, from, &refusal);
            }
            Message::Set(part) => {
                if let Some(set) = self.set_assembly.on_part(&self.durable, part) {
                    self.adopt_set(&set, from, out);
                    out.report(Report::NewSet(set));
                }
            }
            Message::Release(release) => {
                self.voter.on_release(&cx, &mut self.durable, from, &release);
            }
            Message::Notice(noticed) => self.on_notice(from, &noticed, out),
            Message::NoticeAnswer(answers) => self.on_notice_answer(from, &answers, out),
            Message::WhoHolds(addresses) => {
                self.durable.answer_who_holds(&cx, from, &addresses, out);
            }
            Message::Holds(holds) => self.on_holds(from, holds, out),
            Message::Ping(address) => {
                let epoch = self.proposer.addresses.held_epoch(address);
                out.send(from, Message::Pong(address, epoch));
            }
            Message::Pong(address, epoch) if is_holder(address) => {
                self.directors.on_pong(&cx, address, epoch.is_some(), out);
            }
            Message::AskGrants { address, epoch } => {
                self.applied_grants.on_question(&cx, from, address, epoch, out);
            }
            Message::GrantsApplied { address, epoch } if is_holder(address) => {
                self.directors.on_grants_applied(address, epoch, out);
            }
            Message::Pong(..) | Message::GrantsApplied { .. } => {}
            Message::Move(step) => {
                let (mut call, proposer, moves) = self.asking(out);
                moves.on_step(&mut call, proposer, from, step);
            }
            Message::Wait(addresses) => self.proposer.addresses.on_wait(&cx, from, &addresses),
            Message::Undelivered(noticed) => {
                self.undelivered.on_message(&cx, &self.proposer.addresses, from, &noticed, out);
            }
        }
    }

    /// When this timer next has something to do; `None`: not before another input.
    fn deadline(&self, timer: Timer) -> Option<BootTime> {
        let cx = Context::new(&self.config, self.view.as_deref(), self.now);
        let proposer = &self.proposer;
        match timer {
            Timer::Voter => {
                let raw = self.voter.deadline(&cx, &self.durable);
                raw.map(|raw| self.now.boot_time_of(raw))
            }
            Timer::Rounds => proposer.rounds.deadline(&cx),
            Timer::Holders => proposer.addresses.first(|_, entry| entry.holder_deadline(&cx)),
            Timer::Handovers => self.moves.deadline(&cx, proposer),
            Timer::Candidates => {
                let asks = self.moves.as_planned() && self.durable.kept.set.is_some();
                asks.then(|| proposer.addresses.first(|_, entry| entry.ask_due(&cx)))?
            }
            Timer::Notices => {
                let held = |address| proposer.addresses.held_epoch(address).is_some();
                let again = proposer.addresses.holders().map(|(_, holder)| holder.next_notice);
                again.chain(self.notices.deadline(held)).min()
            }
            Timer::Undelivered => self.undelivered.deadline(&proposer.addresses),
            Timer::Directors => self.directors.deadline(&cx),
            Timer::Heartbeats => self.heartbeats.deadline(),
            Timer::Resends => proposer.resends.deadline(),
            Timer::Stop => self.moves.may_finish_stop(&cx, proposer).then_some(BootTime(0)),
        }
    }

    /// What time alone changes.
    fn act(&mut self, timer: Timer, out: &mut Effects) {
        let (mut call, proposer, moves) = self.asking(out);
        match timer {
            Timer::Voter => call.voter.advance(&call.cx, call.durable, call.out),
            Timer::Rounds => proposer.advance_rounds(&mut call),
            Timer::Holders => proposer.advance_holders(&mut call),
            Timer::Handovers => moves.advance(&mut call, proposer),
            Timer::Candidates => proposer.advance_candidates(&mut call),
            Timer::Notices => {
                let due = proposer.addresses.notices_due(&call.cx);
                let held = proposer.addresses.held_epochs();
                let cx = Context::new(&self.config, self.view.as_deref(), self.now);
                self.notices.advance(&cx, &due, &held, out);
            }
            Timer::Undelivered => {
                let cx = Context::new(&self.config, self.view.as_deref(), self.now);
                self.undelivered.advance(&cx, &self.proposer.addresses, out);
            }
            Timer::Directors => self.advance_directors(out),
            Timer::Heartbeats => {
                let cx = Context::new(&self.config, self.view.as_deref(), self.now);
                let asking = self.proposer.addresses.are_asked_for(&cx);
                let answered = self.proposer.rounds.answered();
                self.heartbeats.advance(&cx, &self.durable, asking, answered, out);
            }
            Timer::Resends => proposer.resends.advance(&call.cx, call.out),
            Timer::Stop => moves.finish_stop(&mut call),
        }
    }

    /// What the store says: first the voter's side of it, then this node's own addresses, then whom
    /// it tells.
    fn on_view(&mut self, view: Box<PlanView>, out: &mut Effects) {
        let (config, now) = (&self.config, self.now);
        if let Some(cluster) = &view.cluster
            && self.durable.read_cluster(config, now, cluster)
        {
            self.proposer.forget_all(out);
            self.voter = VoterState { set_seen: now.raw, ..VoterState::default() };
            self.notices.clear();
            self.directors.clear();
            self.undelivered.clear(out);
        }
        self.durable.read_fences(&view);
        let before = self.view.replace(Arc::from(view));
        let (mut call, proposer, moves) = self.asking(out);
        proposer.read_plans(&mut call, moves.as_planned());
        let cx = Context::new(&self.config, self.view.as_deref(), now);
        self.directors.read_plans(&cx);
        self.proposer.addresses.each_held(&cx, |address, silent| {
            self.notices.read_plan(&cx, before.as_deref(), address, silent);
        });
        self.undelivered.read_plans(&cx, &self.proposer.addresses, out);
        let set = self.view.as_ref().and_then(|view| view.cluster.as_ref()?.set.clone());
        if let Some(set) = set {
            let me = self.config.me.clone();
            self.adopt_set(&set, &me, out);
        }
    }

    /// A set is known: adopts it where it is newer, and renews under it at once.
    fn adopt_set(&mut self, set: &VoterSet, from: &NodeName, out: &mut Effects) {
        let (call, proposer, _) = self.asking(out);
        if call.voter.adopt_set(&call.cx, call.durable, set, from, call.out) {
            proposer.addresses.renew_now(&call.cx);
        }
    }

    /// A request: hears it as a renewal, and votes.
    fn on_request(&mut self, from: &NodeName, request: &Request, out: &mut Effects) {
        let (mut call, proposer, _) = self.asking(out);
        if request.kind == RequestKind::Renewal {
            for ask in &request.asks {
                proposer.on_renewal(&mut call, from, ask);
            }
        }
        let answer = call.voter.vote(&call.cx, call.durable, from, request);
        let Some(answer) = answer else { return };
        let older = matches!(&answer, Message::Refusal(no) if no.reason == RefusalReason::OlderSet);
        out.send(from, answer);
        if older {
            send_set(&self.durable, from, out);
        }
    }

    fn on_notice(&mut self, from: &NodeName, noticed: &[NoticedAddress], out: &mut Effects) {
        let mut answers = Vec::new();
        for one in noticed {
            let new = holding(from, one.epoch);
            let entry = self.proposer.addresses.get(one.address);
            let greater = entry.and_then(|entry| entry.greater_than(&new));
            if greater.is_none() {
                self.learn_of_holder(one.address, &new, out);
                let cx = Context::new(&self.config, self.view.as_deref(), self.now);
                self.undelivered.serves(&cx, one.address, &new);
            }
            answers.push(NoticeAnswer { address: one.address, epoch: one.epoch, greater });
        }
        self.undelivered.report(out);
        for piece in encoding::pieces(answers) {
            out.send(from, Message::NoticeAnswer(piece));
        }
    }

    fn on_notice_answer(&mut self, from: &NodeName, answers: &[NoticeAnswer], out: &mut Effects) {
        let cx = Context::new(&self.config, self.view.as_deref(), self.now);
        for answer in answers {
            let addresses = &mut self.proposer.addresses;
            if addresses.on_notice_answer(&cx, &mut self.durable, answer, out) {
                self.notices.on_acknowledged(from, answer.address);
            }
        }
    }

    /// From the holder itself, or from a majority of the voters: it lives.
    fn learn_of_holder(&mut self, address: IpAddr, holder: &Holding, out: &mut Effects) {
        let (mut call, proposer, _) = self.asking(out);
        proposer.learn_holder(&mut call, address, holder);
        let cx = Context::new(&self.config, self.view.as_deref(), self.now);
        self.directors.sign_of_holder(&cx, address, out);
    }

    fn advance_directors(&mut self, out: &mut Effects) {
        let cx = Context::new(&self.config, self.view.as_deref(), self.now);
        let known = |address| self.proposer.addresses.known_node(address);
        let due = self.directors.advance(&cx, known, out);
        self.ask_who_holds(&due, out);
        self.repeat_grant_questions(out);
    }

    /// Asks the voters, of which this node may be one.
    fn ask_who_holds(&mut self, addresses: &BTreeSet<IpAddr>, out: &mut Effects) {
        let cx = Context::new(&self.config, self.view.as_deref(), self.now);
        if let Some(own) = Directors::ask_who_holds(&cx, &self.durable, addresses, out) {
            let me = self.config.me.clone();
            self.on_holds(&me, own, out);
        }
    }

    fn on_holds(&mut self, from: &NodeName, holds: Vec<Holds>, out: &mut Effects) {
        for (address, holder) in self.directors.on_holds(&self.durable, from, holds) {
            self.learn_of_holder(address, &holder, out);
        }
    }

    fn repeat_grant_questions(&mut self, out: &mut Effects) {
        let cx = Context::new(&self.config, self.view.as_deref(), self.now);
        let known = |address| self.proposer.addresses.known_node(address);
        let applied = self.applied_grants.epoch();
        self.directors.repeat_grant_questions(&cx, known, applied, out);
    }
}
