"""Instances: their network interfaces and alias ranges, little else."""

from typing import Any

from .. import addressing, errors, listing
from ..addressing import path_of
from ..calls import Call
from ..cloud import Cloud, Resource, check_name, fingerprint, made, url, view
from ..registry import change
from . import aliases, labels

listing.readable("instances", "instances", "get", "list", "aggregatedList")

# What of an inserted interface is kept; disks, metadata and the like are kept as given.
_NIC_FIELDS = ("network", "subnetwork", "networkIP", "accessConfigs", "aliasIpRanges", "stackType", "nicType")
_ONLY_SERVER = ("status", "labelFingerprint", "cpuPlatform", "statusMessage", "lastStartTimestamp")


@view("instances")
def _view(cloud: Cloud, path: str, shown: Resource) -> Resource:
    for nic in shown["networkInterfaces"]:
        nic["fingerprint"] = fingerprint(nic)
        nic["kind"] = "compute#networkInterface"
    shown |= labels.shown(shown) | {"fingerprint": fingerprint(cloud.resources[path])}
    tags = shown.get("tags", {}).get("items", [])
    shown["tags"] = {"fingerprint": fingerprint(tags)} | ({"items": tags} if tags else {})
    return shown


@change("instances.insert")
def insert(cloud: Cloud, call: Call) -> None:
    body = call.body
    for field in ("sourceInstanceTemplate", "sourceMachineImage"):
        if field in call.parameters:
            raise errors.not_modelled(field)
    check_name(body)
    if not body.get("machineType"):
        raise errors.required("resource.machineType")
    if not body.get("networkInterfaces"):
        raise errors.required("resource.networkInterfaces")
    labels.check(body.get("labels"))
    cloud.quotas.check(cloud, call.project, call.parameters["zone"].rpartition("-")[0], "INSTANCES")
    resource = made(body, call.new_id, "instance", drop=_ONLY_SERVER) | {"status": "RUNNING"}
    resource.setdefault("canIpForward", False)
    if not resource["machineType"].startswith("https://"):
        resource["machineType"] = url(f"projects/{call.project}/" + resource["machineType"])
    resource["networkInterfaces"] = []
    # Each interface sees the addresses of those before it.
    for index, given in enumerate(body["networkInterfaces"]):
        nic = _interface(cloud, call, given, index)
        if any(other["network"] == nic["network"] for other in resource["networkInterfaces"]):
            field = f"resource.networkInterfaces[{index}].network"
            raise errors.invalid(field, nic["network"], "Each interface must be of another network.")
        resource["networkInterfaces"].append(nic)
        cloud.put(call.target, resource)
        if given.get("aliasIpRanges"):
            nic["aliasIpRanges"] = aliases.placed(cloud, call.target, nic, given["aliasIpRanges"])


def _interface(cloud: Cloud, call: Call, given: dict[str, Any], index: int) -> Resource:
    field = f"resource.networkInterfaces[{index}]"
    for name, value in given.items():
        if value is not None and name not in (*_NIC_FIELDS, "kind", "name", "fingerprint"):
            raise errors.not_modelled(f"{field}.{name}")
    if given.get("stackType", "IPV4_ONLY") != "IPV4_ONLY":
        raise errors.not_modelled("IPv6")
    if not given.get("subnetwork"):
        # The network is in custom mode.
        raise errors.required(f"{field}.subnetwork")
    path = cloud.reference(given["subnetwork"], f"{field}.subnetwork", call.project, "subnetworks")
    subnetwork = cloud.get(path)
    if path.split("/")[3] != call.parameters["zone"].rpartition("-")[0]:
        raise errors.invalid(f"{field}.subnetwork", given["subnetwork"], "It is of another region.")
    if given.get("network"):
        vpc = cloud.reference(given["network"], f"{field}.network", call.project, "networks")
        if url(vpc) != subnetwork["network"]:
            raise errors.invalid(f"{field}.network", given["network"], "The subnetwork is of another network.")
    nic: Resource = {
        "name": f"nic{index}",
        "network": subnetwork["network"],
        "subnetwork": url(path),
        "networkIP": _primary(cloud, subnetwork, given.get("networkIP"), f"{field}.networkIP"),
        "stackType": "IPV4_ONLY",
    }
    if given.get("nicType"):
        nic["nicType"] = given["nicType"]
    if given.get("accessConfigs"):
        nic["accessConfigs"] = _access(cloud, call, given["accessConfigs"], f"{field}.accessConfigs")
    return nic


def _primary(cloud: Cloud, subnetwork: Resource, given: str | None, field: str) -> str:
    if not given:
        return addressing.free_internal(cloud, subnetwork)
    wanted = addressing.address(given, field)
    addressing.check_in_subnetwork(subnetwork, wanted, field)
    for holder in addressing.internal(cloud, path_of(subnetwork["network"])):
        # A reserved address may be used, once.
        if wanted in holder.block and holder.kind != "address":
            raise errors.ip_in_use(given)
    return given


def _access(cloud: Cloud, call: Call, given: list[dict[str, Any]], field: str) -> list[Resource]:
    if len(given) > 1:
        raise errors.invalid(field, len(given), "An interface has at most one access config.")
    (config,) = given
    for name in config:
        if name not in ("kind", "type", "name", "natIP", "networkTier"):
            raise errors.not_modelled(f"{field}[0].{name}")
    address = config.get("natIP")
    if address:
        region = call.parameters["zone"].rpartition("-")[0]
        holders = [one for one in addressing.external(cloud) if str(one.block[0]) == address]
        if not any(one.path.startswith(f"projects/{call.project}/regions/{region}/addresses/") for one in holders):
            raise errors.invalid(f"{field}[0].natIP", address, "It is no static address of the region.")
        if any(one.kind != "address" for one in holders):
            raise errors.ip_in_use(address)
    return [
        {
            "kind": "compute#accessConfig",
            "type": "ONE_TO_ONE_NAT",
            "name": config.get("name", "External NAT"),
            "natIP": address or addressing.free_external(cloud),
            "networkTier": config.get("networkTier", "PREMIUM"),
        }
    ]


@change("instances.delete")
def delete(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    instance = cloud.get(path)
    if instance.get("deletionProtection"):
        raise errors.invalid("deletionProtection", "true", "The instance is protected from deletion.")
    project = f"projects/{call.project}"
    for group in cloud.paths(project, "networkEndpointGroups"):
        resource = cloud.resources[group]
        kept = [one for one in resource["endpoints"] if one["instance"] != url(path)]
        if kept != resource["endpoints"]:
            cloud.put(group, resource | {"endpoints": kept})
    # Target instances and leaders name it still.
    cloud.remove(path)


@change("instances.stop")
def stop(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    cloud.put(path, cloud.get(path) | {"status": "TERMINATED"})


@change("instances.start")
def start(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    cloud.put(path, cloud.get(path) | {"status": "RUNNING"})


@change("instances.updateNetworkInterface")
def update_network_interface(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    instance = cloud.get(path)
    name = call.parameters["networkInterface"]
    present = {nic["name"]: nic for nic in cloud.shown(path)["networkInterfaces"]}.get(name)
    if present is None:
        raise errors.invalid("networkInterface", name, "The instance has no interface of this name.")
    body = call.body
    # Even the present ones: kubernetes#59423.
    for field in ("accessConfigs", "ipv6AccessConfigs"):
        if body.get(field) is not None:
            why = "Access configs cannot be changed by updateNetworkInterface; leave them out."
            raise errors.invalid(f"resource.{field}", body[field], why)
    if not body.get("fingerprint"):
        raise errors.required("resource.fingerprint")
    if body["fingerprint"] != present["fingerprint"]:
        raise errors.stale("The fingerprint of the network interface")
    for field, value in body.items():
        if field not in ("fingerprint", "aliasIpRanges") and value is not None and value != present.get(field):
            raise errors.invalid(f"resource.{field}", value, "Only alias ranges can be changed here.")
    if body.get("aliasIpRanges") is None:
        return
    nic = next(nic for nic in instance["networkInterfaces"] if nic["name"] == name)
    nic.pop("aliasIpRanges", None)
    cloud.put(path, instance)
    placed = aliases.placed(cloud, path, nic, body["aliasIpRanges"])
    if placed:
        nic["aliasIpRanges"] = placed
