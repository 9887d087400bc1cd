//! What goes wrong.

use super::{Event, MS, Simulation};

/// One thing that goes wrong, or right again.
#[derive(Clone, Debug)]
pub enum Fault {
    /// The node loses power, and boots after so many nanoseconds; never for 0.
    PowerOff(usize, u64),
    /// The process is killed, and starts again after so many nanoseconds.
    Kill(usize, u64),
    /// The node's threads do not run for so many nanoseconds.
    Freeze(usize, u64),
    /// These nodes do not reach the others, in either direction.
    Cut(Vec<usize>),
    /// The first does not reach the second.
    OneWay(usize, usize),
    /// All reach all.
    Heal,
    /// Lost datagrams in a thousand from now on.
    Loss(u64),
    /// Told to stop with a handover, and started again after so many nanoseconds.
    Stop(usize, u64),
}

/// Faults at random.
#[derive(Clone, Copy, Debug)]
pub struct Faults {
    /// Mean time between two of them, in nanoseconds.
    pub every: u64,
    /// For how long.
    pub length: u64,
}

impl Simulation {
    /// Lets things go wrong at random; in the end all is healed and everything starts again.
    pub fn plan_faults(&mut self, faults: Faults) {
        let mut at = 0;
        loop {
            at += 1 + self.random(2 * faults.every);
            if at >= faults.length {
                break;
            }
            let fault = self.any_fault();
            self.plan(at, Event::Fault(fault));
        }
        self.plan(faults.length, Event::Fault(Fault::Heal));
        for node in 0..self.agents.len() {
            self.plan(faults.length, Event::Start { node });
        }
    }

    fn any_node(&mut self) -> usize {
        self.random(self.agents.len() as u64) as usize
    }

    fn any_fault(&mut self) -> Fault {
        let node = self.any_node();
        match self.random(10) {
            0 => Fault::PowerOff(node, (50 + self.random(3000)) * MS),
            1 => Fault::Kill(node, (10 + self.random(600)) * MS),
            2 | 3 => Fault::Freeze(node, (50 + self.random(900)) * MS),
            4 => {
                let other = self.any_node();
                Fault::Cut(vec![node, other])
            }
            5 => Fault::OneWay(node, self.any_node()),
            6 => Fault::Loss(self.random(300)),
            7 => Fault::Stop(node, (100 + self.random(600)) * MS),
            _ => Fault::Heal,
        }
    }

    /// Something goes wrong now.
    pub fn fault(&mut self, fault: Fault) {
        match fault {
            Fault::PowerOff(node, off) => {
                let now = self.now;
                self.agents[node].power_off(now);
                if off > 0 {
                    self.plan(off, Event::Start { node });
                }
            }
            Fault::Kill(node, off) => {
                self.agents[node].machine = None;
                self.plan(off, Event::Start { node });
            }
            Fault::Freeze(node, length) => {
                let until = self.now + length;
                let agent = &mut self.agents[node];
                agent.stalled_until = agent.stalled_until.max(until);
            }
            Fault::Cut(inside) => {
                for one in 0..self.agents.len() {
                    for other in 0..self.agents.len() {
                        if inside.contains(&one) != inside.contains(&other) {
                            self.cut.insert((one, other));
                        }
                    }
                }
            }
            Fault::OneWay(from, to) => {
                self.cut.insert((from, to));
            }
            Fault::Heal => {
                self.cut.clear();
                self.setup.loss = 0;
            }
            Fault::Loss(loss) => self.setup.loss = loss,
            Fault::Stop(node, again) => {
                self.input(node, egret_core::quorum::Input::Stop { handover: true });
                self.plan(again, Event::Fault(Fault::Kill(node, 20 * MS)));
            }
        }
    }
}
