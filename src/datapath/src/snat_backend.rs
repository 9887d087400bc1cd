//! The SNAT back end of this node: the one place where it is chosen.

use egret_ports::steering::Steering;

use crate::constants::HostSettings;
use crate::nft::NftSteering;

/// The back end that this node uses. Writes nothing yet: first it has to be told the tunnel's MTU.
#[must_use]
pub fn choose(settings: &HostSettings) -> Box<dyn Steering> {
    Box::new(NftSteering::new(settings.clone(), 0))
}
