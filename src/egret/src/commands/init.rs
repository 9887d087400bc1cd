use std::io::{ErrorKind, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use egret_state::DirectoryState;

use crate::args::InitArgs;
use crate::error::UsageError;

/// A node that may carry addresses, a pool of one, and a claim: what `egret standalone` needs to be Ready.
const EXAMPLE: &str = include_str!("init/example.yaml");

pub(crate) fn run(args: &InitArgs) -> anyhow::Result<()> {
    let directory = args.store.manifests.display();
    DirectoryState::create(&args.store.manifests)
        .with_context(|| format!("cannot make {directory} a store"))?;
    let Some(address) = args.example else {
        println!(
            "{directory} is a store now. Put manifests into it (EgressPool, StaticEgressIP, and v1 \
             Node, Namespace, Pod and Service; --example writes some), then run `egret standalone` or \
             `egret controller` and `egret agent`."
        );
        return Ok(());
    };
    let node = node(args.node.as_deref())?;
    let path = write_example(&args.store.manifests, &node, address)?;
    println!(
        "{directory} is a store now, and {} claims {address} for pods labelled app=settle. Change what it \
         says of the pool and the claim, then run `egret standalone --manifests {directory} --node {node} \
         --uplink LINK`; LINK has an address in the subnet of {address}.",
        path.display()
    );
    Ok(())
}

/// As the agent names itself.
fn node(given: Option<&str>) -> anyhow::Result<String> {
    let host = || std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    let node = given.map_or_else(host, str::to_owned).trim().to_lowercase();
    let known = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '.');
    if node.is_empty() || !node.chars().all(known) {
        let text = format!("--node {node}: is no name of a node; use letters, digits, '-' and '.'");
        return Err(UsageError(text).into());
    }
    Ok(node)
}

fn write_example(store: &Path, node: &str, address: IpAddr) -> anyhow::Result<PathBuf> {
    let path = store.join("example.yaml");
    let text = EXAMPLE.replace("NODE", node).replace("ADDRESS", &address.to_string());
    match std::fs::OpenOptions::new().write(true).create_new(true).open(&path) {
        Ok(mut file) => file
            .write_all(text.as_bytes())
            .with_context(|| format!("cannot write {}", path.display()))?,
        Err(error) if error.kind() == ErrorKind::AlreadyExists => {
            let text = format!("{} is there already: edit it, or move it away", path.display());
            return Err(UsageError(text).into());
        }
        Err(error) => {
            return Err(error).with_context(|| format!("cannot write {}", path.display()));
        }
    }
    Ok(path)
}
