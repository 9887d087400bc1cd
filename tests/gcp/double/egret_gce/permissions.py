"""Which permissions a method needs: data, for the double's policies and for whoever writes a role.

`GET /egret/permissions` shows the table. Sources: every permission here is one of the index of IAM
(cloud.google.com/iam/docs/permissions-reference). That a method needs the permission of its own name
is the scheme of the method's page ("IAM Permissions", compute/docs/reference/rest/v1). Which of the
`use` permissions are needed besides for what a request refers to, those pages say at the fields only
in part: [infer] marks what is concluded from the permission's name, and wants a look at an account.
"""

from dataclasses import dataclass
from typing import Callable

from . import addressing
from .addressing import path_of
from .calls import Call
from .cloud import Cloud
from .resources import forwarding_rules

OWN = "method's page"
FIREWALL = "refusals of firewalls.insert name it [3p]"
LEADER = "discovery: BackendServiceHAPolicyLeaderNetworkEndpoint.instance"
INFER = "[infer]"


@dataclass(frozen=True)
class Need:
    permission: str
    source: str = OWN
    # A key of WHEN: for which resources of a call it is needed.
    when: str = "always"


def _own(call: Call) -> str:
    return call.target


def _references(call: Call, field: str, collection: str, cloud: Cloud) -> list[str]:
    text = call.body.get(field)
    return [cloud.reference(text, f"resource.{field}", call.project, collection)] if text else []


def _reserved(cloud: Cloud, call: Call, kind: str) -> list[str]:
    text = call.body.get("IPAddress")
    subnetworks = _references(call, "subnetwork", "subnetworks", cloud)
    vpc = None
    if subnetworks and subnetworks[0] in cloud.resources:
        vpc = path_of(cloud.resources[subnetworks[0]]["network"])
    path = forwarding_rules.reserved(cloud, call, text, vpc) if text else None
    if path is None or cloud.resources.get(path, {}).get("addressType") != kind:
        return []
    return [path]


def _interfaces(cloud: Cloud, call: Call) -> list[str]:
    texts = [nic.get("subnetwork") for nic in call.body.get("networkInterfaces") or ()]
    return [cloud.reference(text, "resource.subnetwork", call.project, "subnetworks") for text in texts if text]


def _outside(cloud: Cloud, call: Call) -> list[str]:
    nics = [nic for nic in call.body.get("networkInterfaces") or () if nic.get("accessConfigs")]
    texts = [nic.get("subnetwork") for nic in nics]
    return [cloud.reference(text, "resource.subnetwork", call.project, "subnetworks") for text in texts if text]


def _static(cloud: Cloud, call: Call) -> list[str]:
    numbers = [
        access.get("natIP")
        for nic in call.body.get("networkInterfaces") or ()
        for access in nic.get("accessConfigs") or ()
    ]
    return [
        holder.path
        for holder in addressing.external(cloud)
        if holder.kind == "address" and str(holder.block[0]) in numbers
    ]


def _updated_subnetwork(cloud: Cloud, call: Call) -> list[str]:
    instance = cloud.resources.get(cloud.find(call.target), {})
    name = call.parameters["networkInterface"]
    return [path_of(nic["subnetwork"]) for nic in instance.get("networkInterfaces", ()) if nic["name"] == name]


def _reserved_aliases(cloud: Cloud, call: Call) -> list[str]:
    """The static addresses that the update gives to the interface."""
    texts = [str(alias.get("ipCidrRange")).removesuffix("/32") for alias in call.body.get("aliasIpRanges") or ()]
    return [
        holder.path
        for subnetwork in _updated_subnetwork(cloud, call)
        for holder in addressing.internal(cloud, path_of(cloud.resources[subnetwork]["network"]))
        if holder.kind == "address" and str(holder.block[0]) in texts
    ]


def _groups(cloud: Cloud, call: Call) -> list[str]:
    texts = [backend.get("group") for backend in call.body.get("backends") or ()]
    return [
        cloud.reference(text, "resource.backends.group", call.project, "networkEndpointGroups")
        for text in texts
        if text
    ]


def _leader(cloud: Cloud, call: Call) -> list[str]:
    given = (call.body.get("haPolicy") or {}).get("leader") or {}
    text = (given.get("networkEndpoint") or {}).get("instance")
    group = given.get("backendGroup")
    if not text or not group:
        return []
    path = cloud.reference(group, "resource.haPolicy.leader", call.project, "networkEndpointGroups")
    return [cloud.instance(path.rsplit("/", 2)[0], text, "resource.haPolicy.leader")]


def _endpoints(cloud: Cloud, call: Call) -> list[str]:
    texts = [one.get("instance") for one in call.body.get("networkEndpoints") or ()]
    return [cloud.instance(call.scope, text, "resource.networkEndpoints") for text in texts if text]


def _firewall_network(cloud: Cloud, call: Call) -> list[str]:
    stored = cloud.resources.get(cloud.find(call.target))
    if stored:
        return [path_of(stored["network"])]
    text = call.body.get("network") or "global/networks/default"
    return [cloud.reference(text, "resource.network", call.project, "networks", own=True)]


WHEN: dict[str, Callable[[Cloud, Call], list[str]]] = {
    "always": lambda cloud, call: [_own(call)],
    "network": lambda cloud, call: _references(call, "network", "networks", cloud),
    "subnetwork": lambda cloud, call: _references(call, "subnetwork", "subnetworks", cloud),
    "instance": lambda cloud, call: _references(call, "instance", "instances", cloud),
    "target": lambda cloud, call: _references(call, "target", "targetInstances", cloud),
    "backendService": lambda cloud, call: _references(call, "backendService", "backendServices", cloud),
    "IPAddress is a static external address": lambda cloud, call: _reserved(cloud, call, "EXTERNAL"),
    "IPAddress is a static internal address": lambda cloud, call: _reserved(cloud, call, "INTERNAL"),
    "addressType is INTERNAL": lambda cloud, call: (
        [_own(call)] if call.body.get("addressType") == "INTERNAL" else []
    ),
    "the address is internal": lambda cloud, call: (
        [_own(call)] if cloud.resources.get(_own(call), {}).get("addressType") == "INTERNAL" else []
    ),
    "labels are given": lambda cloud, call: [_own(call)] if call.body.get("labels") else [],
    "networkInterfaces[].subnetwork": _interfaces,
    "networkInterfaces[].accessConfigs": _outside,
    "accessConfigs[].natIP is a static address": _static,
    "the interface's subnetwork": _updated_subnetwork,
    "aliasIpRanges[] is a static internal address": _reserved_aliases,
    "backends[].group": _groups,
    "haPolicy.leader.networkEndpoint.instance": _leader,
    "networkEndpoints[].instance": _endpoints,
    "the rule's network": _firewall_network,
}


def _plain(resource: str, *names: str) -> dict[str, list[Need]]:
    """Methods that need one permission, of their own name."""
    verbs = {"insert": "create", "patch": "update", "aggregatedList": "list"}
    return {f"compute.{resource}.{name}": [Need(f"compute.{resource}.{verbs.get(name, name)}")] for name in names}


TABLE: dict[str, list[Need]] = {
    **_plain("projects", "get"),
    **_plain("regions", "get", "list"),
    **_plain("networks", "get", "list", "insert"),
    **_plain("subnetworks", "get", "list", "insert"),
    **_plain("addresses", "get", "list", "aggregatedList", "insert", "delete", "setLabels"),
    **_plain("instances", "get", "list", "aggregatedList", "insert", "delete", "start", "stop"),
    **_plain("instances", "updateNetworkInterface"),
    **_plain("targetInstances", "get", "list", "aggregatedList", "insert", "delete"),
    **_plain("regionBackendServices", "get", "list", "insert", "patch", "delete"),
    **_plain("networkEndpointGroups", "get", "list", "aggregatedList", "insert", "delete"),
    **_plain("networkEndpointGroups", "attachNetworkEndpoints", "detachNetworkEndpoints"),
    **_plain("forwardingRules", "get", "list", "aggregatedList", "insert", "patch", "delete"),
    **_plain("forwardingRules", "setTarget", "setLabels"),
    **_plain("firewalls", "get", "list", "insert", "patch", "delete"),
    **_plain("zoneOperations", "get", "list"),
    **_plain("regionOperations", "get", "list"),
    **_plain("globalOperations", "get", "list"),
    # Reading the endpoints is part of reading a group.
    "compute.networkEndpointGroups.listNetworkEndpoints": [Need("compute.networkEndpointGroups.get")],
    "compute.zoneOperations.wait": [Need("compute.zoneOperations.get", INFER)],
    "compute.regionOperations.wait": [Need("compute.regionOperations.get", INFER)],
    "compute.globalOperations.wait": [Need("compute.globalOperations.get", INFER)],
}

_MORE: dict[str, list[Need]] = {
    "compute.subnetworks.insert": [Need("compute.networks.updatePolicy", INFER, "network")],
    "compute.addresses.insert": [
        Need("compute.addresses.createInternal", INFER, "addressType is INTERNAL"),
        Need("compute.subnetworks.use", INFER, "subnetwork"),
        Need("compute.addresses.setLabels", INFER, "labels are given"),
    ],
    "compute.addresses.delete": [
        Need("compute.addresses.deleteInternal", INFER, "the address is internal"),
    ],
    "compute.instances.insert": [
        Need("compute.subnetworks.use", INFER, "networkInterfaces[].subnetwork"),
        Need("compute.subnetworks.useExternalIp", INFER, "networkInterfaces[].accessConfigs"),
        Need("compute.addresses.use", INFER, "accessConfigs[].natIP is a static address"),
        Need("compute.instances.setLabels", INFER, "labels are given"),
    ],
    "compute.instances.updateNetworkInterface": [
        Need(
            "compute.subnetworks.use",
            "method's page; openshift/cloud-network-config-controller asks for it [3p]",
            "the interface's subnetwork",
        ),
        # The page lists it; for which requests is [infer].
        Need("compute.addresses.useInternal", OWN, "aliasIpRanges[] is a static internal address"),
    ],
    "compute.targetInstances.insert": [
        Need("compute.instances.use", INFER, "instance"),
        Need("compute.networks.use", INFER, "network"),
    ],
    "compute.networkEndpointGroups.insert": [
        Need("compute.networks.use", INFER, "network"),
        Need("compute.subnetworks.use", INFER, "subnetwork"),
    ],
    "compute.networkEndpointGroups.attachNetworkEndpoints": [
        Need("compute.instances.use", INFER, "networkEndpoints[].instance"),
    ],
    "compute.regionBackendServices.insert": [
        Need("compute.networks.use", INFER, "network"),
        Need("compute.networkEndpointGroups.use", INFER, "backends[].group"),
        Need("compute.instances.use", LEADER, "haPolicy.leader.networkEndpoint.instance"),
    ],
    "compute.regionBackendServices.patch": [
        Need("compute.regionBackendServices.get", INFER),
        Need("compute.networkEndpointGroups.use", INFER, "backends[].group"),
        Need("compute.instances.use", LEADER, "haPolicy.leader.networkEndpoint.instance"),
    ],
    "compute.forwardingRules.insert": [
        Need("compute.addresses.use", INFER, "IPAddress is a static external address"),
        Need("compute.addresses.useInternal", INFER, "IPAddress is a static internal address"),
        Need("compute.subnetworks.use", INFER, "subnetwork"),
        Need("compute.networks.use", INFER, "network"),
        Need("compute.regionBackendServices.use", INFER, "backendService"),
        Need("compute.targetInstances.use", INFER, "target"),
        Need("compute.forwardingRules.setLabels", INFER, "labels are given"),
    ],
    "compute.forwardingRules.patch": [Need("compute.forwardingRules.get", INFER)],
    "compute.forwardingRules.setTarget": [
        Need("compute.targetInstances.use", "the role of F5 BIG-IP's failover has it [3p]", "target"),
    ],
    "compute.firewalls.insert": [Need("compute.networks.updatePolicy", FIREWALL, "the rule's network")],
    "compute.firewalls.patch": [
        Need("compute.firewalls.get", INFER),
        Need("compute.networks.updatePolicy", FIREWALL, "the rule's network"),
    ],
    "compute.firewalls.delete": [Need("compute.networks.updatePolicy", FIREWALL, "the rule's network")],
}
for _method, _needs in _MORE.items():
    TABLE[_method] = TABLE[_method] + _needs


def needed(cloud: Cloud, call: Call) -> list[tuple[str, str]]:
    """(permission, path of the resource), in the order of the table."""
    return [(need.permission, path) for need in TABLE[call.method.id] for path in WHEN[need.when](cloud, call)]


def shown() -> dict[str, list[dict[str, str]]]:
    return {method: [vars(need) for need in needs] for method, needs in sorted(TABLE.items())}
