"""Who holds which private address of a subnet: derived from the network interfaces, never stored."""

import ipaddress
from typing import Any, Iterator

from moto.ec2.models.instance_types import INSTANCE_TYPES

from .errors import refuse


def interfaces_of(subnet: Any) -> Iterator[Any]:
    return (eni for eni in subnet.ec2_backend.enis.values() if eni.subnet.id == subnet.id)


def secondaries(eni: Any) -> list[str]:
    return [item["PrivateIpAddress"] for item in eni.private_ip_addresses if not item["Primary"]]


def addresses(eni: Any) -> list[str]:
    return [item["PrivateIpAddress"] for item in eni.private_ip_addresses]


def prefixes(eni: Any) -> list[str]:
    return eni.__dict__.setdefault("egret_prefixes", [])


def ipv6_prefixes(eni: Any) -> list[str]:
    return eni.__dict__.setdefault("egret_ipv6_prefixes", [])


def holder(subnet: Any, address: str) -> Any | None:
    """The network interface that has the address, alone or within a delegated prefix."""
    wanted = ipaddress.ip_address(address)
    for eni in interfaces_of(subnet):
        if address in addresses(eni) or within_prefix(eni, wanted):
            return eni
    return None


def within_prefix(eni: Any, address: Any) -> bool:
    return any(address in ipaddress.ip_network(prefix) for prefix in prefixes(eni))


def parsed(address: str) -> ipaddress.IPv4Address:
    try:
        return ipaddress.IPv4Address(address)
    except ValueError:
        raise refuse("InvalidParameterValue", f"invalid value for parameter address: {address}")


def reserved(subnet: Any, address: ipaddress.IPv4Address) -> bool:
    """The first four addresses of a subnet and the last one.

    https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
    """
    offset = int(address) - int(subnet.cidr.network_address)
    return offset < 4 or address == subnet.cidr.broadcast_address


def check_in_subnet(subnet: Any, address: str) -> None:
    ip = parsed(address)
    if ip not in subnet.cidr:
        raise refuse(
            "InvalidParameterValue",
            f"Address {address} does not fall within the subnet's address range",
        )
    if reserved(subnet, ip):
        raise refuse(
            "InvalidParameterValue", f"Address {address} is in subnet's reserved address range"
        )


def check_free(subnet: Any, address: str) -> None:
    """For addresses at creation: RunInstances and CreateNetworkInterface."""
    check_in_subnet(subnet, address)
    if holder(subnet, address):
        raise refuse("InvalidIPAddress.InUse", f"Address {address} is in use.")


def pick(subnet: Any, taken: set[str] | None = None) -> str:
    """The lowest free address. Never one of a subnet CIDR reservation.

    https://docs.aws.amazon.com/vpc/latest/userguide/subnet-cidr-reservation.html
    """
    used = {address for eni in interfaces_of(subnet) for address in addresses(eni)} | (taken or set())
    apart = [ipaddress.ip_network(prefix) for eni in interfaces_of(subnet) for prefix in prefixes(eni)]
    apart += [reservation.cidr for reservation in subnet._cidr_reservations]
    for ip in subnet.cidr.hosts():
        if not reserved(subnet, ip) and str(ip) not in used and not any(ip in net for net in apart):
            return str(ip)
    raise refuse(
        "InsufficientFreeAddressesInSubnet",
        "The specified subnet does not have enough free addresses to satisfy the request.",
    )


def limit(instance_type: str | None, family: str) -> int | None:
    """Addresses per network interface (`family`: Ipv4 or Ipv6); None when nothing says.

    https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/AvailableIpPerENI.html
    """
    known = INSTANCE_TYPES.get(instance_type or "")
    return known["NetworkInfo"].get(f"{family}AddressesPerInterface") if known else None


def limit_of(eni: Any, family: str) -> int | None:
    return limit(eni.instance.instance_type if eni.instance else None, family)


def check_limits(instance_type: str, eni: Any) -> None:
    """At launch and attachment: the interface has no more addresses than the type allows."""
    for family, used in (
        ("Ipv4", len(addresses(eni)) + len(prefixes(eni))),
        ("Ipv6", len(eni.ipv6_addresses) + len(ipv6_prefixes(eni))),
    ):
        most = limit(instance_type, family)
        if most is not None and used > most:
            raise refuse(
                "InvalidInterface.IpAddressLimitExceeded",
                f"Interface with {used} {family} addresses exceeds the limit of {most} "
                f"for {instance_type}",
            )
