//! What a scrape of an agent shows beyond the process itself: the kernel's own counters.

use egret_datapath::bpf;
use egret_datapath::nft::NftSteering;
use egret_ports::steering::Steering as _;
use egret_runtime::metrics::counters;
use egret_runtime::prometheus_client::registry::Registry;

use crate::AgentArgs;

/// Registers counters that are read from the kernel at every scrape; absent while the kernel is
/// not programmed.
pub fn register(args: &AgentArgs, registry: &mut Registry) {
    let pins = args.bpffs.join("egret");
    let help = "Packets by what became of them in the BPF programs (see egret explain --live)";
    counters(registry, "packets", help, "reason", move || bpf::counters(&pins).unwrap_or_default());
    let settings = args.settings();
    let help = "Packets of selected pods that the director's rules dropped";
    counters(registry, "director_drops", help, "reason", move || {
        let drops = NftSteering::new(settings.clone(), 0).drops().unwrap_or_default();
        drops.into_iter().map(|(drop, packets)| (drop.describe().0, packets))
    });
}
