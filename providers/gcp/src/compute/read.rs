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
        let mut zones: BTreeSet<String> =
            what.zones.iter().filter_map(|it| zone_in(scope, it)).collect();
        let mut busy = self.list_region_operations(scope).await?;
        busy.extend(flat(
            all(zones.iter().map(|zone| self.list_zone_operations(scope, zone)).collect()).await?,
        ));
        let instances: Vec<&ResourcePath> =
            what.instances.iter().filter(|(_, at)| *at == scope).map(|(path, _)| path).collect();
        let kinds = what.kinds;
        let instances = async {
            all(instances.into_iter().map(|path| self.get_instance(path, scope)).collect()).await
        };
        let services =
            async { if kinds.services { self.list_services(scope).await } else { Ok(vec![]) } };
        let rules = async { if kinds.rules { self.list_rules(scope).await } else { Ok(vec![]) } };
        let (instances, addresses, services, rules) =
            tokio::try_join!(instances, self.list_addresses(scope), services, rules)?;
        let own = services.iter().filter(|(path, service)| own_address(path, service).is_some());
        let of_groups = own.flat_map(|(_, service)| &service.groups);
        let of_groups = of_groups.filter_map(|group| Some(group.part("zones")?.to_owned()));
        zones.extend(of_groups);
        let groups = async {
            if !kinds.groups {
                return Ok(vec![]);
            }
            let lists = zones.iter().map(|zone| self.list_groups(scope, zone)).collect();
            Ok(flat(all(lists).await?))
        };
        let targets = async {
            if !kinds.targets {
                return Ok(vec![]);
            }
            let lists = zones.iter().map(|zone| self.list_targets(scope, zone)).collect();
            Ok(flat(all(lists).await?))
        };
        let subnetworks = instances.iter().flatten().map(|(_, at)| at.subnetwork.clone()).collect();
        let subnetworks = self.read_subnetworks(subnetworks, false);
        let (groups, targets, subnetworks) = tokio::try_join!(groups, targets, subnetworks)?;
        view.busy.extend(busy);
        view.instances.extend(instances.into_iter().flatten());
        for address in addresses {
            view.addresses.entry(address.0).or_default().push(address.1);
        }
        view.services.extend(services);
        view.rules.extend(rules);
        view.groups.extend(groups);
        view.targets.extend(targets);
        view.subnetworks.extend(subnetworks);
        Ok(())
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
        let gone = async |path: ResourcePath| match self.instance(&path).await {
            Err(failure) if failure.class != ErrorClass::Denied => Err(failure),
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
