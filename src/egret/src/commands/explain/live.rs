use std::collections::BTreeMap;

use anyhow::Context as _;
use egret_datapath::{HostSettings, bpf, snat_backend};

use crate::args::ExplainArgs;
use crate::table::Table;

/// Every counter of this node's kernel.
pub(super) fn print(args: &ExplainArgs) -> anyhow::Result<()> {
    let programs = bpf::counters(&args.bpffs.join("egret"))
        .context("no agent has programmed this node's kernel, or --bpffs is another one")?;
    let mut table = Table::new(&["COUNTER", "PACKETS", "MEANING", "REMEDY"]);
    for reason in bpf::reasons() {
        let packets = programs.get(reason.name).copied().unwrap_or(0);
        if packets > 0 || args.all {
            let (meaning, remedy) = (reason.meaning.to_owned(), reason.remedy.to_owned());
            table.row([reason.name.to_owned(), packets.to_string(), meaning, remedy]);
        }
    }
    let drops: BTreeMap<_, _> =
        snat_backend::choose(&HostSettings::default()).counters().drops()?;
    for (drop, packets) in drops {
        if packets > 0 || args.all {
            let (name, meaning, remedy) = drop.describe();
            let packets = packets.to_string();
            table.row([name.to_owned(), packets, meaning.to_owned(), remedy.to_owned()]);
        }
    }
    if table.is_empty() {
        println!("no packet was dropped (--all shows the counters)");
    } else {
        table.print();
    }
    Ok(())
}
