"""Zonal network endpoint groups of type GCE_VM_IP."""

from typing import Any

from .. import errors, listing
from ..calls import Call
from ..cloud import Cloud, Resource, check_name, made, region_of, url, view
from ..registry import change, read
from . import ha_policy

listing.readable("networkEndpointGroups", "networkEndpointGroups", "get", "list", "aggregatedList")


@view("networkEndpointGroups")
def _view(cloud: Cloud, path: str, shown: Resource) -> Resource:
    return shown | {"size": len(shown.pop("endpoints"))}


@change("networkEndpointGroups.insert")
def insert(cloud: Cloud, call: Call) -> None:
    body = call.body
    check_name(body)
    kind = body.get("networkEndpointType")
    if not kind:
        raise errors.required("resource.networkEndpointType")
    if kind != "GCE_VM_IP":
        raise errors.not_modelled(f"network endpoint groups of type {kind}")
    if body.get("defaultPort") is not None:
        raise errors.invalid("resource.defaultPort", body["defaultPort"], "It must be left out for GCE_VM_IP.")
    for field in ("network", "subnetwork"):
        if not body.get(field):
            raise errors.required(f"resource.{field}")
    vpc = cloud.reference(body["network"], "resource.network", call.project, "networks")
    subnetwork = cloud.reference(body["subnetwork"], "resource.subnetwork", call.project, "subnetworks")
    cloud.get(vpc)
    if cloud.get(subnetwork)["network"] != url(vpc):
        raise errors.invalid("resource.subnetwork", body["subnetwork"], "It is of another network.")
    region = call.parameters["zone"].rpartition("-")[0]
    if region_of(subnetwork) != region:
        raise errors.invalid("resource.subnetwork", body["subnetwork"], "It is of another region.")
    cloud.quotas.check(cloud, call.project, region, "NETWORK_ENDPOINT_GROUPS")
    resource = made(body, call.new_id, "networkEndpointGroup", drop=("size",))
    resource |= {"network": url(vpc), "subnetwork": url(subnetwork), "endpoints": []}
    cloud.put(call.target, resource)


@change("networkEndpointGroups.delete")
def delete(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    cloud.get(path)
    for service in ha_policy.services_of(cloud, path):
        raise errors.in_use(path, service)
    cloud.remove(path)


def _endpoint(cloud: Cloud, call: Call, group: Resource, given: dict[str, Any], field: str) -> Resource:
    """Of a request, as it is stored; the instance is there and fits."""
    for name in given:
        if name not in ("instance", "ipAddress", "annotations") and given[name] is not None:
            raise errors.invalid(f"{field}.{name}", given[name], "It must be left out for GCE_VM_IP.")
    text = given.get("instance")
    if not text:
        raise errors.required(f"{field}.instance")
    path = cloud.instance(call.scope, text, f"{field}.instance")
    if not path.startswith(call.scope + "/"):
        raise errors.invalid(f"{field}.instance", text, "It is not in the zone of the group.")
    for nic in cloud.get(path)["networkInterfaces"]:
        if nic["subnetwork"] == group["subnetwork"]:
            break
    else:
        raise errors.invalid(f"{field}.instance", text, "It has no interface in the subnetwork of the group.")
    if given.get("ipAddress") not in (None, nic["networkIP"]):
        why = f"It must be the primary address of the interface, {nic['networkIP']}."
        raise errors.invalid(f"{field}.ipAddress", given["ipAddress"], why)
    return {"instance": url(path), "ipAddress": nic["networkIP"]} | (
        {"annotations": given["annotations"]} if given.get("annotations") else {}
    )


@change("networkEndpointGroups.attachNetworkEndpoints", shared=True)
def attach(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    group = cloud.get(path)
    if not call.body.get("networkEndpoints"):
        raise errors.required("resource.networkEndpoints")
    for index, given in enumerate(call.body["networkEndpoints"]):
        field = f"resource.networkEndpoints[{index}]"
        endpoint = _endpoint(cloud, call, group, given, field)
        if endpoint["instance"] in [one["instance"] for one in group["endpoints"]]:
            raise errors.invalid(f"{field}.instance", given["instance"], "It is attached already.")
        group["endpoints"].append(endpoint)
    cloud.put(path, group)
    ha_policy.check_endpoints(cloud, call.project)


@change("networkEndpointGroups.detachNetworkEndpoints", shared=True)
def detach(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    group = cloud.get(path)
    if not call.body.get("networkEndpoints"):
        raise errors.required("resource.networkEndpoints")
    for index, given in enumerate(call.body["networkEndpoints"]):
        field = f"resource.networkEndpoints[{index}]"
        if not given.get("instance"):
            raise errors.required(f"{field}.instance")
        instance = cloud.instance(call.scope, given["instance"], f"{field}.instance")
        wanted = [
            one
            for one in group["endpoints"]
            if one["instance"] == url(instance) and given.get("ipAddress") in (None, one["ipAddress"])
        ]
        if not wanted:
            raise errors.invalid(f"{field}.instance", given["instance"], "It is not attached to the group.")
        for service in ha_policy.services_of(cloud, path):
            leader = ha_policy.leader(cloud, cloud.resources[service])
            if leader and (leader.group, leader.instance) == (path, instance):
                raise errors.in_use(f"{path}/{instance}", service)
        group["endpoints"].remove(wanted[0])
    cloud.put(path, group)


@read("networkEndpointGroups.listNetworkEndpoints")
def list_endpoints(cloud: Cloud, call: Call) -> Resource:
    path = cloud.find(call.target)
    if path not in cloud.resources:
        raise errors.not_found(path)
    # Without health checks nothing is known of an endpoint's health.
    found = [{"networkEndpoint": dict(one)} for one in cloud.resources[path]["endpoints"]]
    return listing.page(call, found, listing.kind_of(call), key="networkEndpoint.instance")
