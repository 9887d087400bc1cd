"""What is refused before anything is done: ids, rights, dry runs, throttling."""

from ..step import Where, step
from .elastic import onto
from .private import ONE, TWO, assign, put

NOWHERE = "0123456789abcdef0"


@step(
    "unknown-ids",
    "an id that is well formed and not there is refused with the NotFound code of its kind",
    "Error codes",
    corrected=False,
)
def unknown_ids(bed, check):
    ec2 = bed.ec2
    for code, call, request in (
        ("InvalidNetworkInterfaceID.NotFound", ec2.describe_network_interfaces,
         {"NetworkInterfaceIds": [f"eni-{NOWHERE}"]}),
        ("InvalidNetworkInterfaceID.NotFound", ec2.assign_private_ip_addresses, assign(f"eni-{NOWHERE}", ONE)),
        ("InvalidInstanceID.NotFound", ec2.describe_instances, {"InstanceIds": [f"i-{NOWHERE}"]}),
        ("InvalidSubnetID.NotFound", ec2.describe_subnets, {"SubnetIds": [f"subnet-{NOWHERE}"]}),
        ("InvalidAllocationID.NotFound", ec2.describe_addresses, {"AllocationIds": [f"eipalloc-{NOWHERE}"]}),
        ("InvalidAllocationID.NotFound", ec2.associate_address,
         {"AllocationId": f"eipalloc-{NOWHERE}", "NetworkInterfaceId": bed.left.interface}),
        ("InvalidAddress.NotFound", ec2.describe_addresses, {"PublicIps": ["192.0.2.1"]}),
        ("InvalidAssociationID.NotFound", ec2.disassociate_address, {"AssociationId": f"eipassoc-{NOWHERE}"}),
    ):  # fmt: skip
        check.refused(f"{call.__name__} {code}", code, call, **request)


@step(
    "malformed-ids",
    "an id that is not well formed is refused with the Malformed code of its kind",
    "Error codes",
)
def malformed_ids(bed, check):
    ec2 = bed.ec2
    for code, call, request in (
        ("InvalidNetworkInterfaceId.Malformed", ec2.describe_network_interfaces, {"NetworkInterfaceIds": ["eni-x"]}),
        ("InvalidInstanceID.Malformed", ec2.describe_instances, {"InstanceIds": ["i-x"]}),
    ):
        check.refused(call.__name__, code, call, **request)


@step(
    "malformed-others",
    "ids of allocations, associations and subnets that are not well formed are not found",
    "Error codes",
    inferred="that page has no Malformed code for these",
    corrected=False,
)
def malformed_others(bed, check):
    ec2 = bed.ec2
    for code, call, request in (
        ("InvalidAllocationID.NotFound", ec2.describe_addresses, {"AllocationIds": ["eipalloc-x"]}),
        ("InvalidAssociationID.NotFound", ec2.disassociate_address, {"AssociationId": "eipassoc-x"}),
        ("InvalidSubnetID.NotFound", ec2.describe_subnets, {"SubnetIds": ["subnet-x"]}),
    ):
        check.refused(call.__name__, code, call, **request)


@step(
    "missing-parameter",
    "a call without what it needs is refused: MissingParameter",
    "Error codes",
)
def missing_parameter(bed, check):
    ec2 = bed.ec2
    for call, request in (
        (ec2.assign_private_ip_addresses, {"NetworkInterfaceId": bed.left.interface}),
        (ec2.unassign_private_ip_addresses, {"NetworkInterfaceId": bed.left.interface}),
        (ec2.associate_address, {"NetworkInterfaceId": bed.left.interface}),
        (ec2.disassociate_address, {}),
    ):
        check.refused(call.__name__, "MissingParameter", call, **request)


@step(
    "dry-run",
    "with DryRun a call that has it answers DryRunOperation (HTTP 412), whether or not it could succeed, and changes "
    "nothing",
    "AssociateAddress",
    inferred="whether ids are looked at; those that assign and unassign addresses have no DryRun",
    corrected=False,
)
def dry_run(bed, check):
    ec2, interface = bed.ec2, bed.left.interface
    put(bed, interface, ONE)
    for call, request in (
        (ec2.associate_address, onto(bed.elastic[0], interface, ONE)),
        (ec2.disassociate_address, {"AssociationId": f"eipassoc-{NOWHERE}"}),
        (ec2.release_address, {"AllocationId": bed.elastic[1].allocation}),
        (ec2.create_network_interface, {"SubnetId": bed.subnets[0], **bed.tags("network-interface")}),
        (ec2.delete_network_interface, {"NetworkInterfaceId": interface}),
        (ec2.stop_instances, {"InstanceIds": [bed.left.instance]}),
        (ec2.describe_addresses, {}),
        (ec2.describe_network_interfaces, {}),
    ):
        check.refused(call.__name__, "DryRunOperation", call, status=412, DryRun=True, **request)
    check.stays("address", [ONE], lambda: bed.secondaries(interface))
    check.stays("Elastic IP", None, lambda: bed.target(bed.elastic[0]))
    check.stays("instance", "running", lambda: bed.state(bed.left.instance))


@step(
    "no-rights",
    "without the right a call answers UnauthorizedOperation (HTTP 403), a dry run too, and changes nothing",
    "Error codes",
    where=Where.DOUBLE,
)
def no_rights(bed, check):
    elastic, interface = bed.elastic[0], bed.left.interface
    put(bed, interface, ONE)
    bed.control("policy", allow=["ec2:Describe*"])
    try:
        for what, call, request in (
            ("move", bed.ec2.assign_private_ip_addresses,
             assign(bed.right.interface, ONE, AllowReassignment=True)),
            ("associate", bed.ec2.associate_address, onto(elastic, interface, ONE)),
            ("associate, dry", bed.ec2.associate_address, onto(elastic, interface, ONE, DryRun=True)),
        ):  # fmt: skip
            check.refused(what, "UnauthorizedOperation", call, status=403, **request)
        check.stays("address", [ONE], lambda: bed.secondaries(interface))
        check.stays("Elastic IP", None, lambda: bed.target(elastic))
    finally:
        bed.control("policy", allow=None)


@step(
    "throttled",
    "calls beyond the account's rate answer RequestLimitExceeded (HTTP 503) and change nothing",
    "Throttling",
    where=Where.DOUBLE,
)
def throttled(bed, check):
    bed.control("throttle", next=1, actions=["AssignPrivateIpAddresses"])
    try:
        check.refused(
            "assign",
            "RequestLimitExceeded",
            bed.ec2.assign_private_ip_addresses,
            status=503,
            **assign(bed.left.interface, TWO),
        )
        check.stays("address", [], lambda: bed.secondaries(bed.left.interface))
    finally:
        bed.control("clear")
