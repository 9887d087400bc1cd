"""VPC networks and subnetworks, in custom mode only."""

from ipaddress import IPv4Network

from .. import addressing, errors, listing
from ..addressing import path_of
from ..calls import Call
from ..cloud import Cloud, Resource, check_name, fingerprint, made, url, view
from ..registry import change

listing.readable("networks", "networks", "get", "list")
listing.readable("subnetworks", "subnetworks", "get", "list")


@view("networks")
def _network(cloud: Cloud, path: str, shown: Resource) -> Resource:
    project = "/".join(path.split("/")[:2])
    inside = [
        url(other)
        for other in cloud.paths(project, "subnetworks")
        if cloud.resources[other]["network"] == url(path)
    ]
    return shown | ({"subnetworks": inside} if inside else {})


@view("subnetworks")
def _subnetwork(cloud: Cloud, path: str, shown: Resource) -> Resource:
    return shown | {
        "gatewayAddress": str(IPv4Network(shown["ipCidrRange"])[1]),
        "fingerprint": fingerprint(cloud.resources[path]),
    }


@change("networks.insert")
def insert_network(cloud: Cloud, call: Call) -> None:
    body = call.body
    if body.get("autoCreateSubnetworks") is not False:
        raise errors.not_modelled("auto mode and legacy networks; set autoCreateSubnetworks to false")
    resource = made(body, call.new_id, "network", drop=("subnetworks", "peerings", "gatewayIPv4"))
    resource.setdefault("mtu", 1460)
    if not 1300 <= resource["mtu"] <= 8896:
        raise errors.invalid("resource.mtu", resource["mtu"], "It must be from 1300 to 8896.")
    resource.setdefault("routingConfig", {"routingMode": "REGIONAL"})
    cloud.put(call.target, resource)


@change("subnetworks.insert")
def insert_subnetwork(cloud: Cloud, call: Call) -> None:
    body = call.body
    check_name(body)
    if not body.get("network"):
        raise errors.required("resource.network")
    if not body.get("ipCidrRange"):
        raise errors.required("resource.ipCidrRange")
    vpc = cloud.reference(body["network"], "resource.network", call.project, "networks", own=True)
    cloud.get(vpc)
    if body.get("stackType", "IPV4_ONLY") != "IPV4_ONLY":
        raise errors.not_modelled("IPv6")
    blocks = {"resource.ipCidrRange": body["ipCidrRange"]}
    names = set()
    for index, secondary in enumerate(body.get("secondaryIpRanges") or ()):
        field = f"resource.secondaryIpRanges[{index}]"
        if not secondary.get("rangeName") or secondary["rangeName"] in names:
            raise errors.invalid(
                f"{field}.rangeName", secondary.get("rangeName", ""), "It must be given, and unique."
            )
        names.add(secondary["rangeName"])
        blocks[f"{field}.ipCidrRange"] = secondary.get("ipCidrRange", "")
    _check_overlaps(cloud, vpc, blocks)
    resource = made(body, call.new_id, "subnetwork") | {"network": url(vpc)}
    resource.setdefault("purpose", "PRIVATE")
    resource.setdefault("stackType", "IPV4_ONLY")
    resource.setdefault("privateIpGoogleAccess", False)
    cloud.put(call.target, resource)


def _check_overlaps(cloud: Cloud, vpc: str, blocks: dict[str, str]) -> None:
    """Ranges are unique within a network, primary and secondary ones alike."""
    project = "/".join(vpc.split("/")[:2])
    taken = []
    for path in cloud.paths(project, "subnetworks"):
        other = cloud.resources[path]
        if path_of(other["network"]) == vpc:
            taken += [IPv4Network(block) for block in ranges(other).values()]
    for field, text in blocks.items():
        block = addressing.network(text, field)
        for other_block in taken:
            if block.overlaps(other_block):
                raise errors.invalid(field, text, f"It overlaps the range {other_block} of the network.")
        taken.append(block)


def ranges(subnetwork: Resource) -> dict[str | None, str]:
    """The ranges by name; the primary one has none."""
    found: dict[str | None, str] = {None: subnetwork["ipCidrRange"]}
    for secondary in subnetwork.get("secondaryIpRanges", ()):
        found[secondary["rangeName"]] = secondary["ipCidrRange"]
    return found
