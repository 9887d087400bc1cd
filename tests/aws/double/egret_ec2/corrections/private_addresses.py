"""Secondary private IPv4 addresses and delegated /28 prefixes.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssignPrivateIpAddresses.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_UnassignPrivateIpAddresses.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/ec2-prefix-eni.html
"""

import ipaddress
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.responses import EC2Response

from .. import ledger
from ..errors import refuse
from . import elastic_addresses


def assign(self: Any) -> ActionResult:
    eni = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
    wanted = list(dict.fromkeys(self._get_param("PrivateIpAddresses", [])))
    count = self._get_int_param("SecondaryPrivateIpAddressCount", 0)
    blocks = list(dict.fromkeys(self._get_param("Ipv4Prefixes", [])))
    block_count = self._get_int_param("Ipv4PrefixCount", 0)
    _check_one_kind(wanted, count, blocks, block_count)

    moved_from = _check_addresses(eni, wanted, self._get_bool_param("AllowReassignment", False))
    for _ in range(count):
        wanted.append(ledger.pick(eni.subnet, set(wanted)))
    blocks = [_check_prefix(eni.subnet, block) for block in blocks]
    for _ in range(block_count):
        blocks.append(_pick_prefix(eni.subnet, blocks))
    _check_limit(eni, wanted, blocks)

    for address in wanted:
        _place(eni, address, moved_from.get(address))
    ledger.prefixes(eni).extend(block for block in blocks if block not in ledger.prefixes(eni))
    return ActionResult(
        {
            "NetworkInterfaceId": eni.id,
            "AssignedPrivateIpAddresses": [{"PrivateIpAddress": address} for address in wanted],
            "AssignedIpv4Prefixes": [{"Ipv4Prefix": block} for block in blocks],
        }
    )


def _check_one_kind(*kinds: Any) -> None:
    given = sum(1 for kind in kinds if kind)
    if given == 0:
        raise refuse(
            "MissingParameter",
            "The request must contain one of privateIpAddress, secondaryPrivateIpAddressCount, "
            "ipv4Prefix or ipv4PrefixCount",
        )
    if given > 1:
        raise refuse(
            "InvalidParameterCombination",
            "Only one of privateIpAddress, secondaryPrivateIpAddressCount, ipv4Prefix and "
            "ipv4PrefixCount may be specified",
        )


def _check_addresses(eni: Any, wanted: list[str], move: bool) -> dict[str, Any]:
    """Where each address is now, when that is another network interface.

    All are looked at before one is moved: a request succeeds or fails as a whole.
    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/MultipleIP.html
    """
    moved_from: dict[str, Any] = {}
    for address in wanted:
        ledger.check_in_subnet(eni.subnet, address)
        now = ledger.holder(eni.subnet, address)
        if now is None:
            continue
        if address not in ledger.secondaries(now) or ledger.within_prefix(now, ledger.parsed(address)):
            raise refuse(
                "InvalidParameterValue",
                f"Invalid value for secondary-addresses: [{address}] is a primary address or in a "
                f"prefix of interface {now.id}.",
            )
        if now is not eni:
            moved_from[address] = now
    if moved_from and not move:
        taken = ", ".join(moved_from)
        raise refuse("InvalidParameterValue", f"[{taken}] assigned, but move is not allowed.")
    return moved_from


def _check_limit(eni: Any, wanted: list[str], blocks: list[str]) -> None:
    slots = set(ledger.addresses(eni)) | set(wanted)
    after = len(slots) + len(set(ledger.prefixes(eni)) | set(blocks))
    limit = ledger.limit_of(eni, "Ipv4")
    if limit is not None and after > limit:
        raise refuse(
            "PrivateIpAddressLimitExceeded", "Number of private addresses will exceed limit."
        )


def _place(eni: Any, address: str, source: Any | None) -> None:
    if address in ledger.addresses(eni):
        return
    if source is not None:
        _take(source, address)
        elastic_addresses.follow(source, address, eni)
    eni.private_ip_addresses.append({"Primary": False, "PrivateIpAddress": address})


def _take(eni: Any, address: str) -> None:
    eni.private_ip_addresses[:] = [
        item for item in eni.private_ip_addresses if item["PrivateIpAddress"] != address
    ]


def _check_prefix(subnet: Any, block: str) -> str:
    try:
        network = ipaddress.IPv4Network(block)
    except ValueError:
        raise refuse("InvalidParameterValue", f"invalid value for parameter ipv4Prefix: {block}")
    if network.prefixlen != 28 or not network.subnet_of(subnet.cidr):
        raise refuse(
            "InvalidParameterValue", f"Prefix {block} is not a /28 within the subnet's range"
        )
    if _occupied(subnet, network, []):
        raise refuse("InvalidParameterValue", f"[{block}] overlaps with assigned addresses")
    return str(network)


def _occupied(subnet: Any, network: ipaddress.IPv4Network, others: list[str]) -> bool:
    if any(ledger.reserved(subnet, ip) for ip in (network[0], network[-1])):
        return True
    apart = list(others)
    for eni in ledger.interfaces_of(subnet):
        if any(ledger.parsed(address) in network for address in ledger.addresses(eni)):
            return True
        apart += ledger.prefixes(eni)
    return any(network.overlaps(ipaddress.IPv4Network(other)) for other in apart)


def _pick_prefix(subnet: Any, others: list[str]) -> str:
    if subnet.cidr.prefixlen <= 28:
        for network in subnet.cidr.subnets(new_prefix=28):
            if not _occupied(subnet, network, others):
                return str(network)
    raise refuse(
        "InsufficientCidrBlocks",
        "The specified subnet does not have enough free cidr blocks to satisfy the request.",
    )


def unassign(self: Any) -> ActionResult:
    eni = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
    leaving = list(dict.fromkeys(self._get_param("PrivateIpAddresses", [])))
    blocks = list(dict.fromkeys(self._get_param("Ipv4Prefixes", [])))
    if not leaving and not blocks:
        raise refuse(
            "MissingParameter", "The request must contain the parameter privateIpAddress"
        )
    for address in leaving:
        ledger.parsed(address)
        if address == eni.private_ip_address:
            raise refuse(
                "InvalidParameterValue",
                f"The primary private IP address {address} of interface {eni.id} cannot be unassigned.",
            )
    held = set(ledger.secondaries(eni)) | set(ledger.prefixes(eni))
    if not held.issuperset(leaving + blocks):
        raise refuse(
            "InvalidParameterValue",
            f"Some of the specified addresses are not assigned to interface {eni.id}",
        )
    for address in leaving:
        elastic_addresses.drop(eni, address)
        _take(eni, address)
    ledger.prefixes(eni)[:] = [block for block in ledger.prefixes(eni) if block not in blocks]
    return EmptyResult()


def apply() -> None:
    EC2Response.assign_private_ip_addresses = assign
    EC2Response.unassign_private_ip_addresses = unassign
