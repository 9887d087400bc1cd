//! Commands about one address or one pool.

use egret_core::model::{AddressEnd, EgressAddress, NodeName, PoolName, Snapshot, Stored};
use egret_core::planner::manual;
use egret_ports::clock::Clock as _;
use egret_ports::cluster_state::Write;
use egret_runtime::clock::SystemClock;

use super::node::unknown_node;
use crate::args::{MoveArgs, PoolArgs, ReleaseArgs};
use crate::error::UsageError;

pub(crate) fn move_to(args: &MoveArgs) -> anyhow::Result<()> {
    args.store.store()?.change(|snapshot| {
        let to = NodeName::from(args.to.strip_prefix("node/").unwrap_or(&args.to));
        let stored = find(snapshot, args.address)?;
        if !snapshot.egress_nodes.contains_key(&to) {
            return Err(unknown_node(&to, snapshot).into());
        }
        let plan = manual::move_to(snapshot, &stored.value, &to).map_err(UsageError)?;
        let expect = Some(stored.version.clone());
        Ok(Write::AddressPlan { address: args.address, expect, plan })
    })?;
    println!("{} moves to {} as soon as it can", args.address, args.to);
    Ok(())
}

pub(crate) fn release(args: &ReleaseArgs) -> anyhow::Result<()> {
    let store = args.store.store()?;
    refuse_wanted(&store.read()?, args)?;
    let fence = store.draw_fence()?;
    store.change(|snapshot| {
        let stored = find(snapshot, args.address)?;
        // Ours already, by a try whose answer was lost.
        let plan = if stored.value.plan.fence == fence {
            stored.value.plan.clone()
        } else {
            let wanted = refuse_wanted(snapshot, args)?;
            manual::revoke(&wanted.value.plan, fence, SystemClock.now())
        };
        let expect = Some(stored.version.clone());
        Ok(Write::AddressPlan { address: args.address, expect, plan })
    })?;
    println!(
        "{} ends now: its open connections are cut, and it is free once the voters have let go",
        args.address
    );
    Ok(())
}

/// The address, where nothing wants it any more.
fn refuse_wanted<'a>(
    snapshot: &'a Snapshot,
    args: &ReleaseArgs,
) -> anyhow::Result<&'a Stored<EgressAddress>> {
    let stored = find(snapshot, args.address)?;
    let plan = &stored.value.plan;
    match plan.end {
        Some(AddressEnd::Released { .. }) => Ok(stored),
        Some(AddressEnd::Revoked { .. }) => {
            Err(UsageError(format!("{} has ended already", args.address)).into())
        }
        None => {
            let text = format!(
                "{} belongs to claim {}: delete the claim, or take the address out of it, first",
                args.address, plan.claim
            );
            Err(UsageError(text).into())
        }
    }
}

fn find(
    snapshot: &Snapshot,
    address: std::net::IpAddr,
) -> Result<&Stored<EgressAddress>, UsageError> {
    snapshot.addresses.get(&address).ok_or_else(|| {
        UsageError(format!("{address} is not in use; `egret status` lists those that are"))
    })
}

pub(crate) fn pause(args: &PoolArgs, paused: bool) -> anyhow::Result<()> {
    let pool = PoolName::new(args.pool.strip_prefix("pool/").unwrap_or(&args.pool));
    let store = args.store.store()?;
    let snapshot = store.read()?;
    if !snapshot.pools.contains_key(&pool) {
        let known: Vec<&str> = snapshot.pools.keys().map(PoolName::as_str).collect();
        let known = known.join(", ");
        return Err(UsageError(format!("there is no pool {pool}; there are: {known}")).into());
    }
    store.write(Write::PoolPaused { pool: pool.clone(), paused })??;
    match paused {
        true => println!("{pool} is paused: nothing of it is moved, fenced or freed"),
        false => println!("{pool} goes on"),
    }
    Ok(())
}
