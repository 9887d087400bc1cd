"""haPolicy: what a backend service with it may have, its leader, and the limits of fastIPMove."""

from dataclasses import dataclass
from typing import Any

from .. import errors
from ..addressing import path_of
from ..cloud import Cloud, Resource, region_of, scope_of, url

MOST_SERVICES = 64
MOST_ENDPOINTS = 32
# The description of each of these fields says that it is not with haPolicy.
_EXCLUDED = (
    "healthChecks",
    "sessionAffinity",
    "connectionTrackingPolicy",
    "failoverPolicy",
    "subsetting",
    "networkPassThroughLbTrafficPolicy",
)


@dataclass(frozen=True)
class Leader:
    group: str
    instance: str


def fast(service: Resource) -> bool:
    return service.get("haPolicy", {}).get("fastIPMove", "DISABLED") != "DISABLED"


def leader(cloud: Cloud, service: Resource) -> Leader | None:
    given = service.get("haPolicy", {}).get("leader")
    if not given:
        return None
    group = path_of(given["backendGroup"])
    field = "resource.haPolicy.leader.networkEndpoint.instance"
    return Leader(group, cloud.instance(scope_of(group), given["networkEndpoint"]["instance"], field))


def services_of(cloud: Cloud, group: str) -> list[str]:
    """The services that have the group as a backend."""
    return [
        path
        for path in cloud.paths("/".join(group.split("/")[:2]), "backendServices")
        if any(backend["group"] == url(group) for backend in cloud.resources[path].get("backends", ()))
    ]


def endpoints(cloud: Cloud, service: Resource) -> list[tuple[str, Resource]]:
    """(group, endpoint) of all backends."""
    return [
        (path_of(backend["group"]), endpoint)
        for backend in service.get("backends", ())
        for endpoint in cloud.resources[path_of(backend["group"])]["endpoints"]
    ]


def check_service(service: Resource) -> None:
    """What concerns the service alone."""
    policy = service["haPolicy"]
    scheme = service["loadBalancingScheme"]
    if scheme not in ("EXTERNAL", "INTERNAL"):
        why = "haPolicy is for EXTERNAL and INTERNAL passthrough services."
        raise errors.invalid("resource.loadBalancingScheme", scheme, why)
    for field in _EXCLUDED:
        if service.get(field) not in (None, []):
            raise errors.invalid(f"resource.{field}", service[field], "It cannot be with haPolicy.")
    if service.get("connectionDraining", {}).get("drainingTimeoutSec", 0):
        value = service["connectionDraining"]
        raise errors.invalid("resource.connectionDraining", value, "It cannot be with haPolicy.")
    if "network" not in service and (scheme == "INTERNAL" or fast(service)):
        raise errors.required("resource.network")
    if policy.get("leader") == {}:
        del policy["leader"]


def check_leader(cloud: Cloud, project: str, service: Resource, new: bool) -> None:
    """`new`: it is set by this call, so that its endpoint must be there."""
    given = service["haPolicy"].get("leader")
    if not given:
        return
    field = "resource.haPolicy.leader"
    if not given.get("backendGroup"):
        raise errors.required(f"{field}.backendGroup")
    if not given.get("networkEndpoint", {}).get("instance"):
        raise errors.required(f"{field}.networkEndpoint.instance")
    text = given["backendGroup"]
    group = cloud.reference(text, f"{field}.backendGroup", project, "networkEndpointGroups", full=True)
    given["backendGroup"] = url(group)
    if url(group) not in [backend["group"] for backend in service.get("backends", ())]:
        raise errors.invalid(f"{field}.backendGroup", text, "It is no backend of the service.")
    wanted = leader(cloud, service)
    assert wanted is not None
    attached = [one["instance"] for one in cloud.resources[group]["endpoints"]]
    if new and url(wanted.instance) not in attached:
        text = given["networkEndpoint"]["instance"]
        why = "It must be attached to the group of the leader."
        raise errors.invalid(f"{field}.networkEndpoint.instance", text, why)


def check_count(cloud: Cloud, path: str, service: Resource) -> None:
    """How many services with fastIPMove a network has in a region, before one more; those of all
    projects that share it."""
    if not fast(service):
        return
    same = [
        other
        for other in cloud.paths("projects", "backendServices")
        if other != path
        and region_of(other) == region_of(path)
        and fast(cloud.resources[other])
        and cloud.resources[other]["network"] == service["network"]
    ]
    if len(same) >= MOST_SERVICES:
        where = f"{path_of(service['network'])} in {region_of(path)}"
        raise errors.limit(f"Backend services with fastIPMove of {where}", MOST_SERVICES)


def check_endpoints(cloud: Cloud, project: str) -> None:
    """How many endpoints a service with fastIPMove has. How many services an endpoint has follows
    from `check_count`: it is of one network and region."""
    for path in cloud.paths(f"projects/{project}", "backendServices"):
        service: Any = cloud.resources[path]
        if fast(service) and len(endpoints(cloud, service)) > MOST_ENDPOINTS:
            raise errors.limit(f"Network endpoints of {path}, which has fastIPMove", MOST_ENDPOINTS)
