"""Regional backend services."""

from typing import Any

from .. import errors, listing
from ..calls import Call
from ..cloud import Cloud, Resource, check_name, fingerprint, made, region_of, url, view
from ..quotas import metric_of
from ..registry import change
from . import ha_policy

listing.readable("regionBackendServices", "backendServices", "get", "list")

_ONLY_SERVER = ("usedBy", "edgeSecurityPolicy", "securityPolicy")
# What a patch may repeat and not change [infer]; haPolicy is looked at by itself.
_FIXED = ("name", "loadBalancingScheme", "network", "protocol")
_PROTOCOLS = ("TCP", "UDP", "UNSPECIFIED")


@view("backendServices")
def _view(cloud: Cloud, path: str, shown: Resource) -> Resource:
    shown |= {"fingerprint": fingerprint(cloud.resources[path])}
    users = [{"reference": url(rule)} for rule in rules_of(cloud, path)]
    return shown | ({"usedBy": users} if users else {})


def rules_of(cloud: Cloud, path: str) -> list[str]:
    return [
        rule
        for rule in cloud.paths("/".join(path.split("/")[:2]), "forwardingRules")
        if cloud.resources[rule].get("backendService") == url(path)
    ]


@change("regionBackendServices.insert")
def insert(cloud: Cloud, call: Call) -> None:
    check_name(call.body)
    resource = made(call.body, call.new_id, "backendService", drop=_ONLY_SERVER)
    resource.setdefault("loadBalancingScheme", "EXTERNAL")
    resource.setdefault("protocol", "TCP")
    if "haPolicy" in resource:
        resource["haPolicy"] = _without_nulls(resource["haPolicy"])
        resource["haPolicy"].setdefault("fastIPMove", "DISABLED")
    _check(cloud, call, resource, new_leader=True)
    ha_policy.check_count(cloud, call.target, resource)
    region = call.parameters["region"]
    cloud.quotas.check(cloud, call.project, region, metric_of("backendServices", resource))
    cloud.put(call.target, resource)
    ha_policy.check_endpoints(cloud, call.project)


@change("regionBackendServices.patch")
def patch(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    stored = cloud.get(path)
    body = call.body
    if body.get("fingerprint") != fingerprint(stored):
        raise errors.stale("The fingerprint of the backend service")
    shown = cloud.shown(path)
    for field in _FIXED:
        given = body.get(field, shown.get(field))
        if field == "network" and given:
            given = url(cloud.reference(given, "resource.network", call.project, "networks"))
        if given != shown.get(field):
            raise errors.invalid(f"resource.{field}", given, "It cannot be changed.")
    if "haPolicy" in body:
        _check_policy(stored, body["haPolicy"])
    ignored = {"kind", "id", "creationTimestamp", "selfLink", "region", "fingerprint", *_FIXED, *_ONLY_SERVER}
    changed = merged(stored, {name: value for name, value in body.items() if name not in ignored})
    given_leader = (body.get("haPolicy") or {}).get("leader")
    _check(cloud, call, changed, new_leader=bool(given_leader))
    cloud.put(path, changed)
    ha_policy.check_endpoints(cloud, call.project)


def _check_policy(stored: Resource, given: Any) -> None:
    """haPolicy is set at creation, and only its leader changes."""
    field = "resource.haPolicy"
    if "haPolicy" not in stored:
        if given is not None:
            raise errors.invalid(field, given, "It can be set at creation only.")
    elif given is None:
        raise errors.invalid(field, given, "It cannot be removed.")
    elif "fastIPMove" in given and given["fastIPMove"] != stored["haPolicy"]["fastIPMove"]:
        why = "It can be set at creation only."
        raise errors.invalid(f"{field}.fastIPMove", given["fastIPMove"], why)


def merged(old: Any, given: Any) -> Any:
    """A JSON merge patch (RFC 7396)."""
    if not isinstance(given, dict):
        return given
    result = dict(old) if isinstance(old, dict) else {}
    for name, value in given.items():
        if value is None:
            result.pop(name, None)
        else:
            result[name] = merged(result.get(name), value)
    return result


def _without_nulls(value: Any) -> Any:
    return merged({}, value)


def _check(cloud: Cloud, call: Call, resource: Resource, new_leader: bool) -> None:
    """Completes and checks what is to be stored."""
    if resource["loadBalancingScheme"] not in ("EXTERNAL", "INTERNAL"):
        if "haPolicy" in resource:
            ha_policy.check_service(resource)
        raise errors.not_modelled("load balancers other than passthrough ones")
    if resource["protocol"] not in _PROTOCOLS:
        why = f"A passthrough service has one of {', '.join(_PROTOCOLS)}."
        raise errors.invalid("resource.protocol", resource["protocol"], why)
    if resource.get("network"):
        vpc = cloud.reference(resource["network"], "resource.network", call.project, "networks")
        cloud.get(vpc)
        resource["network"] = url(vpc)
        if resource["loadBalancingScheme"] == "EXTERNAL" and not ha_policy.fast(resource):
            why = "An EXTERNAL service has a network only with haPolicy.fastIPMove."
            raise errors.invalid("resource.network", resource["network"], why)
    _check_backends(cloud, call, resource)
    if "haPolicy" in resource:
        ha_policy.check_service(resource)
        ha_policy.check_leader(cloud, call.project, resource, new_leader)
    elif resource.get("backends") and not resource.get("healthChecks"):
        raise errors.required("resource.healthChecks")


def _check_backends(cloud: Cloud, call: Call, resource: Resource) -> None:
    vpcs = {resource["network"]} if "network" in resource else set()
    seen = set()
    for index, backend in enumerate(resource.get("backends", ())):
        field = f"resource.backends[{index}]"
        text = backend.get("group")
        if not text:
            raise errors.required(f"{field}.group")
        group = cloud.reference(text, f"{field}.group", call.project, "networkEndpointGroups", full=True)
        if group in seen:
            raise errors.invalid(f"{field}.group", text, "It is a backend already.")
        seen.add(group)
        found = cloud.get(group)
        if region_of(group) != call.parameters["region"]:
            raise errors.invalid(f"{field}.group", text, "It is of another region.")
        vpcs.add(found["network"])
        if len(vpcs) > 1:
            raise errors.invalid(f"{field}.group", text, "All groups must be of the network of the service.")
        if backend.get("balancingMode", "CONNECTION") != "CONNECTION":
            raise errors.invalid(f"{field}.balancingMode", backend["balancingMode"], "It must be CONNECTION.")
        backend |= {"group": url(group), "balancingMode": "CONNECTION"}


@change("regionBackendServices.delete")
def delete(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    cloud.get(path)
    for rule in rules_of(cloud, path):
        raise errors.in_use(path, rule)
    cloud.remove(path)
