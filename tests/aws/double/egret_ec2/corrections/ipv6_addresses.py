"""IPv6 addresses: in the subnet's range, on one network interface only, with no way to move.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssignIpv6Addresses.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_UnassignIpv6Addresses.html
https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html (the first four and the last)
"""

import ipaddress
from typing import Any, Iterator

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from .. import ledger
from ..errors import refuse


def _ranges(subnet: Any) -> Iterator[ipaddress.IPv6Network]:
    for association in subnet.ipv6_cidr_block_associations.values():
        if association["ipv6CidrBlockState"].get("State") == "associated":
            yield ipaddress.IPv6Network(association["ipv6CidrBlock"])


def _reserved(network: ipaddress.IPv6Network, ip: ipaddress.IPv6Address) -> bool:
    return int(ip) - int(network.network_address) < 4 or ip == network.broadcast_address


def _checked(subnet: Any, address: str) -> str:
    """The address in its canonical form; refused when no range of the subnet can give it."""
    try:
        ip = ipaddress.IPv6Address(address)
    except ValueError:
        raise refuse("InvalidParameterValue", f"invalid value for parameter ipv6Address: {address}")
    network = next((network for network in _ranges(subnet) if ip in network), None)
    if network is None:
        raise refuse(
            "InvalidParameterValue",
            f"Address {address} does not fall within the subnet's IPv6 address range",
        )
    if _reserved(network, ip):
        raise refuse(
            "InvalidParameterValue", f"Address {address} is in subnet's reserved address range"
        )
    return str(ip)


def _holder(subnet: Any, address: str) -> Any | None:
    ip = ipaddress.IPv6Address(address)
    for eni in ledger.interfaces_of(subnet):
        if address in eni.ipv6_addresses:
            return eni
        if any(ip in ipaddress.IPv6Network(prefix) for prefix in ledger.ipv6_prefixes(eni)):
            return eni
    return None


def _pick(subnet: Any, others: list[str]) -> str:
    for network in _ranges(subnet):
        for offset in range(16, 4096):
            address = str(network[offset])
            if address not in others and _holder(subnet, address) is None:
                return address
    raise refuse(
        "InsufficientFreeAddressesInSubnet",
        "The specified subnet does not have enough free IPv6 addresses to satisfy the request.",
    )


def at_creation(subnet: Any, wanted: list[str], count: int) -> list[str]:
    chosen = [_checked(subnet, address) for address in wanted]
    for address in chosen:
        if _holder(subnet, address):
            raise refuse("InvalidIPAddress.InUse", f"Address {address} is in use.")
    for _ in range(int(count)):
        chosen.append(_pick(subnet, chosen))
    return chosen


def assign(self: Any) -> ActionResult:
    eni = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
    wanted = list(dict.fromkeys(self._get_param("Ipv6Addresses", [])))
    count = self._get_int_param("Ipv6AddressCount", 0)
    blocks = list(dict.fromkeys(self._get_param("Ipv6Prefixes", [])))
    if sum(1 for kind in (wanted, count, blocks) if kind) != 1:
        raise refuse(
            "InvalidParameterCombination" if wanted or count or blocks else "MissingParameter",
            "The request must contain one of ipv6Addresses, ipv6AddressCount and ipv6Prefixes",
        )
    chosen = [_checked(eni.subnet, address) for address in wanted]
    for address in chosen:
        now = _holder(eni.subnet, address)
        if now is not None and now is not eni:
            # No AllowReassignment here: whoever has the address must unassign it first.
            raise refuse("InvalidParameterValue", f"[{address}] is already assigned.")
    for _ in range(count):
        chosen.append(_pick(eni.subnet, chosen))
    blocks = [_checked_prefix(eni, block) for block in blocks]
    _check_limit(eni, chosen, blocks)
    eni.ipv6_addresses.extend(item for item in chosen if item not in eni.ipv6_addresses)
    ledger.ipv6_prefixes(eni).extend(blocks)
    return ActionResult(
        {
            "NetworkInterfaceId": eni.id,
            "AssignedIpv6Addresses": chosen,
            "AssignedIpv6Prefixes": blocks,
        }
    )


def _checked_prefix(eni: Any, block: str) -> str:
    try:
        network = ipaddress.IPv6Network(block)
    except ValueError:
        raise refuse("InvalidParameterValue", f"invalid value for parameter ipv6Prefix: {block}")
    if network.prefixlen != 80 or not any(network.subnet_of(one) for one in _ranges(eni.subnet)):
        raise refuse("InvalidParameterValue", f"Prefix {block} is not a /80 of the subnet")
    for other in ledger.interfaces_of(eni.subnet):
        single = any(ipaddress.IPv6Address(item) in network for item in other.ipv6_addresses)
        if single or str(network) in ledger.ipv6_prefixes(other):
            raise refuse("InvalidParameterValue", f"[{block}] overlaps with assigned addresses")
    return str(network)


def _check_limit(eni: Any, chosen: list[str], blocks: list[str]) -> None:
    after = len(set(eni.ipv6_addresses) | set(chosen))
    after += len(set(ledger.ipv6_prefixes(eni)) | set(blocks))
    limit = ledger.limit_of(eni, "Ipv6")
    if limit is not None and after > limit:
        raise refuse(
            "PrivateIpAddressLimitExceeded", "Number of IPv6 addresses will exceed limit."
        )


def unassign(self: Any) -> ActionResult:
    eni = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
    leaving = []
    for address in self._get_param("Ipv6Addresses", []):
        try:
            leaving.append(str(ipaddress.IPv6Address(address)))
        except ValueError:
            raise refuse(
                "InvalidParameterValue", f"invalid value for parameter ipv6Address: {address}"
            )
    blocks = self._get_param("Ipv6Prefixes", [])
    if not leaving and not blocks:
        raise refuse("MissingParameter", "The request must contain the parameter ipv6Addresses")
    held = set(eni.ipv6_addresses) | set(ledger.ipv6_prefixes(eni))
    if not held.issuperset([*leaving, *blocks]):
        raise refuse(
            "InvalidParameterValue",
            f"Some of the specified addresses are not assigned to interface {eni.id}",
        )
    eni.ipv6_addresses[:] = [item for item in eni.ipv6_addresses if item not in leaving]
    kept = [block for block in ledger.ipv6_prefixes(eni) if block not in blocks]
    ledger.ipv6_prefixes(eni)[:] = kept
    return ActionResult(
        {
            "NetworkInterfaceId": eni.id,
            "UnassignedIpv6Addresses": leaving,
            "UnassignedIpv6Prefixes": blocks,
        }
    )


def apply() -> None:
    EC2Response.assign_ipv6_addresses = assign
    EC2Response.unassign_ipv6_addresses = unassign
