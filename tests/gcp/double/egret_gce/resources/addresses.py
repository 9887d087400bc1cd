"""Static addresses of a region: external ones, and internal ones of a subnetwork."""

from .. import addressing, errors, listing
from ..addressing import path_of
from ..calls import Call
from ..cloud import Cloud, Resource, check_name, made, url, view
from ..quotas import metric_of
from ..registry import change
from . import labels

listing.readable("addresses", "addresses", "get", "list", "aggregatedList")


@view("addresses")
def _view(cloud: Cloud, path: str, shown: Resource) -> Resource:
    users = [url(user) for user in addressing.users(cloud, shown)]
    shown |= labels.shown(shown) | {"status": "IN_USE" if users else "RESERVED"}
    return shown | ({"users": users} if users else {})


@change("addresses.insert")
def insert(cloud: Cloud, call: Call) -> None:
    body = call.body
    check_name(body)
    labels.check(body.get("labels"))
    if body.get("ipVersion", "IPV4") == "IPV6" or body.get("ipv6EndpointType"):
        raise errors.not_modelled("IPv6")
    resource = made(body, call.new_id, "address", drop=("status", "users", "labelFingerprint"))
    kind = resource.setdefault("addressType", "EXTERNAL")
    if kind == "UNSPECIFIED_TYPE":
        raise errors.invalid("resource.addressType", kind, "It must be EXTERNAL or INTERNAL.")
    resource |= _internal(cloud, call) if kind == "INTERNAL" else _external(cloud, call)
    resource.setdefault("networkTier", "PREMIUM")
    cloud.quotas.check(cloud, call.project, call.parameters["region"], metric_of("addresses", resource))
    cloud.put(call.target, resource)


def _external(cloud: Cloud, call: Call) -> Resource:
    body = call.body
    for field in ("subnetwork", "network", "purpose", "prefixLength"):
        if body.get(field):
            raise errors.invalid(f"resource.{field}", body[field], "It is of internal addresses only.")
    if not body.get("address"):
        return {"address": addressing.free_external(cloud)}
    wanted = str(addressing.address(body["address"], "resource.address"))
    holders = [holder for holder in addressing.external(cloud) if str(holder.block[0]) == wanted]
    if any(holder.kind == "address" for holder in holders):
        raise errors.ip_in_use(wanted)
    if not holders:
        # An address is given by Google; one's own choice is only an ephemeral address that one has.
        why = "Only an ephemeral address in use can be named; leave it out for a new one."
        raise errors.invalid("resource.address", wanted, why)
    return {"address": wanted}


def _internal(cloud: Cloud, call: Call) -> Resource:
    body = call.body
    purpose = body.get("purpose", "GCE_ENDPOINT")
    if purpose not in ("GCE_ENDPOINT", "SHARED_LOADBALANCER_VIP"):
        raise errors.not_modelled(f"addresses of purpose {purpose}")
    if body.get("network"):
        raise errors.invalid("resource.network", body["network"], "It is of purpose VPC_PEERING only.")
    if body.get("networkTier", "PREMIUM") != "PREMIUM":
        raise errors.invalid("resource.networkTier", body["networkTier"], "Internal addresses are PREMIUM.")
    if not body.get("subnetwork"):
        raise errors.required("resource.subnetwork")
    path = cloud.reference(body["subnetwork"], "resource.subnetwork", call.project, "subnetworks")
    subnetwork = cloud.get(path)
    if path.split("/")[3] != call.parameters["region"]:
        raise errors.invalid("resource.subnetwork", body["subnetwork"], "It is of another region.")
    found = {"subnetwork": url(path), "purpose": purpose}
    if not body.get("address"):
        return found | {"address": addressing.free_internal(cloud, subnetwork)}
    wanted = addressing.address(body["address"], "resource.address")
    addressing.check_in_subnetwork(subnetwork, wanted, "resource.address")
    for holder in addressing.internal(cloud, path_of(subnetwork["network"])):
        if wanted in holder.block:
            raise errors.ip_in_use(str(wanted))
    return found | {"address": str(wanted)}


@change("addresses.delete")
def delete(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    for user in addressing.users(cloud, cloud.get(path)):
        raise errors.in_use(path, user)
    cloud.remove(path)
