use super::{BootTime, Config, Effect, Input, Kept, Now, View};

/// One agent's whole lease life.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Machine {
    config: Config,
    kept: Kept,
    view: Option<Box<View>>,
}

impl Machine {
    /// A machine at the start of a process. `kept` of another boot counts as absent. `seed` is the
    /// only source of chance (pauses after a split vote).
    pub fn new(config: Config, kept: Option<Kept>, now: Now, _seed: u64) -> Self {
        let kept = kept.filter(|kept| kept.boot_id == config.boot_id).unwrap_or_else(|| Kept {
            boot_id: config.boot_id.clone(),
            silent_since: now.raw,
            ..Kept::default()
        });
        Self { config, kept, view: None }
    }

    /// Takes one input and says what to do, in order.
    pub fn handle(&mut self, _now: Now, input: Input) -> Vec<Effect> {
        if let Input::View(view) = input {
            self.view = Some(view);
        }
        Vec::new()
    }

    /// When [`Input::Tick`] is due at the latest; `None`: not before another input.
    pub fn next_wakeup(&self) -> Option<BootTime> {
        None
    }
}
