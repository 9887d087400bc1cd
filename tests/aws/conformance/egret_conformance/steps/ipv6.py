"""IPv6 addresses: unassigned before they are assigned elsewhere."""

from ..bed import PER_INTERFACE
from ..step import step


def sixes(interface, *addresses, **more):
    """The parameters of a call."""
    return {"NetworkInterfaceId": interface, "Ipv6Addresses": list(addresses), **more}


def put(bed, check, interface, *addresses):
    check.answered("assign", bed.ec2.assign_ipv6_addresses, **sixes(interface, *addresses))
    check.shows("the interface has", sorted(addresses), lambda: bed.sixes(interface))


@step(
    "ipv6-in-use",
    "an address of another interface is refused; after it is unassigned there, it is not",
    "AssignIpv6Addresses",
    inferred="the code (InvalidParameterValue); the page has no AllowReassignment",
)
def in_use(bed, check):
    address = bed.six(0x50)
    put(bed, check, bed.left.interface, address)
    check.refused("assign it elsewhere", "InvalidParameterValue", bed.ec2.assign_ipv6_addresses,
                  **sixes(bed.right.interface, address))  # fmt: skip
    check.stays("its interface", [address], lambda: bed.sixes(bed.left.interface))
    check.answered("unassign", bed.ec2.unassign_ipv6_addresses, **sixes(bed.left.interface, address))
    put(bed, check, bed.right.interface, address)
    check.shows("old interface", [], lambda: bed.sixes(bed.left.interface))


@step(
    "ipv6-limit",
    f"{PER_INTERFACE} addresses fit on an interface; a list beyond is refused whole",
    "IP addresses per interface",
    inferred="the code (PrivateIpAddressLimitExceeded)",
)
def limit(bed, check):
    addresses = [bed.six(0x50 + number) for number in range(PER_INTERFACE + 1)]
    check.refused("one too many", "PrivateIpAddressLimitExceeded", bed.ec2.assign_ipv6_addresses,
                  **sixes(bed.left.interface, *addresses))  # fmt: skip
    check.stays("the interface has", [], lambda: bed.sixes(bed.left.interface))
    put(bed, check, bed.left.interface, *addresses[:-1])


@step(
    "ipv6-outside",
    "an address outside the subnet's range, and a reserved one, is refused",
    "AssignIpv6Addresses",
    inferred="the code (InvalidParameterValue)",
)
def outside(bed, check):
    for address in ("2001:db8::50", bed.six(1)):
        check.refused(f"assign {address}", "InvalidParameterValue", bed.ec2.assign_ipv6_addresses,
                      **sixes(bed.left.interface, address))  # fmt: skip
    check.stays("the interface has", [], lambda: bed.sixes(bed.left.interface))


@step(
    "ipv6-absent",
    "an address that is not there is not unassigned, and with it none of the request",
    "UnassignIpv6Addresses",
    inferred="all of it",
)
def absent(bed, check):
    put(bed, check, bed.left.interface, bed.six(0x50))
    check.refused("unassign two", "InvalidParameterValue", bed.ec2.unassign_ipv6_addresses,
                  **sixes(bed.left.interface, bed.six(0x50), bed.six(0x51)))  # fmt: skip
    check.stays("the interface has", [bed.six(0x50)], lambda: bed.sixes(bed.left.interface))
