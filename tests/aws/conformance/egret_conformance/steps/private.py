"""Secondary private IPv4 addresses: assigned, moved, unassigned."""

from ..bed import PER_INTERFACE
from ..step import step

ONE, TWO, THREE = "10.83.1.50", "10.83.1.51", "10.83.1.52"
REFUSED_BY_VALUE = "that it is refused is documented, or follows; the code is not"


def assign(interface, *addresses, **more):
    """The parameters of a call that assigns."""
    return {"NetworkInterfaceId": interface, "PrivateIpAddresses": list(addresses), **more}


def put(bed, interface, *addresses, **more):
    """Assigns, and waits until it shows."""
    bed.ec2.assign_private_ip_addresses(**assign(interface, *addresses, **more))
    bed.wait("the addresses show", lambda: set(addresses) <= set(bed.secondaries(interface)))


@step(
    "assign-answer",
    "the answer lists the addresses of the request, and not what the interface had before",
    "AssignPrivateIpAddresses",
    inferred="the page has no word on what the interface had before",
)
def answer_of_the_request(bed, check):
    put(bed, bed.left.interface, ONE)
    answer = check.answered(
        "assign another", bed.ec2.assign_private_ip_addresses, **assign(bed.left.interface, TWO)
    )
    listed = [item["PrivateIpAddress"] for item in answer.get("AssignedPrivateIpAddresses", [])]
    check.equal("addresses in the answer", [TWO], listed)
    check.shows("the interface has", [ONE, TWO], lambda: bed.secondaries(bed.left.interface))


@step(
    "assign-in-use",
    "an address of another interface is refused without AllowReassignment, and stays there",
    "AssignPrivateIpAddresses",
    inferred="the code and its text (InvalidParameterValue, “assigned, but move is not allowed”)",
)
def in_use_elsewhere(bed, check):
    put(bed, bed.left.interface, ONE)
    for more in ({}, {"AllowReassignment": False}):
        check.refused(
            f"assign it to the other interface {more or ''}".rstrip(),
            "InvalidParameterValue",
            bed.ec2.assign_private_ip_addresses,
            text="assigned, but move is not allowed",
            **assign(bed.right.interface, ONE, **more),
        )
    check.stays("first interface", [ONE], lambda: bed.secondaries(bed.left.interface))
    check.stays("second interface", [], lambda: bed.secondaries(bed.right.interface))


@step(
    "assign-moves",
    "AllowReassignment moves it: it is on the new interface alone",
    "AssignPrivateIpAddresses",
)
def moves(bed, check):
    put(bed, bed.left.interface, ONE)
    check.answered(
        "move it",
        bed.ec2.assign_private_ip_addresses,
        **assign(bed.right.interface, ONE, AllowReassignment=True),
    )
    check.shows("new interface", [ONE], lambda: bed.secondaries(bed.right.interface))
    check.shows("old interface", [], lambda: bed.secondaries(bed.left.interface))


@step(
    "list-all-or-none",
    "a list moves as a whole or not at all: one address that cannot be assigned, and none is",
    "Multiple IP addresses",
)
def list_is_all_or_none(bed, check):
    put(bed, bed.left.interface, ONE)
    cases = (
        ("one is in use", assign(bed.right.interface, TWO, ONE)),
        ("one is outside", assign(bed.right.interface, ONE, "10.83.2.50", AllowReassignment=True)),
        ("one is a primary", assign(bed.right.interface, ONE, bed.primary_of(bed.left.interface),
                                    AllowReassignment=True)),
    )  # fmt: skip
    for what, request in cases:
        check.refused(what, "InvalidParameterValue", bed.ec2.assign_private_ip_addresses, **request)
        check.stays(f"{what}: target", [], lambda: bed.secondaries(bed.right.interface))
        check.stays(f"{what}: source", [ONE], lambda: bed.secondaries(bed.left.interface))


@step(
    "list-moves",
    "a list moves in one call, from more than one interface",
    "AssignPrivateIpAddresses",
    inferred="the page does not say from how many interfaces",
)
def list_moves(bed, check):
    third = bed.spare()
    put(bed, bed.left.interface, ONE)
    put(bed, third, TWO)
    check.answered(
        "move both",
        bed.ec2.assign_private_ip_addresses,
        **assign(bed.right.interface, ONE, TWO, AllowReassignment=True),
    )
    check.shows("target", [ONE, TWO], lambda: bed.secondaries(bed.right.interface))
    check.shows("first source", [], lambda: bed.secondaries(bed.left.interface))
    check.shows("second source", [], lambda: bed.secondaries(third))


@step(
    "assign-again",
    "an address that the interface has already is assigned again without an error, once",
    "AssignPrivateIpAddresses",
    inferred="the page does not say; the provider repeats calls that had no answer",
    corrected=False,
)
def again(bed, check):
    put(bed, bed.left.interface, ONE)
    for more in ({}, {"AllowReassignment": True}):
        check.answered(
            f"again {more or ''}".rstrip(),
            bed.ec2.assign_private_ip_addresses,
            **assign(bed.left.interface, ONE, **more),
        )
        check.stays("the interface has", [ONE], lambda: bed.secondaries(bed.left.interface))


@step(
    "assign-twice",
    "an address that a request names twice is assigned once",
    "AssignPrivateIpAddresses",
    inferred="all of it",
)
def twice_in_one_request(bed, check):
    answer = check.answered(
        "assign it", bed.ec2.assign_private_ip_addresses, **assign(bed.left.interface, ONE, ONE)
    )
    listed = [item["PrivateIpAddress"] for item in answer.get("AssignedPrivateIpAddresses", [])]
    check.equal("addresses in the answer", [ONE], listed)
    check.shows("the interface has", [ONE], lambda: bed.secondaries(bed.left.interface))


@step(
    "assign-primary",
    "the primary address of another interface never moves",
    "AssignPrivateIpAddresses",
    inferred=REFUSED_BY_VALUE,
)
def primary_of_another(bed, check):
    primary = bed.primary_of(bed.left.interface)
    check.refused(
        "take it",
        "InvalidParameterValue",
        bed.ec2.assign_private_ip_addresses,
        **assign(bed.right.interface, primary, AllowReassignment=True),
    )
    check.stays("other interface", [], lambda: bed.secondaries(bed.right.interface))
    check.equal("its primary", primary, bed.primary_of(bed.left.interface))


@step(
    "assign-outside",
    "an address outside the interface's subnet is refused",
    "Multiple IP addresses",
    inferred=REFUSED_BY_VALUE,
)
def outside_the_subnet(bed, check):
    for address in ("10.83.2.50", "192.0.2.1", "10.83.1.999"):
        check.refused(
            f"assign {address}",
            "InvalidParameterValue",
            bed.ec2.assign_private_ip_addresses,
            **assign(bed.left.interface, address),
        )
    check.stays("the interface has", [], lambda: bed.secondaries(bed.left.interface))


@step(
    "assign-reserved",
    "the first four addresses of a subnet and the last one are refused",
    "Subnet sizing",
    inferred="the code (InvalidParameterValue)",
)
def reserved(bed, check):
    for last in (0, 1, 2, 3, 255):
        check.refused(
            f"assign 10.83.1.{last}",
            "InvalidParameterValue",
            bed.ec2.assign_private_ip_addresses,
            **assign(bed.left.interface, f"10.83.1.{last}"),
        )
    check.stays("the interface has", [], lambda: bed.secondaries(bed.left.interface))


@step(
    "assign-limit",
    f"{PER_INTERFACE} addresses fit on an interface, the primary one included; a list beyond is refused whole",
    "Error codes",
)
def limit(bed, check):
    most = [f"10.83.1.{50 + number}" for number in range(PER_INTERFACE)]
    put(bed, bed.left.interface, most[0])
    check.refused(
        "one too many",
        "PrivateIpAddressLimitExceeded",
        bed.ec2.assign_private_ip_addresses,
        **assign(bed.left.interface, *most[1:]),
    )
    check.stays("the interface has", most[:1], lambda: bed.secondaries(bed.left.interface))
    check.answered("as many as fit", bed.ec2.assign_private_ip_addresses,
                   **assign(bed.left.interface, *most[1:-1]))  # fmt: skip
    check.shows("the interface has", most[:-1], lambda: bed.secondaries(bed.left.interface))


@step(
    "assign-two-kinds",
    "addresses and a count in one request are refused",
    "AssignPrivateIpAddresses",
    inferred="the code (InvalidParameterCombination)",
)
def two_kinds(bed, check):
    check.refused(
        "an address and a count",
        "InvalidParameterCombination",
        bed.ec2.assign_private_ip_addresses,
        **assign(bed.left.interface, ONE, SecondaryPrivateIpAddressCount=1),
    )
    check.stays("the interface has", [], lambda: bed.secondaries(bed.left.interface))


@step(
    "unassign-primary",
    "the primary address is not unassigned",
    "UnassignPrivateIpAddresses",
    inferred=REFUSED_BY_VALUE,
)
def unassign_primary(bed, check):
    spare = bed.spare()
    primary = bed.primary_of(spare)
    check.refused(
        "unassign it",
        "InvalidParameterValue",
        bed.ec2.unassign_private_ip_addresses,
        **assign(spare, primary),
    )
    items = bed.described(spare)["PrivateIpAddresses"]
    check.equal("the interface has", [primary], [item["PrivateIpAddress"] for item in items])


@step(
    "unassign-absent",
    "an address that is not there is not unassigned, and with it none of the request",
    "UnassignPrivateIpAddresses",
    inferred="all of it; the provider takes the refusal for a conflict and reads again",
)
def unassign_absent(bed, check):
    put(bed, bed.left.interface, ONE)
    for what, addresses in (("alone", [THREE]), ("with one that is there", [ONE, THREE])):
        check.refused(
            what,
            "InvalidParameterValue",
            bed.ec2.unassign_private_ip_addresses,
            **assign(bed.left.interface, *addresses),
        )
    check.stays("the interface has", [ONE], lambda: bed.secondaries(bed.left.interface))


@step(
    "unassign-elastic",
    "unassigning an address disassociates its Elastic IP, which stays allocated",
    "Multiple IP addresses",
)
def unassign_disassociates(bed, check):
    elastic = bed.elastic[0]
    put(bed, bed.left.interface, ONE)
    bed.ec2.associate_address(
        AllocationId=elastic.allocation, NetworkInterfaceId=bed.left.interface, PrivateIpAddress=ONE
    )
    check.shows("Elastic IP", (bed.left.interface, ONE), lambda: bed.target(elastic))
    check.answered("unassign", bed.ec2.unassign_private_ip_addresses, **assign(bed.left.interface, ONE))
    check.shows("Elastic IP", None, lambda: bed.target(elastic))
    check.shows("the interface has", [], lambda: bed.secondaries(bed.left.interface))
