use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Result;

use super::{Return, Runs, Watcher};
use crate::address::is_egress;
use crate::test_bed::TestBed;
use crate::wire::{Body, decode};

/// On the router's LAN side: which gateway sends for an egress address, by the frame's source.
#[derive(Debug)]
pub struct GatewayOracle {
    runs: Arc<Mutex<Runs>>,
    _watcher: Watcher,
}

impl GatewayOracle {
    /// Starts to watch.
    ///
    /// # Errors
    /// Where the tap cannot be opened.
    pub fn start(lab: &impl TestBed) -> Result<Self> {
        let runs = Arc::new(Mutex::new(Runs::default()));
        let kept = runs.clone();
        let watcher = Watcher::start(lab.network().router.path(), Some("lan0"), move |frame| {
            if frame.outgoing {
                return;
            }
            let Some(packet) = decode(frame.bytes) else { return };
            if let Body::Ip { source, .. } = packet.body
                && is_egress(source)
            {
                let mut runs = kept.lock().unwrap_or_else(PoisonError::into_inner);
                runs.add(source, packet.source_mac, frame.at);
            }
        })?;
        Ok(Self { runs, _watcher: watcher })
    }

    /// What was seen up to now.
    #[must_use]
    pub fn runs(&self) -> Runs {
        self.runs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Every moment since `since` in which two gateways sent for one address within `window`.
    #[must_use]
    pub fn twice(&self, since: crate::WallTime, window: Duration) -> Vec<Return> {
        self.runs().returns(since, window)
    }
}
