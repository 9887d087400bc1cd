"""Elastic IPs: associated, moved, disassociated."""

from ..step import Where, step
from .private import ONE, TWO, assign, put


def onto(elastic, interface, private=None, **more):
    """The parameters of a call that associates."""
    request = {"AllocationId": elastic.allocation, "NetworkInterfaceId": interface, **more}
    return request if private is None else {**request, "PrivateIpAddress": private}


def associate(bed, check, elastic, interface, private, **more):
    """Associates, waits until the Elastic IP shows it, and returns the association's id."""
    answer = check.answered(
        f"associate with {private}", bed.ec2.associate_address, **onto(elastic, interface, private, **more)
    )
    check.shows(f"Elastic IP on {private}", (interface, private), lambda: bed.target(elastic))
    return answer["AssociationId"]


@step(
    "associate-given",
    "the Elastic IP goes to the private address that is named; the interface shows it beside that address",
    "AssociateAddress",
)
def given_address(bed, check):
    elastic, interface = bed.elastic[0], bed.left.interface
    put(bed, interface, ONE, TWO)
    associate(bed, check, elastic, interface, TWO)
    check.shows("interface", {TWO: elastic.public}, lambda: bed.public(interface))
    check.equal("InstanceId", bed.left.instance, bed.address(elastic).get("InstanceId"))


@step(
    "associate-primary",
    "without PrivateIpAddress it goes to the primary address",
    "AssociateAddress",
    corrected=False,
)
def default_is_primary(bed, check):
    elastic, interface = bed.elastic[0], bed.left.interface
    put(bed, interface, ONE)
    check.answered("associate", bed.ec2.associate_address, **onto(elastic, interface))
    check.shows("Elastic IP", (interface, bed.primary_of(interface)), lambda: bed.target(elastic))


@step(
    "associate-foreign",
    "a private address that is not on the interface is refused",
    "AssociateAddress",
    inferred="the code (InvalidParameterValue)",
)
def foreign_address(bed, check):
    elastic = bed.elastic[0]
    put(bed, bed.right.interface, ONE)
    for what, private in (("of another interface", ONE), ("of none", TWO)):
        check.refused(
            what,
            "InvalidParameterValue",
            bed.ec2.associate_address,
            **onto(elastic, bed.left.interface, private),
        )
    check.stays("Elastic IP", None, lambda: bed.target(elastic))


@step(
    "elastic-follows",
    "an Elastic IP follows its private address to another interface, in the call that moves it",
    "AssignPrivateIpAddresses",
)
def follows(bed, check):
    elastic = bed.elastic[0]
    put(bed, bed.left.interface, ONE)
    associate(bed, check, elastic, bed.left.interface, ONE)
    check.answered(
        "move the private address",
        bed.ec2.assign_private_ip_addresses,
        **assign(bed.right.interface, ONE, AllowReassignment=True),
    )
    check.shows("Elastic IP", (bed.right.interface, ONE), lambda: bed.target(elastic))
    check.shows("new interface", {ONE: elastic.public}, lambda: bed.public(bed.right.interface))
    check.shows("old interface", {}, lambda: bed.public(bed.left.interface))
    check.shows("InstanceId", bed.right.instance, lambda: bed.address(elastic).get("InstanceId"))


@step(
    "follows-with-id",
    "the Elastic IP that follows keeps its association id",
    "AssignPrivateIpAddresses",
    inferred="all of it",
)
def follows_with_its_id(bed, check):
    elastic = bed.elastic[0]
    put(bed, bed.left.interface, ONE)
    before = associate(bed, check, elastic, bed.left.interface, ONE)
    check.answered(
        "move the private address",
        bed.ec2.assign_private_ip_addresses,
        **assign(bed.right.interface, ONE, AllowReassignment=True),
    )
    check.shows("Elastic IP", (bed.right.interface, ONE), lambda: bed.target(elastic))
    check.equal("association id", before, bed.address(elastic).get("AssociationId"))


@step(
    "reassociate-default",
    "an associated Elastic IP moves unless AllowReassociation is false",
    "AssociateAddress",
)
def reassociation_is_automatic(bed, check):
    elastic = bed.elastic[0]
    put(bed, bed.left.interface, ONE)
    put(bed, bed.right.interface, TWO)
    associate(bed, check, elastic, bed.left.interface, ONE)
    check.answered("unset", bed.ec2.associate_address, **onto(elastic, bed.right.interface, TWO))
    check.shows("Elastic IP", (bed.right.interface, TWO), lambda: bed.target(elastic))


@step(
    "reassociate-false",
    "AllowReassociation=false refuses one that is associated elsewhere, and it stays",
    "AssociateAddress",
    inferred="the code (Resource.AlreadyAssociated)",
    corrected=False,
)
def reassociation_refused(bed, check):
    elastic, here = bed.elastic[0], (bed.left.interface, bed.primary_of(bed.left.interface))
    associate(bed, check, elastic, *here)
    check.refused(
        "to another interface",
        "Resource.AlreadyAssociated",
        bed.ec2.associate_address,
        **onto(elastic, bed.right.interface, bed.primary_of(bed.right.interface), AllowReassociation=False),
    )
    check.stays("Elastic IP", here, lambda: bed.target(elastic))


@step(
    "elastic-across-zones",
    "AssociateAddress moves it to an interface of another zone, in one call and with a new association id; "
    "the old id is InvalidAssociationID.NotFound",
    "Elastic IP addresses",
    inferred="the new id, and the code for the old one",
)
def across_zones(bed, check):
    elastic, far = bed.elastic[0], bed.spare(1)
    put(bed, bed.left.interface, ONE)
    put(bed, far, "10.83.2.50")
    old = associate(bed, check, elastic, bed.left.interface, ONE)
    new = associate(bed, check, elastic, far, "10.83.2.50", AllowReassociation=True)
    check.equal("the id is another one", True, new != old)
    check.shows("old interface", {}, lambda: bed.public(bed.left.interface))
    check.refused(
        "disassociate by the old id",
        "InvalidAssociationID.NotFound",
        bed.ec2.disassociate_address,
        AssociationId=old,
    )
    check.stays("Elastic IP", (far, "10.83.2.50"), lambda: bed.target(elastic))


@step(
    "associate-again",
    "the same association again is no error and keeps its id, with AllowReassociation=false too",
    "AssociateAddress",
    inferred="that the id is kept, and that false does not refuse",
)
def again(bed, check):
    elastic, interface = bed.elastic[0], bed.left.interface
    put(bed, interface, ONE)
    first = associate(bed, check, elastic, interface, ONE)
    for more in ({}, {"AllowReassociation": True}, {"AllowReassociation": False}):
        answer = check.answered(
            f"again {more or ''}".rstrip(), bed.ec2.associate_address, **onto(elastic, interface, ONE, **more)
        )
        check.equal(f"id {more or ''}".rstrip(), first, answer.get("AssociationId"))


@step(
    "associate-displaces",
    "an Elastic IP displaces another one of the same private address, which stays allocated",
    "AssociateAddress",
    inferred="the page says so of instances",
)
def displaces(bed, check):
    first, second = bed.elastic
    put(bed, bed.left.interface, ONE)
    associate(bed, check, first, bed.left.interface, ONE)
    associate(bed, check, second, bed.left.interface, ONE)
    check.shows("the first one", None, lambda: bed.target(first))
    check.shows("interface", {ONE: second.public}, lambda: bed.public(bed.left.interface))


@step(
    "two-on-one",
    "two Elastic IPs share an interface, each with a private address of its own",
    "Multiple IP addresses",
)
def two_on_one_interface(bed, check):
    first, second = bed.elastic
    put(bed, bed.left.interface, ONE, TWO)
    associate(bed, check, first, bed.left.interface, ONE)
    associate(bed, check, second, bed.left.interface, TWO)
    check.shows("interface", {ONE: first.public, TWO: second.public}, lambda: bed.public(bed.left.interface))
    check.equal("the first one", (bed.left.interface, ONE), bed.target(first))


@step(
    "associate-instance",
    "an instance with two interfaces is refused as a target: InvalidInstanceID",
    "Error codes",
)
def instance_with_two_interfaces(bed, check):
    check.refused(
        "associate with the instance",
        "InvalidInstanceID",
        bed.ec2.associate_address,
        AllocationId=bed.elastic[0].allocation,
        InstanceId=bed.left.instance,
    )
    check.stays("Elastic IP", None, lambda: bed.target(bed.elastic[0]))


@step(
    "associate-two-targets",
    "an instance and an interface in one request are refused, and so are an allocation and a public address",
    "AssociateAddress",
    inferred="the codes (InvalidParameterCombination)",
)
def two_targets(bed, check):
    elastic = bed.elastic[0]
    for what, more in (("instance", {"InstanceId": bed.right.instance}), ("address", {"PublicIp": elastic.public})):
        check.refused(
            f"{what} too",
            "InvalidParameterCombination",
            bed.ec2.associate_address,
            **onto(elastic, bed.left.interface, **more),
        )
    check.stays("Elastic IP", None, lambda: bed.target(elastic))


@step(
    "disassociate-twice",
    "the second time the association's id is InvalidAssociationID.NotFound",
    "DisassociateAddress",
    inferred="the page calls it idempotent, without an error; users report this code. The provider takes "
    "both for done",
    corrected=False,
)
def disassociate_twice(bed, check):
    elastic = bed.elastic[0]
    association = associate(bed, check, elastic, bed.left.interface, bed.primary_of(bed.left.interface))
    check.answered("once", bed.ec2.disassociate_address, AssociationId=association)
    check.shows("Elastic IP", None, lambda: bed.target(elastic))
    check.refused(
        "twice", "InvalidAssociationID.NotFound", bed.ec2.disassociate_address, AssociationId=association
    )


@step(
    "release-associated",
    "an associated Elastic IP is not released",
    "ReleaseAddress",
)
def release_associated(bed, check):
    elastic, here = bed.elastic[1], (bed.left.interface, bed.primary_of(bed.left.interface))
    associate(bed, check, elastic, *here)
    check.refused(
        "release", "InvalidIPAddress.InUse", bed.ec2.release_address, AllocationId=elastic.allocation
    )
    if check.differences:
        # It is gone, and the steps after this one need two.
        bed.elastic[1] = bed.allocate()
        return
    check.stays("Elastic IP", here, lambda: bed.target(elastic))


@step(
    "quota",
    "a region has five Elastic IPs until the quota is raised: then AddressLimitExceeded",
    "Elastic IP addresses",
    where=Where.DOUBLE,
)
def quota(bed, check):
    made = []
    for _ in range(5 - len(bed.elastic)):
        made.append(bed.allocate().allocation)
    try:
        check.refused("a sixth", "AddressLimitExceeded", bed.ec2.allocate_address, Domain="vpc",
                      **bed.tags("elastic-ip"))  # fmt: skip
    finally:
        for allocation in made:
            bed.ec2.release_address(AllocationId=allocation)
