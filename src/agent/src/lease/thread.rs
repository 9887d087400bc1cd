use std::io;
use std::sync::mpsc::{self, Receiver, TryRecvError};
use std::thread;
use std::time::Duration;

use egret_core::model::NodeName;
use egret_core::quorum::{BootTime, Config, Input, Machine, Message, Now, Report};
use egret_peers::{Endpoint, Event};
use egret_ports::announcer::Announcer;
use egret_ports::gateway::AddressMap;
use tokio::sync::mpsc::UnboundedSender;
use tracing::{info, warn};

use super::clocks::now;
use super::effects::Hands;
use super::probe::Due;
use super::{Command, KeptFile, LeaseHandle, Notice, Update};

/// Looked at when nothing is due: conflicts are noticed within this.
const IDLE: Duration = Duration::from_millis(250);
/// Datagrams taken in one turn, at most: the more have come, the less each costs, and no flood of them
/// keeps the thread from what is due.
const TOGETHER: usize = 64;
/// A wake-up later than this is told: rows of the suite that say "nothing moves" rest on it.
const STALL: u64 = 100_000_000;

/// Everything that the thread owns.
pub(crate) struct LeaseThread<M, A> {
    pub(crate) me: NodeName,
    pub(crate) boot_id: String,
    pub(crate) endpoint: Endpoint,
    pub(crate) map: M,
    pub(crate) announcer: A,
    pub(crate) kept: KeptFile,
}

/// Starts the thread. It ends after [`Command::Stop`], or with [`Notice::Failed`].
pub(crate) fn spawn<M, A>(
    parts: LeaseThread<M, A>,
    notices: UnboundedSender<Notice>,
) -> io::Result<LeaseHandle>
where
    M: AddressMap + Send + 'static,
    A: Announcer + Send + 'static,
{
    let (commands, receiver) = mpsc::channel();
    let waker = parts.endpoint.waker();
    thread::Builder::new().name("lease".to_owned()).spawn(move || {
        let priority = egret_runtime::priority::raise_priority();
        info!(%priority, "lease thread");
        let mut running = Running::new(parts, notices.clone());
        if let Err(error) = running.run(&receiver) {
            // The receiver is gone only when the process is ending anyway.
            let _ = notices.send(Notice::Failed(error));
        }
    })?;
    Ok(LeaseHandle { commands, waker })
}

struct Running<M, A> {
    machine: Machine,
    hands: Hands<M, A>,
    stopped: bool,
}

impl<M: AddressMap, A: Announcer> Running<M, A> {
    fn new(parts: LeaseThread<M, A>, notices: UnboundedSender<Notice>) -> Self {
        let now = now();
        let config = Config::new(parts.me.clone(), parts.boot_id.clone());
        // The pauses after a split vote must differ between nodes; nothing else rests on the seed.
        let seed = now.raw ^ u64::from(std::process::id()).rotate_left(32);
        let machine = Machine::new(config, parts.kept.read(), now, seed);
        Self { machine, hands: Hands::new(parts, notices), stopped: false }
    }

    fn run(&mut self, commands: &Receiver<Command>) -> Result<(), String> {
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
        }
        Ok(())
    }

    /// Waits for a message and takes those that wait behind it; true where commands wait.
    fn receive(&mut self, mut pause: Duration) -> Result<(Vec<Input>, bool), String> {
        let mut inputs = Vec::new();
        while inputs.len() < TOGETHER {
            let event = self.hands.endpoint.recv::<Message>(pause);
            match event.map_err(|error| format!("cannot wait for peers: {error}"))? {
                Event::Message { from, message } => inputs.push(Input::Receive { from, message }),
                Event::Woken => return Ok((inputs, true)),
                Event::Timeout => break,
            }
            pause = Duration::ZERO;
        }
        Ok((inputs, false))
    }

    fn due(&self) -> Option<BootTime> {
        let machine = self.machine.next_wakeup();
        let probes = self.hands.probes.next_wakeup();
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

    fn take_commands(&mut self, commands: &Receiver<Command>) -> Result<(), String> {
        loop {
            let command = match commands.try_recv() {
                Ok(command) => command,
                Err(TryRecvError::Empty) => return Ok(()),
                // The main loop is gone without a word: claim nothing more.
                Err(TryRecvError::Disconnected) => return Err("the main loop has ended".to_owned()),
            };
            let input = match command {
                Command::Update(update) => self.adopt(*update, None),
                Command::Consistent { began, update } => self.adopt(*update, Some(began)),
                Command::GrantsApplied(epoch) => Input::GrantsApplied { epoch },
                Command::AskGrants { address, epoch } => Input::AskGrants { address, epoch },
                Command::NeedHolder(address) => Input::NeedHolder { address },
                Command::Stop { handover } => Input::Stop { handover },
            };
            self.feed([input])?;
        }
    }

    /// Peers, endpoints and links first: what the machine says next is carried out with them.
    fn adopt(&mut self, update: Update, began: Option<Now>) -> Input {
        let view = Box::new(update.view.clone());
        self.hands.adopt(update);
        match began {
            None => Input::View(view),
            Some(began) => Input::ConsistentRead { began, view },
        }
    }

    fn feed(&mut self, inputs: impl IntoIterator<Item = Input>) -> Result<(), String> {
        let effects = self.machine.handle_all(now(), inputs);
        self.stopped |= effects
            .iter()
            .any(|effect| matches!(effect, egret_core::quorum::Effect::Report(Report::Stopped)));
        self.hands.carry_out(effects)
    }

    fn probe(&mut self) -> Result<(), String> {
        self.hands.notice_conflicts();
        for due in self.hands.probes.due(now().boot) {
            match due {
                Due::Send(address) => self.hands.send_probe(address),
                Due::Done { address, conflict } => {
                    self.feed([Input::Probed { address, conflict }])?;
                }
            }
        }
        Ok(())
    }
}
