use std::io;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use egret_core::lease::{
    AddressState, BootTime, Input, LeaseConfig, Machine, Message, Now, PersistedLease,
    ProbeFinding, Report,
};
use egret_peers::WaitOutcome;
use egret_ports::announcer::Announcer;
use egret_ports::gateway::AddressMap;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

use super::address_probe::DueProbes;
use super::clocks::now;
use super::effects::{KernelEffects, LeasePorts};
use super::{LeaseCommand, LeaseEvent, LeaseHandle, PlanUpdate};

/// Looked at when nothing is due: conflicts are noticed within this.
const IDLE: Duration = Duration::from_millis(250);
/// Datagrams taken in one turn, at most: the more have come, the less each costs, and no flood of them
/// keeps the thread from what is due.
const MOST_DATAGRAMS: usize = 64;
/// A wake-up later than this is told: rows of the suite that say "nothing moves" rest on it.
const STALL: u64 = 100_000_000;

/// Starts the thread. It ends after [`LeaseCommand::Stop`], or with [`LeaseEvent::Failed`].
pub(crate) fn spawn<M, A>(
    config: LeaseConfig,
    ports: LeasePorts<M, A>,
    lease_events: UnboundedSender<LeaseEvent>,
) -> io::Result<LeaseHandle>
where
    M: AddressMap + Send + 'static,
    A: Announcer + Send + 'static,
{
    let (commands, receiver) = mpsc::channel();
    let waker = ports.endpoint.waker();
    thread::Builder::new().name("lease".to_owned()).spawn(move || {
        let priority = egret_runtime::priority::raise_priority();
        info!(%priority, "lease thread");
        let mut running = Running::new(config, ports, lease_events.clone());
        if let Err(error) = running.run(&receiver) {
            // The receiver is gone only when the process is ending anyway.
            let _ = lease_events.send(LeaseEvent::Failed(error));
        }
    })?;
    Ok(LeaseHandle { commands, waker })
}

/// Until when an earlier process could answer for what it held, the kernel's entries say.
fn with_kernel_ends(mut kept: PersistedLease, map: &mut impl AddressMap) -> PersistedLease {
    match map.entries() {
        Ok(entries) => {
            let held = entries.into_iter().filter(|(_, entry)| entry.state == AddressState::Held);
            let ends = held.filter_map(|(address, entry)| Some((address, entry.valid_until?)));
            kept.held_until = ends.filter(|(address, _)| kept.held.contains_key(address)).collect();
        }
        Err(error) => warn!(%error, "cannot tell when what was held here ended"),
    }
    kept
}

struct Running<M, A> {
    machine: Machine,
    effects: KernelEffects<M, A>,
    stopped: bool,
}

impl<M: AddressMap, A: Announcer> Running<M, A> {
    fn new(
        config: LeaseConfig,
        mut ports: LeasePorts<M, A>,
        lease_events: UnboundedSender<LeaseEvent>,
    ) -> Self {
        let now = now();
        let me = config.me.clone();
        // The pauses after a split vote must differ between nodes; nothing else rests on the seed.
        let seed = now.raw.0 ^ u64::from(std::process::id()).rotate_left(32);
        let kept = ports.persisted.read().map(|kept| with_kernel_ends(kept, &mut ports.map));
        let machine = Machine::new(config, kept, now, seed);
        Self { machine, effects: KernelEffects::new(me, ports, lease_events), stopped: false }
    }

    fn run(&mut self, commands: &Receiver<LeaseCommand>) -> Result<(), String> {
        while !self.stopped {
            let due = self.due();
            let pause = due
                .map_or(IDLE, |at| Duration::from_nanos(at.0.saturating_sub(now().boot.0)))
                .min(IDLE);
            let (inputs, woken) = self.receive(pause)?;
            self.note_stall(due);
            // Without any input too: time is looked at in every turn.
            self.feed(inputs)?;
            if woken {
                self.take_commands(commands)?;
            }
            self.probe()?;
            self.effects.listen_again(now().boot);
        }
        Ok(())
    }

    /// Waits for a message and takes those that wait behind it; true where commands wait.
    fn receive(&mut self, mut pause: Duration) -> Result<(Vec<Input>, bool), String> {
        let mut inputs = Vec::new();
        while inputs.len() < MOST_DATAGRAMS {
            let event = self.effects.ports.endpoint.recv::<Message>(pause);
            match event.map_err(|error| format!("cannot wait for peers: {error}"))? {
                WaitOutcome::Message { from, message } => {
                    inputs.push(Input::Receive { from, message })
                }
                WaitOutcome::Woken => return Ok((inputs, true)),
                WaitOutcome::Timeout => break,
            }
            pause = Duration::ZERO;
        }
        Ok((inputs, false))
    }

    fn due(&self) -> Option<BootTime> {
        let machine = self.machine.next_wakeup();
        let probes = self.effects.probes.next_wakeup();
        machine.into_iter().chain(probes).min()
    }

    fn note_stall(&self, due: Option<BootTime>) {
        let Some(due) = due else { return };
        let late = now().boot.0.saturating_sub(due.0);
        if late > STALL {
            warn!(
                event = "stall",
                late_ms = late / 1_000_000,
                "the lease thread was not scheduled"
            );
        }
    }

    fn take_commands(&mut self, commands: &Receiver<LeaseCommand>) -> Result<(), String> {
        loop {
            let command = match commands.try_recv() {
                Ok(command) => command,
                Err(TryRecvError::Empty) => return Ok(()),
                // The main loop is gone without a word: claim nothing more.
                Err(TryRecvError::Disconnected) => return Err("the main loop has ended".to_owned()),
            };
            let inputs = match command {
                LeaseCommand::Update(update) => self.adopt(*update, None),
                LeaseCommand::Consistent { began, update } => self.adopt(*update, Some(began)),
                LeaseCommand::Listen(addresses) => {
                    self.effects.listen(addresses);
                    Vec::new()
                }
                LeaseCommand::GrantsApplied(epoch) => vec![Input::GrantsApplied { epoch }],
                LeaseCommand::AskGrants { address, epoch } => {
                    vec![Input::AskGrants { address, epoch }]
                }
                LeaseCommand::NeedHolder(address) => vec![Input::NeedHolder { address }],
                LeaseCommand::Stop(mode) => vec![Input::Stop(mode)],
            };
            self.feed(inputs)?;
        }
    }

    /// Peers, endpoints and links first: what the machine says next is carried out with them.
    fn adopt(&mut self, update: PlanUpdate, began: Option<Now>) -> Vec<Input> {
        let view = Box::new(update.view.clone());
        let ready = self.effects.adopt(update).into_iter();
        let view = match began {
            None => Input::View(view),
            Some(began) => Input::ConsistentRead { began, view },
        };
        [view].into_iter().chain(ready.map(|address| Input::LinkReady { address })).collect()
    }

    fn feed(&mut self, inputs: impl IntoIterator<Item = Input>) -> Result<(), String> {
        let effects = self.machine.handle_all(now(), inputs);
        self.stopped |= effects
            .iter()
            .any(|effect| matches!(effect, egret_core::lease::Effect::Report(Report::Stopped)));
        self.effects.carry_out(effects)
    }

    fn probe(&mut self) -> Result<(), String> {
        for address in self.effects.take_in_conflict() {
            self.feed([Input::Probed { address, found: ProbeFinding::Host }])?;
        }
        for due in self.effects.probes.due(now().boot) {
            match due {
                DueProbes::Send(address) => self.effects.send_probe(address),
                DueProbes::Done { address, conflict } => {
                    let found = if conflict { ProbeFinding::Host } else { ProbeFinding::Nobody };
                    self.feed([Input::Probed { address, found }])?;
                }
            }
        }
        for address in self.effects.take_explained() {
            self.feed([Input::Probed { address, found: ProbeFinding::Harmless }])?;
        }
        Ok(())
    }
}
