use std::io::{ErrorKind, Write as _};
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::Context as _;
use egret_core::model::InvalidObject;
use egret_state::{DirectoryState, manifest};

use crate::args::InitArgs;
use crate::error::UsageError;

/// A node that may carry addresses, a pool of one, and a claim: what `egret standalone` needs to be Ready.
const EXAMPLE: &str = include_str!("init/example.yaml");
const FILE: &str = "example.yaml";

pub(crate) fn run(args: &InitArgs) -> anyhow::Result<()> {
    // What cannot be written as it was meant leaves nothing behind.
    let example = args.example.map(|address| Example::of(args.node.as_deref(), address));
    let example = example.transpose()?;
    let directory = args.store.manifests.display();
    DirectoryState::create(&args.store.manifests)
        .with_context(|| format!("cannot make {directory} a store"))?;
    let Some(Example { node, address, text }) = example else {
        println!(
            "{directory} is a store now. Put manifests into it (EgressPool, StaticEgressIP, and v1 \
             Node, Namespace, Pod and Service; --example writes some), then run `egret standalone` or \
             `egret controller` and `egret agent`."
        );
        return Ok(());
    };
    let path = write_example(&args.store.manifests, &text)?;
    println!(
        "{directory} is a store now, and {} claims {address} for pods labelled app=settle. Change what it \
         says of the pool and the claim, then run `egret standalone --manifests {directory} --node {node} \
         --uplink LINK`; LINK has an address in the subnet of {address}.",
        path.display()
    );
    Ok(())
}

/// Manifests that `egret check` finds nothing wrong with.
struct Example {
    node: String,
    address: IpAddr,
    text: String,
}

impl Example {
    fn of(given: Option<&str>, address: IpAddr) -> anyhow::Result<Self> {
        let node = node(given)?;
        let text = EXAMPLE.replace("NODE", &node).replace("ADDRESS", &address.to_string());
        let broken = manifest::check_bytes(FILE, text.as_bytes());
        if let Some(InvalidObject { place, message }) = broken.first() {
            let text = format!("--example {address} --node {node}: {place}: {message}");
            return Err(UsageError(text).into());
        }
        Ok(Self { node, address, text })
    }
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

fn write_example(store: &Path, text: &str) -> anyhow::Result<PathBuf> {
    let path = store.join(FILE);
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
