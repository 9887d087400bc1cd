"""Regional forwarding rules: an address, and the target instance or backend service behind it."""

from typing import Any

from .. import addressing, errors, listing
from ..addressing import path_of
from ..calls import Call
from ..cloud import Cloud, Resource, check_name, fingerprint, made, region_of, url, view
from ..quotas import metric_of
from ..registry import change
from . import ha_policy, labels

listing.readable("forwardingRules", "forwardingRules", "get", "list", "aggregatedList")

_ONLY_SERVER = ("labelFingerprint", "selfLinkWithId", "serviceName", "baseForwardingRule", "pscConnectionId")
_WITH_PORTS = ("TCP", "UDP", "SCTP")
# The protocols of services for those of their rules.
_SERVICES = {
    "L3_DEFAULT": ("UNSPECIFIED",),
    "TCP": ("TCP", "UNSPECIFIED"),
    "UDP": ("UDP", "UNSPECIFIED"),
}
# What a patch may change: networkTier as its description says, allowGlobalAccess [infer].
_PATCHABLE = ("networkTier", "allowGlobalAccess")


@view("forwardingRules")
def _view(cloud: Cloud, path: str, shown: Resource) -> Resource:
    return shown | labels.shown(shown) | {"fingerprint": fingerprint(cloud.resources[path])}


@change("forwardingRules.insert")
def insert(cloud: Cloud, call: Call) -> None:
    body = call.body
    check_name(body)
    labels.check(body.get("labels"))
    if body.get("ipVersion", "IPV4") == "IPV6":
        raise errors.not_modelled("IPv6")
    if body.get("IPAddresses"):
        raise errors.invalid("resource.IPAddresses", body["IPAddresses"], "It is of global rules only.")
    resource = made(body, call.new_id, "forwardingRule", drop=_ONLY_SERVER)
    scheme = resource.setdefault("loadBalancingScheme", "EXTERNAL")
    if scheme not in ("EXTERNAL", "INTERNAL"):
        raise errors.not_modelled(f"forwarding rules of scheme {scheme}")
    _check_protocol(resource)
    resource |= _behind(cloud, call, resource)
    resource |= _place(cloud, call, resource)
    if "allowGlobalAccess" in resource and scheme == "EXTERNAL":
        value = resource["allowGlobalAccess"]
        raise errors.invalid("resource.allowGlobalAccess", value, "It is of INTERNAL rules only.")
    resource |= _address(cloud, call, resource)
    _check_free(cloud, resource)
    cloud.quotas.check(cloud, call.project, call.parameters["region"], metric_of("forwardingRules", resource))
    cloud.put(call.target, resource)


def _check_protocol(resource: Resource) -> None:
    protocol = resource.setdefault("IPProtocol", "TCP")
    given = [name for name in ("ports", "portRange", "allPorts") if resource.get(name)]
    if len(given) > 1:
        raise errors.invalid(f"resource.{given[1]}", resource[given[1]], f"It cannot be with {given[0]}.")
    if protocol == "L3_DEFAULT" and given != ["allPorts"]:
        value = resource.get("allPorts", False)
        raise errors.invalid("resource.allPorts", value, "L3_DEFAULT requires it to be true.")
    allowed = (*_WITH_PORTS, "L3_DEFAULT") if given == ["allPorts"] else _WITH_PORTS
    if given and protocol not in allowed:
        raise errors.invalid(f"resource.{given[0]}", resource[given[0]], f"It cannot be with {protocol}.")
    if len(resource.get("ports", ())) > 5:
        raise errors.invalid("resource.ports", resource["ports"], "There may be at most five.")


def _behind(cloud: Cloud, call: Call, resource: Resource) -> Resource:
    """The target instance or the backend service."""
    if bool(resource.get("target")) == bool(resource.get("backendService")):
        raise errors.invalid(
            "resource.target", resource.get("target", ""), "Give one of target and backendService."
        )
    region = call.parameters["region"]
    if resource.get("target"):
        return {"target": url(_target(cloud, call, resource["target"], "resource.target"))}
    text = resource["backendService"]
    path = cloud.reference(text, "resource.backendService", call.project, "backendServices")
    service = cloud.get(path)
    if "/regions/" not in path or region_of(path) != region:
        raise errors.invalid("resource.backendService", text, "It is not of the rule's region.")
    if service["loadBalancingScheme"] != resource["loadBalancingScheme"]:
        raise errors.invalid("resource.backendService", text, "It is of another loadBalancingScheme.")
    if service["protocol"] not in _SERVICES.get(resource["IPProtocol"], ()):
        why = f"A service of protocol {service['protocol']} does not take it."
        raise errors.invalid("resource.IPProtocol", resource["IPProtocol"], why)
    return {"backendService": url(path)}


def _target(cloud: Cloud, call: Call, text: str, field: str) -> str:
    path = cloud.reference(text, field, call.project, "targetInstances")
    cloud.get(path)
    if region_of(path) != call.parameters["region"]:
        raise errors.invalid(field, text, "It is not of the rule's region.")
    return path


def _place(cloud: Cloud, call: Call, resource: Resource) -> Resource:
    """The network and subnetwork of an internal rule."""
    if resource["loadBalancingScheme"] == "EXTERNAL":
        for field in ("network", "subnetwork"):
            if resource.get(field):
                raise errors.invalid(f"resource.{field}", resource[field], "An EXTERNAL IPv4 rule has none.")
        return {}
    if not resource.get("subnetwork"):
        raise errors.required("resource.subnetwork")
    text = resource["subnetwork"]
    path = cloud.reference(text, "resource.subnetwork", call.project, "subnetworks")
    vpc = cloud.get(path)["network"]
    if region_of(path) != call.parameters["region"]:
        raise errors.invalid("resource.subnetwork", text, "It is not of the rule's region.")
    given = resource.get("network")
    if given and url(cloud.reference(given, "resource.network", call.project, "networks")) != vpc:
        raise errors.invalid("resource.network", given, "The subnetwork is of another network.")
    service = cloud.resources.get(path_of(resource.get("backendService", "")), {})
    if service.get("network", vpc) != vpc:
        raise errors.invalid("resource.subnetwork", text, "The backend service is of another network.")
    return {"network": vpc, "subnetwork": url(path)}


def _address(cloud: Cloud, call: Call, resource: Resource) -> Resource:
    """The number and the tier; of a reserved address, or of none."""
    internal = resource["loadBalancingScheme"] == "INTERNAL"
    text = resource.get("IPAddress")
    if not text:
        subnetwork = cloud.resources.get(path_of(resource.get("subnetwork", "")), {})
        number = addressing.free_internal(cloud, subnetwork) if internal else addressing.free_external(cloud)
        return {"IPAddress": number, "networkTier": resource.get("networkTier", "PREMIUM")}
    path = reserved(cloud, call, text, addressing.vpc_of(cloud, resource))
    if path is None:
        if not internal:
            why = "It is no static external address of the region."
            raise errors.invalid("resource.IPAddress", text, why)
        wanted = addressing.address(text, "resource.IPAddress")
        subnetwork = cloud.resources[path_of(resource["subnetwork"])]
        addressing.check_in_subnetwork(subnetwork, wanted, "resource.IPAddress")
        return {"IPAddress": text, "networkTier": "PREMIUM"}
    found = cloud.get(path)
    if region_of(path) != call.parameters["region"]:
        raise errors.invalid("resource.IPAddress", text, "It is of another region.")
    if found["addressType"] != resource["loadBalancingScheme"]:
        raise errors.invalid("resource.IPAddress", text, f"It is {found['addressType']}, unlike the rule.")
    if found.get("subnetwork") != resource.get("subnetwork"):
        raise errors.invalid("resource.IPAddress", text, "It is of another subnetwork.")
    if resource.get("networkTier", found["networkTier"]) != found["networkTier"]:
        value = resource["networkTier"]
        raise errors.invalid("resource.networkTier", value, f"The address is {found['networkTier']}.")
    return {"IPAddress": found["address"], "networkTier": found["networkTier"]}


def reserved(cloud: Cloud, call: Call, text: str, vpc: str | None) -> str | None:
    """The path of a reserved address, of its number, URL or name; None for another number."""
    if not addressing.numbered(text):
        if "/" not in text:
            text = f"{call.scope}/addresses/{text}"
        return cloud.reference(text, "resource.IPAddress", call.project, "addresses")
    for path in cloud.paths(f"projects/{call.project}", "addresses"):
        resource = cloud.resources[path]
        if resource["address"] == text and addressing.vpc_of(cloud, resource) == vpc:
            return path
    return None


def _check_free(cloud: Cloud, resource: Resource) -> None:
    vpc = addressing.vpc_of(cloud, resource)
    holders = addressing.external(cloud) if vpc is None else addressing.internal(cloud, vpc)
    mine = addressing.address(resource["IPAddress"], "resource.IPAddress")
    shared = vpc is None
    for holder in holders:
        if mine in holder.block and holder.kind == "address":
            shared = shared or cloud.resources[holder.path]["purpose"] == "SHARED_LOADBALANCER_VIP"
    for holder in holders:
        if mine not in holder.block or holder.kind == "address":
            continue
        other = cloud.resources[holder.path]
        # Ports are not compared: one rule for an address and a protocol.
        if (
            holder.kind != "rule"
            or not shared
            or _fast(cloud, resource)
            or _fast(cloud, other)
            or other["IPProtocol"] == resource["IPProtocol"]
        ):
            raise errors.ip_in_use(str(mine))


def _fast(cloud: Cloud, rule: Resource) -> bool:
    service = rule.get("backendService")
    return service is not None and ha_policy.fast(cloud.resources[path_of(service)])


@change("forwardingRules.setTarget")
def set_target(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    rule = cloud.get(path)
    text: Any = call.body.get("target")
    if not text:
        raise errors.required("resource.target")
    if "target" not in rule:
        raise errors.invalid("resource.target", text, "The rule has a backend service, which stays.")
    cloud.put(path, rule | {"target": url(_target(cloud, call, text, "resource.target"))})


@change("forwardingRules.patch")
def patch(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    rule, shown = cloud.get(path), cloud.shown(path)
    body = call.body
    if body.get("fingerprint", shown["fingerprint"]) != shown["fingerprint"]:
        raise errors.stale("The fingerprint of the forwarding rule")
    for field, value in body.items():
        if field not in _PATCHABLE and value is not None and value != shown.get(field):
            raise errors.invalid(f"resource.{field}", value, f"Only {' and '.join(_PATCHABLE)} can be patched.")
    if "allowGlobalAccess" in body and rule["loadBalancingScheme"] == "EXTERNAL":
        value = body["allowGlobalAccess"]
        raise errors.invalid("resource.allowGlobalAccess", value, "It is of INTERNAL rules only.")
    address = reserved(cloud, call, rule["IPAddress"], addressing.vpc_of(cloud, rule))
    tier = body.get("networkTier") or rule["networkTier"]
    if address and cloud.resources[address]["networkTier"] != tier:
        raise errors.invalid("resource.networkTier", tier, "The address is of the other one.")
    for field in _PATCHABLE:
        if body.get(field) is not None:
            rule[field] = body[field]
    cloud.put(path, rule)


@change("forwardingRules.delete")
def delete(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    cloud.get(path)
    cloud.remove(path)
