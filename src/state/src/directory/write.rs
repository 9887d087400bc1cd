//! One write, under the lock: read what is there, compare its version, write what is new.

use egret_core::model::{
    AddressStatus, EgressAddress, EgressNode, EgressNodeSpec, EgressNodeStatus, Stored, Version,
};
use egret_ports::cluster_state::Write;

use super::error::StoreError;
use super::own::{self, Own, RecordStatus};
use super::store::Access;

/// Names the object of a write, for errors.
pub fn subject(write: &Write) -> String {
    match write {
        Write::AddressPlan { address, .. }
        | Write::AddressStatus { address, .. }
        | Write::DeleteAddress { address, .. } => format!("EgressAddress {address}"),
        Write::NodeSpec { node, .. }
        | Write::NodeStatus { node, .. }
        | Write::DeleteNode { node, .. } => {
            format!("EgressNode {node}")
        }
        Write::AdmitPods { node } => format!("Node {node}"),
        Write::Cluster { .. } => "EgressCluster cluster".to_owned(),
        Write::PoolPaused { pool, .. } | Write::PoolStatus { pool, .. } => {
            format!("EgressPool {pool}")
        }
        Write::ClaimStatus { claim, .. } if claim.namespace.is_some() => {
            format!("StaticEgressIP {claim}")
        }
        Write::ClaimStatus { claim, .. } => format!("ClusterStaticEgressIP {claim}"),
    }
}

/// Carries a write out and returns the version now stored.
pub fn apply(access: &Access, write: Write) -> Result<Version, StoreError> {
    let what = subject(&write);
    match write {
        Write::AddressPlan { .. } | Write::AddressStatus { .. } | Write::DeleteAddress { .. } => {
            apply_to_address(access, &what, write)
        }
        Write::NodeSpec { .. } | Write::NodeStatus { .. } | Write::DeleteNode { .. } => {
            apply_to_node(access, &what, write)
        }
        Write::Cluster { expect, cluster } => {
            let file = own::cluster_file();
            let before = match own::load(access, &file)? {
                Some(Own::Cluster(stored)) => Some(*stored),
                _ => None,
            };
            compare(&what, before.as_ref(), expect.as_ref())?;
            let wrap = |stored| Own::Cluster(Box::new(stored));
            put(access, &file, before, cluster, wrap)
        }
        Write::AdmitPods { .. } => Err(a_persons_file(&what, "take the taint out of it")),
        Write::PoolPaused { paused, .. } => {
            Err(a_persons_file(&what, &format!("write `paused: {paused}` into its spec")))
        }
        Write::PoolStatus { pool, status } => {
            put_status(access, &what, &own::pool_file(&pool)?, RecordStatus::Pool(status))
        }
        Write::ClaimStatus { claim, status } => {
            put_status(access, &what, &own::claim_file(&claim)?, RecordStatus::Claim(status))
        }
    }
}

fn a_persons_file(what: &str, remedy: &str) -> StoreError {
    StoreError::Invalid(format!("in a directory of manifests {what} is a file of yours: {remedy}"))
}

fn apply_to_address(access: &Access, what: &str, write: Write) -> Result<Version, StoreError> {
    match write {
        Write::AddressPlan { address, expect, plan } => {
            let file = own::address_file(address);
            let before = address_at(access, &file)?;
            compare(what, before.as_ref(), expect.as_ref())?;
            let status = before.as_ref().map(|before| before.value.status.clone());
            let status = status.unwrap_or_else(AddressStatus::default);
            let value = EgressAddress { address, plan, status, deleting: false };
            put_address(access, &file, before, value)
        }
        Write::AddressStatus { address, expect, status } => {
            let file = own::address_file(address);
            let before =
                address_at(access, &file)?.ok_or(StoreError::NotFound { what: what.to_owned() })?;
            compare(what, Some(&before), expect.as_ref())?;
            let plan = before.value.plan.clone();
            let value = EgressAddress { address, plan, status, deleting: false };
            put_address(access, &file, Some(before), value)
        }
        Write::DeleteAddress { address, expect } => {
            let file = own::address_file(address);
            let before = address_at(access, &file)?;
            remove(access, what, &file, before, expect)
        }
        _ => Err(StoreError::Invalid(format!("{what} is no address"))),
    }
}

fn apply_to_node(access: &Access, what: &str, write: Write) -> Result<Version, StoreError> {
    match write {
        Write::NodeSpec { node, expect, spec } => {
            let file = own::node_file(&node)?;
            let before = node_at(access, &file)?;
            compare(what, before.as_ref(), expect.as_ref())?;
            let status = before.as_ref().map(|before| before.value.status.clone());
            let status = status.unwrap_or_else(EgressNodeStatus::default);
            put_node(
                access,
                &file,
                before,
                EgressNode { name: node, spec, status, deleting: false },
            )
        }
        Write::NodeStatus { node, status } => {
            let file = own::node_file(&node)?;
            let before = node_at(access, &file)?;
            let spec = before.as_ref().map(|before| before.value.spec.clone());
            let spec = spec.unwrap_or_else(EgressNodeSpec::default);
            put_node(
                access,
                &file,
                before,
                EgressNode { name: node, spec, status, deleting: false },
            )
        }
        Write::DeleteNode { node, expect } => {
            let file = own::node_file(&node)?;
            let before = node_at(access, &file)?;
            remove(access, what, &file, before, expect)
        }
        _ => Err(StoreError::Invalid(format!("{what} is no node"))),
    }
}

fn remove<T>(
    access: &Access,
    what: &str,
    file: &str,
    before: Option<Stored<T>>,
    expect: Option<Version>,
) -> Result<Version, StoreError> {
    let Some(before) = before else { return Ok(expect.unwrap_or_default()) };
    compare(what, Some(&before), expect.as_ref())?;
    access.remove(file).map_err(StoreError::io(file))?;
    Ok(before.version)
}

fn compare<T>(
    what: &str,
    before: Option<&Stored<T>>,
    expect: Option<&Version>,
) -> Result<(), StoreError> {
    let stored = before.map(|before| &before.version);
    if stored == expect {
        return Ok(());
    }
    let text = |version: Option<&Version>| version.map_or("none".to_owned(), Version::to_string);
    Err(StoreError::Conflict {
        what: what.to_owned(),
        stored: text(stored),
        expected: text(expect),
    })
}

fn put<T: PartialEq>(
    access: &Access,
    file: &str,
    before: Option<Stored<T>>,
    value: T,
    wrap: impl FnOnce(Stored<T>) -> Own,
) -> Result<Version, StoreError> {
    if let Some(before) = before
        && before.value == value
    {
        return Ok(before.version);
    }
    let version = own::new_version();
    own::save(access, file, &wrap(Stored { version: version.clone(), value }))?;
    Ok(version)
}

fn address_at(access: &Access, file: &str) -> Result<Option<Stored<EgressAddress>>, StoreError> {
    Ok(match own::load(access, file)? {
        Some(Own::Address(stored)) => Some(*stored),
        _ => None,
    })
}

fn put_address(
    access: &Access,
    file: &str,
    before: Option<Stored<EgressAddress>>,
    value: EgressAddress,
) -> Result<Version, StoreError> {
    put(access, file, before, value, |stored| Own::Address(Box::new(stored)))
}

fn node_at(access: &Access, file: &str) -> Result<Option<Stored<EgressNode>>, StoreError> {
    Ok(match own::load(access, file)? {
        Some(Own::Node(stored)) => Some(*stored),
        _ => None,
    })
}

fn put_node(
    access: &Access,
    file: &str,
    before: Option<Stored<EgressNode>>,
    value: EgressNode,
) -> Result<Version, StoreError> {
    put(access, file, before, value, |stored| Own::Node(Box::new(stored)))
}

fn put_status(
    access: &Access,
    what: &str,
    file: &str,
    status: RecordStatus,
) -> Result<Version, StoreError> {
    let Some(Own::Record(mut record)) = own::load(access, file)? else {
        return Err(StoreError::NotFound { what: what.to_owned() });
    };
    if record.status == status {
        return Ok(record.version);
    }
    record.status = status;
    record.version = own::new_version();
    let version = record.version.clone();
    own::save(access, file, &Own::Record(record))?;
    Ok(version)
}
