//! Addresses in use that their pool has no longer: it shrank, or was made anew around them. They stay
//! bound and served, and nobody else gets them.

use std::collections::BTreeSet;
use std::net::IpAddr;

use crate::model::{AddressPlan, Claim, ConditionType, Pool};
use crate::reason::Reason;

use super::cloud::some_of;
use super::evaluation::{ConditionInputs, Evaluation};

/// What is said of such an address; `None` of every other.
pub(super) fn address(
    view: &ConditionInputs<'_>,
    address: IpAddr,
    plan: &AddressPlan,
) -> Option<Evaluation> {
    let pool = &view.snapshot.pools.get(&plan.pool)?.value.0;
    is_outside(pool, address, plan).then(|| {
        told(format!(
            "pool {} has it no longer; it stays with {} as long as that asks for it, and nobody else \
             gets it; {}",
            pool.name,
            plan.claim,
            remedy(pool)
        ))
    })
}

/// What is said of a claim that has such addresses.
pub(super) fn claim(
    view: &ConditionInputs<'_>,
    claim: &Claim,
    addresses: &BTreeSet<IpAddr>,
) -> Option<Evaluation> {
    let pool = &view.snapshot.pools.get(&claim.pool)?.value.0;
    let outside = addresses.iter().filter(|address| {
        let plan = view.plans.get(*address);
        plan.is_some_and(|plan| is_outside(pool, **address, plan))
    });
    let outside: Vec<String> = outside.map(IpAddr::to_string).collect();
    (!outside.is_empty()).then(|| {
        told(format!(
            "pool {} has {} no longer; the claim keeps what it has, and once it lets go gets it back \
             only as long as open connections are served; {}",
            pool.name,
            some_of(&outside, ", "),
            remedy(pool)
        ))
    })
}

/// What is said of a pool that has lost such addresses.
pub(super) fn pool(view: &ConditionInputs<'_>, pool: &Pool) -> Option<Evaluation> {
    let plans = view
        .plans
        .iter()
        .filter(|(address, plan)| plan.pool == pool.name && is_outside(pool, **address, plan));
    let outside = plans.map(|(address, plan)| format!("{address} ({})", plan.claim));
    let outside: Vec<String> = outside.collect();
    (!outside.is_empty()).then(|| {
        let list = some_of(&outside, ", ");
        told(format!("in use, and in the pool no longer: {list}; {}", remedy(pool)))
    })
}

fn is_outside(pool: &Pool, address: IpAddr, plan: &AddressPlan) -> bool {
    plan.end.is_none() && !pool.has(address)
}

fn remedy(pool: &Pool) -> String {
    let field = if pool.discovery_tags.is_empty() {
        "put it back into spec.addresses"
    } else {
        "put it back into spec.addresses or give it the pool's tags"
    };
    format!("{field} of the pool, or delete the claim to let it go")
}

fn told(message: String) -> Evaluation {
    Evaluation::new(ConditionType::OutsidePool, true, Reason::NotInPool, message)
}

#[cfg(test)]
mod tests {
    use crate::model::Condition;
    use crate::testing::*;

    fn said(conditions: &[Condition]) -> Option<&str> {
        let outside = conditions.iter().find(|one| one.kind.as_str() == "OutsidePool")?;
        assert!(outside.status && outside.reason == "NotInPool", "{outside:?}");
        Some(&outside.message)
    }

    /// Also of what a person asked for by name, and where the pool is away for a while.
    #[test]
    fn address_claim_and_pool_say_it_and_all_stay_ready_until_the_pool_has_it_again() {
        for claim in [
            mk_claim("payments/bank", "partners"),
            mk_explicit("payments/bank", "partners", &["192.0.2.100"]),
        ] {
            let mut world = Fixture::small();
            world.claim(claim);
            world.settle();
            let before = world.snapshot.clone();
            let plan = world.address("192.0.2.100").plan.clone();
            world.snapshot.pools.clear();
            world.settle();
            world.pool(mk_pool("partners", &[("192.0.2.120", "192.0.2.121")]));
            world.settle();
            assert_eq!(world.address("192.0.2.100").plan, plan);
            let (pool, status) = &world.snapshot.pools[&"partners".into()].value;
            assert!(!pool.has(ip("192.0.2.100")));
            let claim = &world.snapshot.claims[&mk_ref("payments/bank")].value.1;
            let address = world.address("192.0.2.100");
            assert_eq!(
                said(&address.status.conditions),
                Some(
                    "pool partners has it no longer; it stays with payments/bank as long as that asks \
                     for it, and nobody else gets it; put it back into spec.addresses of the pool, or \
                     delete the claim to let it go"
                )
            );
            assert!(
                said(&claim.conditions).unwrap().starts_with("pool partners has 192.0.2.100 no ")
            );
            assert!(
                said(&status.conditions).unwrap().contains(": 192.0.2.100 (payments/bank); put")
            );
            for conditions in [&claim.conditions, &address.status.conditions, &status.conditions] {
                let ready = conditions.iter().find(|one| one.kind.as_str() == "Ready").unwrap();
                assert!(ready.status, "{ready:?}");
            }
            // The pool has it again: nothing is said of it any more.
            let stored = before.pools[&"partners".into()].clone();
            world.snapshot.pools.insert("partners".into(), stored);
            world.settle();
            let claim = &world.snapshot.claims[&mk_ref("payments/bank")].value.1;
            let address = world.address("192.0.2.100");
            assert_eq!((said(&claim.conditions), said(&address.status.conditions)), (None, None));
        }
    }

    /// A message has room for some.
    #[test]
    fn of_many_addresses_some_are_named_and_the_others_counted() {
        let mut world = Fixture::small();
        world.claim(crate::model::Claim { count: 9, ..mk_claim("payments/bank", "partners") });
        world.settle();
        world.pool(mk_pool("partners", &[("192.0.2.120", "192.0.2.121")]));
        world.settle();
        let pool = &world.snapshot.pools[&"partners".into()].value.1;
        let claim = &world.snapshot.claims[&mk_ref("payments/bank")].value.1;
        for conditions in [&claim.conditions, &pool.conditions] {
            let message = said(conditions).unwrap();
            assert!(message.contains("192.0.2.100") && message.contains(" more"), "{message}");
            assert!(!message.contains("192.0.2.108"), "{message}");
        }
    }
}
