"""Delegated /28 prefixes, and addresses that EC2 chooses."""

from ..bed import PER_INTERFACE
from ..step import step
from .private import assign, put

PREFIX, WITHIN = "10.83.1.96/28", "10.83.1.100"
# A subnet of its own: 10.83.9.4 to .7 are left of it.
SUBNET, RESERVED, LEFT = "10.83.9.0/28", "10.83.9.8/29", [f"10.83.9.{last}" for last in (4, 5, 6, 7)]


def delegate(bed, check, interface):
    check.answered(
        "delegate a prefix",
        bed.ec2.assign_private_ip_addresses,
        NetworkInterfaceId=interface,
        Ipv4Prefixes=[PREFIX],
    )
    check.shows("prefixes", [PREFIX], lambda: prefixes(bed, interface))


def prefixes(bed, interface):
    return [item["Ipv4Prefix"] for item in (bed.described(interface) or {}).get("Ipv4Prefixes", [])]


@step("prefix-slot", "a /28 prefix takes one slot of the interface's limit", "Prefixes")
def slot(bed, check):
    delegate(bed, check, bed.left.interface)
    fits = [f"10.83.1.{50 + number}" for number in range(PER_INTERFACE - 2)]
    put(bed, bed.left.interface, *fits)
    check.refused(
        "one more",
        "PrivateIpAddressLimitExceeded",
        bed.ec2.assign_private_ip_addresses,
        **assign(bed.left.interface, "10.83.1.60"),
    )


@step(
    "prefix-address",
    "an address within another interface's prefix cannot be taken, with AllowReassignment either",
    "Prefixes",
    inferred="all of it",
)
def address_within(bed, check):
    delegate(bed, check, bed.left.interface)
    for move in (False, True):
        check.refused(
            f"take it, AllowReassignment={move}",
            "InvalidParameterValue",
            bed.ec2.assign_private_ip_addresses,
            **assign(bed.right.interface, WITHIN, AllowReassignment=move),
        )
    check.stays("other interface", [], lambda: bed.secondaries(bed.right.interface))


@step(
    "prefix-overlap",
    "a prefix with an address in it that is assigned is refused",
    "Prefixes",
    inferred="the code (InvalidParameterValue)",
)
def overlap(bed, check):
    put(bed, bed.left.interface, WITHIN)
    check.refused(
        "delegate it",
        "InvalidParameterValue",
        bed.ec2.assign_private_ip_addresses,
        NetworkInterfaceId=bed.right.interface,
        Ipv4Prefixes=[PREFIX],
    )
    check.stays("prefixes", [], lambda: prefixes(bed, bed.right.interface))


@step(
    "reservation",
    "what EC2 chooses is outside subnet CIDR reservations of type explicit; where nothing else is free: "
    "InsufficientFreeAddressesInSubnet",
    "Subnet CIDR reservations",
    inferred="the code, where only reserved addresses are free",
)
def reservation(bed, check):
    made = bed.ec2.create_subnet(
        VpcId=bed.vpc, CidrBlock=SUBNET, AvailabilityZone=bed.zones[0], **bed.tags("subnet")
    )["Subnet"]["SubnetId"]
    bed.subnets.append(made)
    bed.wait("the subnet shows", lambda: bed.ec2.describe_subnets(
        Filters=[{"Name": "subnet-id", "Values": [made]}])["Subnets"])  # fmt: skip
    kept = bed.ec2.create_subnet_cidr_reservation(SubnetId=made, Cidr=RESERVED, ReservationType="explicit")
    try:
        interface = bed.spare(len(bed.subnets) - 1)
        check.answered(
            "three addresses",
            bed.ec2.assign_private_ip_addresses,
            NetworkInterfaceId=interface,
            SecondaryPrivateIpAddressCount=3,
        )
        every = lambda: sorted([bed.primary_of(interface), *bed.secondaries(interface)])  # noqa: E731
        check.shows("chosen", LEFT, every)
        check.refused(
            "one more",
            "InsufficientFreeAddressesInSubnet",
            bed.ec2.assign_private_ip_addresses,
            NetworkInterfaceId=interface,
            SecondaryPrivateIpAddressCount=1,
        )
    finally:
        bed.subnets.remove(made)
        reserved = kept["SubnetCidrReservation"]["SubnetCidrReservationId"]
        bed.ec2.delete_subnet_cidr_reservation(SubnetCidrReservationId=reserved)
