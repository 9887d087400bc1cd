"""Projects and regions, to read."""

from .. import errors, listing
from ..calls import Call
from ..cloud import Cloud, Resource, url
from ..registry import read

_BORN = "2026-01-01T00:00:00.000+00:00"


@read("projects.get")
def get_project(cloud: Cloud, call: Call) -> Resource:
    number = cloud.projects[call.project]
    return {
        "kind": "compute#project",
        "id": str(number),
        "name": call.project,
        "creationTimestamp": _BORN,
        "selfLink": url(f"projects/{call.project}"),
        "defaultServiceAccount": f"{number}-compute@developer.gserviceaccount.com",
        "defaultNetworkTier": "PREMIUM",
        "xpnProjectStatus": "HOST" if call.project in cloud.hosts.values() else "UNSPECIFIED_XPN_PROJECT_STATUS",
    }


def _region(cloud: Cloud, project: str, name: str) -> Resource:
    return {
        "kind": "compute#region",
        "id": str(1000 + sorted(cloud.regions).index(name)),
        "name": name,
        "creationTimestamp": _BORN,
        "description": name,
        "status": "UP",
        "zones": [url(f"projects/{project}/zones/{zone}") for zone in cloud.regions[name]],
        "quotas": cloud.quotas.shown(cloud, project, name),
        "selfLink": url(f"projects/{project}/regions/{name}"),
    }


@read("regions.get")
def get_region(cloud: Cloud, call: Call) -> Resource:
    name = call.parameters["region"]
    if name not in cloud.regions:
        raise errors.not_found(f"projects/{call.project}/regions/{name}")
    return _region(cloud, call.project, name)


@read("regions.list")
def list_regions(cloud: Cloud, call: Call) -> Resource:
    found = [_region(cloud, call.project, name) for name in cloud.regions]
    return listing.page(call, found, listing.kind_of(call))
