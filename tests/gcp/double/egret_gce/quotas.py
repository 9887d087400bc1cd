"""Regional quotas: metrics, their limits, and what counts."""

from typing import TYPE_CHECKING, Any

from . import errors

if TYPE_CHECKING:
    from .cloud import Cloud

# Limits differ between projects and are raised on request; these are round numbers [infer].
DEFAULTS = {
    "STATIC_ADDRESSES": 32.0,
    "INTERNAL_ADDRESSES": 256.0,
    "EXTERNAL_PROTOCOL_FORWARDING_RULES": 128.0,
    "EXTERNAL_NETWORK_LB_FORWARDING_RULES": 128.0,
    "REGIONAL_EXTERNAL_NETWORK_LB_BACKEND_SERVICES": 128.0,
    "REGIONAL_INTERNAL_LB_BACKEND_SERVICES": 128.0,
    "NETWORK_ENDPOINT_GROUPS": 128.0,
    "TARGET_INSTANCES": 128.0,
    "INSTANCES": 512.0,
}


class Quotas:
    def __init__(self) -> None:
        self.limits = dict(DEFAULTS)
        # /egret/build is not refused for a quota.
        self.enforced = True

    def check(self, cloud: "Cloud", project: str, region: str, metric: str | None) -> None:
        """One more of what the metric counts, please. None: nothing counts it."""
        if metric is None or not self.enforced:
            return
        if usage(cloud, project, region, metric) >= self.limits[metric]:
            raise errors.quota(metric, self.limits[metric], f"region {region}")

    def shown(self, cloud: "Cloud", project: str, region: str) -> list[dict[str, Any]]:
        return [
            {"metric": metric, "limit": limit, "usage": float(usage(cloud, project, region, metric))}
            for metric, limit in self.limits.items()
        ]


def usage(cloud: "Cloud", project: str, region: str, metric: str) -> int:
    prefixes = [f"projects/{project}/regions/{region}/"]
    prefixes += [f"projects/{project}/zones/{zone}/" for zone in cloud.regions[region]]
    return sum(
        metric_of(path.split("/")[-2], resource) == metric
        for path, resource in cloud.resources.items()
        if path.startswith(tuple(prefixes))
    )


def metric_of(collection: str, resource: dict[str, Any]) -> str | None:
    external = resource.get("loadBalancingScheme", "EXTERNAL") == "EXTERNAL"
    if collection == "addresses":
        kind = resource.get("addressType", "EXTERNAL")
        return "STATIC_ADDRESSES" if kind == "EXTERNAL" else "INTERNAL_ADDRESSES"
    if collection == "forwardingRules":
        if not external:
            return None
        if "target" in resource:
            return "EXTERNAL_PROTOCOL_FORWARDING_RULES"
        return "EXTERNAL_NETWORK_LB_FORWARDING_RULES"
    if collection == "backendServices":
        if external:
            return "REGIONAL_EXTERNAL_NETWORK_LB_BACKEND_SERVICES"
        return "REGIONAL_INTERNAL_LB_BACKEND_SERVICES"
    return {
        "networkEndpointGroups": "NETWORK_ENDPOINT_GROUPS",
        "targetInstances": "TARGET_INSTANCES",
        "instances": "INSTANCES",
    }.get(collection)
