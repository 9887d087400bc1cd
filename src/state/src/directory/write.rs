//! One write, under the lock: read what is there, compare its version, write what is new.

use egret_core::model::{
    AddressStatus, ConditionType, EgressAddress, EgressNode, EgressNodeSpec, EgressNodeStatus,
    ObjectRef, ResourceVersion, Stored,
};
use egret_ports::cluster_state::Write;

use super::own_object::{self, OwnObject, SpecRecordStatus};
use super::pause;
use super::store::Access;
use crate::convert::nirmata::keep_former_name;
use crate::error::{StoreError, VersionConflict};

/// Names the object of a write, for errors.
pub fn subject(write: &Write) -> ObjectRef {
    match write {
        Write::AddressPlan { address, .. }
        | Write::AddressStatus { address, .. }
        | Write::DeleteAddress { address, .. } => ObjectRef::address(*address),
        Write::NodeSpec { node, .. }
        | Write::NodeStatus { node, .. }
        | Write::AgentAbsent { node, .. }
        | Write::DeleteNode { node, .. } => ObjectRef::egress_node(node),
        Write::AdmitPods { node } => ObjectRef::node(node),
        Write::Cluster { .. } | Write::ClusterStatus { .. } => {
            ObjectRef { name: "cluster".to_owned(), ..ObjectRef::cluster() }
        }
        Write::PoolPaused { pool, .. } | Write::PoolStatus { pool, .. } => ObjectRef::pool(pool),
        Write::ClaimStatus { claim, .. } => ObjectRef::claim(claim),
    }
}

/// Carries a write out and returns the version now stored.
pub fn apply(access: &Access, write: Write) -> Result<ResourceVersion, StoreError> {
    let what = subject(&write).to_string();
    match write {
        Write::AddressPlan { .. } | Write::AddressStatus { .. } | Write::DeleteAddress { .. } => {
            apply_to_address(access, &what, write)
        }
        Write::NodeSpec { .. }
        | Write::NodeStatus { .. }
        | Write::AgentAbsent { .. }
        | Write::DeleteNode { .. } => apply_to_node(access, &what, write),
        Write::Cluster { expect, cluster } => {
            let file = own_object::cluster_file();
            let before = match own_object::load(access, &file)? {
                Some(OwnObject::Cluster(stored)) => Some(*stored),
                _ => None,
            };
            compare(&what, before.as_ref(), expect.as_ref())?;
            let wrap = |stored| OwnObject::Cluster(Box::new(stored));
            put(access, &file, before, cluster, wrap)
        }
        Write::ClusterStatus { .. } => Err(StoreError::Invalid(format!(
            "in a directory of manifests {what} has no status: nobody has anything to say in it"
        ))),
        Write::AdmitPods { .. } => Err(a_persons_file(&what, "take the taint out of it")),
        Write::PoolPaused { pool, paused } => pause::set(access, &pool, paused),
        Write::PoolStatus { pool, status } => put_status(
            access,
            &what,
            &own_object::pool_file(&pool)?,
            SpecRecordStatus::Pool(status),
        ),
        Write::ClaimStatus { claim, status } => put_status(
            access,
            &what,
            &own_object::claim_file(&claim)?,
            SpecRecordStatus::Claim(status),
        ),
    }
}

fn a_persons_file(what: &str, remedy: &str) -> StoreError {
    StoreError::Invalid(format!("in a directory of manifests {what} is a file of yours: {remedy}"))
}

fn apply_to_address(
    access: &Access,
    what: &str,
    write: Write,
) -> Result<ResourceVersion, StoreError> {
    match write {
        Write::AddressPlan { address, expect, plan } => {
            let file = own_object::address_file(address);
            let before = address_at(access, &file)?;
            compare(what, before.as_ref(), expect.as_ref())?;
            let status = before.as_ref().map(|before| before.value.status.clone());
            let status = status.unwrap_or_else(AddressStatus::default);
            let plan = match &before {
                Some(before) => keep_former_name(&before.value.plan, plan),
                None => plan,
            };
            let value = EgressAddress { address, plan, status, deleting: false };
            put_address(access, &file, before, value)
        }
        Write::AddressStatus { address, expect, status } => {
            let file = own_object::address_file(address);
            let before =
                address_at(access, &file)?.ok_or(StoreError::NotFound { what: what.to_owned() })?;
            compare(what, Some(&before), expect.as_ref())?;
            let plan = before.value.plan.clone();
            let value = EgressAddress { address, plan, status, deleting: false };
            put_address(access, &file, Some(before), value)
        }
        Write::DeleteAddress { address, expect } => {
            let file = own_object::address_file(address);
            let before = address_at(access, &file)?;
            remove(access, what, &file, before, expect)
        }
        _ => Err(StoreError::Invalid(format!("{what} is no address"))),
    }
}

fn apply_to_node(access: &Access, what: &str, write: Write) -> Result<ResourceVersion, StoreError> {
    match write {
        Write::NodeSpec { node, expect, spec } => {
            let file = own_object::node_file(&node)?;
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
        Write::AgentAbsent { node, condition } => {
            let file = own_object::node_file(&node)?;
            let before =
                node_at(access, &file)?.ok_or(StoreError::NotFound { what: what.to_owned() })?;
            let mut value = before.value.clone();
            value.status.conditions.retain(|known| known.kind != ConditionType::AgentAbsent);
            value.status.conditions.extend(condition);
            put_node(access, &file, Some(before), value)
        }
        Write::NodeStatus { node, mut status } => {
            let file = own_object::node_file(&node)?;
            let before = node_at(access, &file)?;
            let absent = before.as_ref().and_then(|before| before.value.status.agent_absent());
            status.conditions.extend(absent.cloned());
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
            let file = own_object::node_file(&node)?;
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
    expect: Option<ResourceVersion>,
) -> Result<ResourceVersion, StoreError> {
    let Some(before) = before else { return Ok(expect.unwrap_or_default()) };
    compare(what, Some(&before), expect.as_ref())?;
    access.remove(file).map_err(StoreError::io(file))?;
    Ok(before.version)
}

fn compare<T>(
    what: &str,
    before: Option<&Stored<T>>,
    expect: Option<&ResourceVersion>,
) -> Result<(), StoreError> {
    let stored = before.map(|before| &before.version);
    if stored == expect { Ok(()) } else { Err(VersionConflict::new(what, stored, expect).into()) }
}

fn put<T: PartialEq>(
    access: &Access,
    file: &str,
    before: Option<Stored<T>>,
    value: T,
    wrap: impl FnOnce(Stored<T>) -> OwnObject,
) -> Result<ResourceVersion, StoreError> {
    if let Some(before) = before
        && before.value == value
    {
        return Ok(before.version);
    }
    let version = own_object::new_version();
    own_object::save(access, file, &wrap(Stored { version: version.clone(), value }))?;
    Ok(version)
}

fn address_at(access: &Access, file: &str) -> Result<Option<Stored<EgressAddress>>, StoreError> {
    Ok(match own_object::load(access, file)? {
        Some(OwnObject::Address(stored)) => Some(*stored),
        _ => None,
    })
}

fn put_address(
    access: &Access,
    file: &str,
    before: Option<Stored<EgressAddress>>,
    value: EgressAddress,
) -> Result<ResourceVersion, StoreError> {
    put(access, file, before, value, |stored| OwnObject::Address(Box::new(stored)))
}

fn node_at(access: &Access, file: &str) -> Result<Option<Stored<EgressNode>>, StoreError> {
    Ok(match own_object::load(access, file)? {
        Some(OwnObject::Node(stored)) => Some(*stored),
        _ => None,
    })
}

fn put_node(
    access: &Access,
    file: &str,
    before: Option<Stored<EgressNode>>,
    value: EgressNode,
) -> Result<ResourceVersion, StoreError> {
    put(access, file, before, value, |stored| OwnObject::Node(Box::new(stored)))
}

fn put_status(
    access: &Access,
    what: &str,
    file: &str,
    status: SpecRecordStatus,
) -> Result<ResourceVersion, StoreError> {
    let Some(OwnObject::Record(mut record)) = own_object::load(access, file)? else {
        return Err(StoreError::NotFound { what: what.to_owned() });
    };
    if record.status == status {
        return Ok(record.metadata.version);
    }
    record.status = status;
    let version = own_object::new_version();
    record.metadata.version = version.clone();
    own_object::save(access, file, &OwnObject::Record(record))?;
    Ok(version)
}
