"""Who has which IPv4 address. Nothing is stored here: resources say what they have."""

import functools
import ipaddress
from dataclasses import dataclass
from ipaddress import IPv4Address, IPv4Network
from typing import Iterable, Iterator

from . import errors
from .cloud import ORIGIN, Cloud, Resource

# Documentation ranges (RFC 5737), so that no test meets the address of anybody.
pools = [IPv4Network("203.0.113.0/24"), IPv4Network("198.51.100.0/24")]


@dataclass(frozen=True)
class Holder:
    block: IPv4Network
    path: str
    # address (reserved, perhaps unused), rule, primary, alias or nat
    kind: str
    # The network interface, for the last three.
    nic: str = ""


# Every list reads the same few addresses of all resources anew.
_block = functools.cache(IPv4Network)


def path_of(url: str) -> str:
    return url.removeprefix(ORIGIN)


def address(text: str, field: str) -> IPv4Address:
    try:
        return IPv4Address(text)
    except ValueError:
        raise errors.invalid(field, text, "It must be an IPv4 address; the double has no IPv6.") from None


def network(text: str, field: str) -> IPv4Network:
    try:
        return IPv4Network(text)
    except ValueError:
        why = "It must be an IPv4 range without host bits; the double has no IPv6."
        raise errors.invalid(field, text, why) from None


def internal(cloud: Cloud, vpc: str) -> list[Holder]:
    """What has addresses of a VPC network, by its path."""
    found: list[Holder] = []
    # With Shared VPC most of it is of other projects than the network.
    for name in cloud.projects:
        project = f"projects/{name}"
        found += _reserved(cloud, project, vpc)
        found += _users(cloud, project, vpc)
    return found


def external(cloud: Cloud) -> list[Holder]:
    return [holder for project in cloud.projects for holder in _external(cloud, f"projects/{project}")]


def _external(cloud: Cloud, project: str) -> Iterator[Holder]:
    yield from _reserved(cloud, project, None)
    yield from _users(cloud, project, None)


def _users(cloud: Cloud, project: str, vpc: str | None) -> Iterator[Holder]:
    """What has addresses that need not be reserved; `vpc` None: external ones."""
    if vpc is None:
        yield from _rules(cloud, project, None)
        yield from _access(cloud, project)
    else:
        yield from _interfaces(cloud, project, vpc)
        yield from _rules(cloud, project, vpc)


def _access(cloud: Cloud, project: str) -> Iterator[Holder]:
    for path in cloud.paths(project, "instances"):
        for nic in cloud.resources[path]["networkInterfaces"]:
            for access in nic.get("accessConfigs", ()):
                yield Holder(_block(access["natIP"]), path, "nat", nic["name"])


def _reserved(cloud: Cloud, project: str, vpc: str | None) -> Iterator[Holder]:
    for path in cloud.paths(project, "addresses"):
        resource = cloud.resources[path]
        if vpc_of(cloud, resource) == vpc:
            yield Holder(_block(resource["address"]), path, "address")


def _rules(cloud: Cloud, project: str, vpc: str | None) -> Iterator[Holder]:
    for path in cloud.paths(project, "forwardingRules"):
        resource = cloud.resources[path]
        if vpc_of(cloud, resource) == vpc:
            yield Holder(_block(resource["IPAddress"]), path, "rule")


def _interfaces(cloud: Cloud, project: str, vpc: str) -> Iterator[Holder]:
    for path in cloud.paths(project, "instances"):
        for nic in cloud.resources[path]["networkInterfaces"]:
            if path_of(nic["network"]) != vpc:
                continue
            yield Holder(_block(nic["networkIP"]), path, "primary", nic["name"])
            for alias in nic.get("aliasIpRanges", ()):
                yield Holder(_block(alias["ipCidrRange"]), path, "alias", nic["name"])


def vpc_of(cloud: Cloud, resource: Resource) -> str | None:
    """Of an internal address or forwarding rule; None for an external one."""
    if "subnetwork" not in resource:
        return None
    return path_of(cloud.resources[path_of(resource["subnetwork"])]["network"])


def users(cloud: Cloud, resource: Resource) -> list[str]:
    """The paths of what uses a reserved address."""
    vpc = vpc_of(cloud, resource)
    block = _block(resource["address"])
    projects = [f"projects/{name}" for name in cloud.projects]
    users = (holder for project in projects for holder in _users(cloud, project, vpc))
    return sorted({holder.path for holder in users if holder.block == block})


def unusable(subnetwork: Resource) -> list[IPv4Address]:
    """The four addresses of a primary range that Google keeps (vpc/docs/subnets)."""
    block = IPv4Network(subnetwork["ipCidrRange"])
    return [block[0], block[1], block[-2], block[-1]]


def check_in_subnetwork(subnetwork: Resource, wanted: IPv4Address, field: str) -> None:
    block = IPv4Network(subnetwork["ipCidrRange"])
    if wanted not in block:
        raise errors.invalid(field, str(wanted), f"It is not in the subnetwork's range {block}.")
    if wanted in unusable(subnetwork):
        raise errors.invalid(field, str(wanted), "Google keeps this address of the subnetwork.")


def free_internal(cloud: Cloud, subnetwork: Resource) -> str:
    taken = [holder.block for holder in internal(cloud, path_of(subnetwork["network"]))]
    block = IPv4Network(subnetwork["ipCidrRange"])
    kept = unusable(subnetwork)
    return _first((ip for ip in block if ip not in kept), taken, str(block))


def free_external(cloud: Cloud) -> str:
    taken = [holder.block for holder in external(cloud)]
    return _first((ip for pool in pools for ip in pool.hosts()), taken, "the external pool")


def free_block(cloud: Cloud, vpc: str, within: IPv4Network, size: int, taken: list[IPv4Network]) -> IPv4Network:
    taken = taken + [holder.block for holder in internal(cloud, vpc)]
    if size < within.prefixlen:
        raise errors.invalid("ipCidrRange", f"/{size}", f"It is larger than the range {within}.")
    # Past what overlaps the candidate, in order of first addresses: blocks have hundreds of neighbours.
    step, candidate = 1 << (32 - size), int(within[0])
    for first, last in sorted((int(block[0]), int(block[-1])) for block in taken):
        if first >= candidate + step:
            break
        if last >= candidate:
            candidate = (last // step + 1) * step
    if candidate + step - 1 > int(within[-1]):
        raise _exhausted(str(within))
    return IPv4Network((candidate, size))


def _first(candidates: Iterable[IPv4Address], taken: list[IPv4Network], where: str) -> str:
    for candidate in candidates:
        if not any(candidate in block for block in taken):
            return str(candidate)
    raise _exhausted(where)


def _exhausted(where: str) -> errors.ApiError:
    return errors.ApiError(400, "IP_SPACE_EXHAUSTED", f"IP space of '{where}' is exhausted.", late=True)


def numbered(text: str) -> bool:
    try:
        ipaddress.ip_address(text)
    except ValueError:
        return False
    return True
