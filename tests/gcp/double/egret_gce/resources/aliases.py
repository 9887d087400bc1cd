"""Alias ranges of a network interface: where they may lie, and what they may not meet."""

from ipaddress import IPv4Network
from typing import Any

from .. import addressing, errors
from ..addressing import path_of
from ..cloud import Cloud, Resource
from .networks import ranges

MOST = 150


def placed(cloud: Cloud, instance: str, nic: Resource, given: list[dict[str, Any]]) -> list[Resource]:
    """The ranges as the interface shows them. The stored interface has none of its own now."""
    if len(given) > MOST:
        raise errors.limit(f"Alias ranges of {nic['name']} of {instance}", MOST)
    subnetwork = cloud.resources[path_of(nic["subnetwork"])]
    vpc = path_of(subnetwork["network"])
    blocks: list[IPv4Network] = []
    found = []
    for index, alias in enumerate(given):
        field = f"resource.aliasIpRanges[{index}]"
        within = _within(subnetwork, alias, field)
        text = alias.get("ipCidrRange")
        if not text:
            raise errors.required(f"{field}.ipCidrRange")
        if text.startswith("/") and text[1:].isdigit() and int(text[1:]) <= 32:
            taken = blocks + [IPv4Network(kept) for kept in addressing.unusable(subnetwork)]
            block = addressing.free_block(cloud, vpc, within, int(text[1:]), taken)
        else:
            block = addressing.network(text, f"{field}.ipCidrRange")
        _check_place(subnetwork, within, block, f"{field}.ipCidrRange")
        if any(block.overlaps(other) for other in blocks):
            raise errors.invalid(f"{field}.ipCidrRange", text, "It overlaps another one of the interface.")
        _check_free(cloud, vpc, block)
        blocks.append(block)
        shown = {"ipCidrRange": str(block)}
        if alias.get("subnetworkRangeName"):
            shown["subnetworkRangeName"] = alias["subnetworkRangeName"]
        found.append(shown)
    return found


def _within(subnetwork: Resource, alias: dict[str, Any], field: str) -> IPv4Network:
    name = alias.get("subnetworkRangeName") or None
    if name not in ranges(subnetwork):
        raise errors.invalid(f"{field}.subnetworkRangeName", name, "The subnetwork has no range of this name.")
    return IPv4Network(ranges(subnetwork)[name])


def _check_place(subnetwork: Resource, within: IPv4Network, block: IPv4Network, field: str) -> None:
    if not block.subnet_of(within):
        raise errors.invalid(field, str(block), f"It is not in the range {within} of the subnetwork.")
    if any(kept in block for kept in addressing.unusable(subnetwork)):
        raise errors.invalid(field, str(block), "It has an address that Google keeps.")


def _check_free(cloud: Cloud, vpc: str, block: IPv4Network) -> None:
    holders = [one for one in addressing.internal(cloud, vpc) if one.block.overlaps(block)]
    for holder in holders:
        # A reserved address that nothing uses may be an alias by itself [infer].
        if holder.kind != "address" or holder.block != block:
            raise errors.ip_in_use(str(holder.block[0]))
