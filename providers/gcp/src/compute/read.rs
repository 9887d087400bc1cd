//! A read of everything that decisions rest on: what depends on nothing is read at the same time.

use std::collections::{BTreeMap, BTreeSet};

use egret_ports::error::ErrorClass;
use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};

use super::Compute;
use crate::errors::GceFailure;
use crate::ha_policy::own_address;
use crate::mode::ReadKinds;
use crate::names::{RegionScope, ResourcePath};
use crate::refusal::GceRefusal;
use crate::snapshot::{GceSnapshot, GceSubnetwork};

/// Calls of one kind at a time.
const AT_ONCE: usize = 16;

/// What is to be read.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub(crate) struct ReadScope {
    pub kinds: ReadKinds,
    /// The nodes' instances.
    pub instances: BTreeMap<ResourcePath, RegionScope>,
    pub scopes: BTreeSet<RegionScope>,
    /// Projects and zones.
    pub zones: BTreeSet<(String, String)>,
}

impl Compute {
    /// Everything that decisions rest on. A project and region that cannot be read keeps no other from
    /// being read.
    ///
    /// # Errors
    /// Whatever is no matter of one project and region; where there is only one, why it cannot be read.
    pub async fn read(&self, what: &ReadScope) -> Result<GceSnapshot, GceFailure> {
        let mut view = GceSnapshot::default();
        for scope in &what.scopes {
            match self.read_scope(what, scope, &mut view).await {
                Err(mut failure) if failure.is_of_its_scope() => {
                    if failure.class == ErrorClass::NotFound {
                        failure.class = ErrorClass::Invalid;
                    }
                    if what.scopes.len() == 1 {
                        return Err(failure);
                    }
                    let refusal = GceRefusal::new(failure.class, failure.to_string());
                    view.unreadable.insert(scope.clone(), refusal);
                }
                result => result?,
            }
        }
        let of_addresses = view.addresses.values().flatten().filter_map(|it| it.subnetwork.clone());
        let unread = of_addresses.filter(|path| !view.subnetworks.contains_key(path));
        // Somebody else's may be no business of this account.
        let subnetworks = self.read_subnetworks(unread.collect(), true).await?;
        view.subnetworks.extend(subnetworks);
        self.read_strangers(&mut view).await?;
        Ok(view)
    }

    /// Operations are read first: what ends meanwhile shows in what is read after it.
    async fn read_scope(
        &self,
        what: &ReadScope,
        scope: &RegionScope,
        view: &mut GceSnapshot,
    ) -> Result<(), GceFailure> {
        let kinds = what.kinds;
        let mut zones: BTreeSet<String> =
            what.zones.iter().filter_map(|it| zone_in(scope, it)).collect();
        if kinds.services || kinds.rules {
            view.busy.extend(self.list_region_operations(scope).await?);
        }
        let services =
            async { if kinds.services { self.list_services(scope).await } else { Ok(vec![]) } };
        let rules = async { if kinds.rules { self.list_rules(scope).await } else { Ok(vec![]) } };
        let (addresses, services, rules) =
            tokio::try_join!(self.list_addresses(scope), services, rules)?;
        let own = services.iter().filter(|(path, service)| own_address(path, service).is_some());
        let groups = own.flat_map(|(_, service)| &service.groups);
        let targets = rules.iter().filter_map(|(_, rule)| rule.target.as_ref());
        let zonal = groups.chain(targets).filter_map(|path| Some(path.part("zones")?.to_owned()));
        zones.extend(zonal);
        for (address, reserved) in addresses {
            view.addresses.entry(address).or_default().push(reserved);
        }
        view.services.extend(services);
        view.rules.extend(rules);
        self.read_zones(what, scope, &zones, view).await?;
        let here = view.instances.values().filter(|at| at.scope == *scope);
        let subnetworks = here.map(|at| at.subnetwork.clone()).collect();
        view.subnetworks.extend(self.read_subnetworks(subnetworks, false).await?);
        Ok(())
    }

    /// A zone that does not answer keeps no other from being read: addresses leave it.
    async fn read_zones(
        &self,
        what: &ReadScope,
        scope: &RegionScope,
        zones: &BTreeSet<String>,
        view: &mut GceSnapshot,
    ) -> Result<(), GceFailure> {
        let read = async |zone: String| {
            let read = self.read_zone(what, scope, &zone).await;
            Ok((zone, read))
        };
        for (zone, read) in all(zones.iter().cloned().map(read).collect()).await? {
            match read {
                Err(failure) if failure.class == ErrorClass::Transient && zones.len() > 1 => {
                    let refusal = GceRefusal::new(failure.class, failure.to_string());
                    view.unreadable_zones.insert((scope.project.clone(), zone), refusal);
                }
                read => view.extend(read?),
            }
        }
        Ok(())
    }

    async fn read_zone(
        &self,
        what: &ReadScope,
        scope: &RegionScope,
        zone: &str,
    ) -> Result<GceSnapshot, GceFailure> {
        let busy = self.list_zone_operations(scope, zone).await?;
        let here = |(path, at): &(&ResourcePath, &RegionScope)| {
            *at == scope && path.part("zones") == Some(zone)
        };
        let instances = what.instances.iter().filter(here);
        let instances = instances.map(|(path, _)| self.get_instance(path, scope)).collect();
        let kinds = what.kinds;
        let groups =
            async { if kinds.groups { self.list_groups(scope, zone).await } else { Ok(vec![]) } };
        let targets =
            async { if kinds.targets { self.list_targets(scope, zone).await } else { Ok(vec![]) } };
        let (instances, groups, targets) = tokio::try_join!(all(instances), groups, targets)?;
        Ok(GceSnapshot {
            busy: busy.into_iter().collect(),
            instances: instances.into_iter().flatten().collect(),
            groups: groups.into_iter().collect(),
            targets: targets.into_iter().collect(),
            ..GceSnapshot::default()
        })
    }

    /// Those that exist and, where `denied` is allowed, that this account may see.
    async fn read_subnetworks(
        &self,
        paths: BTreeSet<ResourcePath>,
        denied: bool,
    ) -> Result<Vec<(ResourcePath, GceSubnetwork)>, GceFailure> {
        let read = async |path: ResourcePath| match self.get_subnetwork(&path).await {
            Err(failure) if denied && failure.class == ErrorClass::Denied => Ok(None),
            result => Ok(result?.map(|subnetwork| (path, subnetwork))),
        };
        Ok(flat(all(paths.into_iter().map(read).collect()).await?))
    }

    /// Instances of Egret's services and targets that no Node stands for: do they exist?
    async fn read_strangers(&self, view: &mut GceSnapshot) -> Result<(), GceFailure> {
        let own = view.services.iter().filter(|(path, it)| own_address(path, it).is_some());
        let leaders = own.filter_map(|(_, it)| it.leader.clone());
        let targets = view.targets.values().filter_map(|target| target.instance.clone());
        let named: BTreeSet<ResourcePath> = leaders.chain(targets).collect();
        let unread = named.into_iter().filter(|it| !view.instances.contains_key(it));
        // Of one that cannot be read nothing is known: it is not gone.
        let gone = async |path: ResourcePath| match self.instance(&path).await {
            Err(failure) if matches!(failure.class, ErrorClass::Throttled { .. }) => Err(failure),
            Ok(None) => Ok(Some(path)),
            _ => Ok(None),
        };
        let gone = all(unread.map(gone).collect()).await?;
        view.gone.extend(flat(gone));
        Ok(())
    }
}

/// What all of these say, a few at a time.
async fn all<T>(
    reads: Vec<impl Future<Output = Result<T, GceFailure>>>,
) -> Result<Vec<T>, GceFailure> {
    stream::iter(reads).buffered(AT_ONCE).try_collect().await
}

fn flat<T>(all: Vec<impl IntoIterator<Item = T>>) -> Vec<T> {
    all.into_iter().flatten().collect()
}

/// The zone, if it is one of the project and region.
fn zone_in(scope: &RegionScope, (project, zone): &(String, String)) -> Option<String> {
    let (region, _) = zone.rsplit_once('-')?;
    (*project == scope.project && *region == scope.region).then(|| zone.clone())
}
