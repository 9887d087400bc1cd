"""Network interfaces: made, attached, described, deleted."""

from ..cleanup import TAG
from ..step import step
from .elastic import associate
from .private import ONE, put


@step(
    "create-in-use",
    "a network interface is not made with an address that is in use, in the subnet's reserved range or outside",
    "CreateNetworkInterface",
    inferred="the code for the latter two (InvalidParameterValue)",
)
def create_in_use(bed, check):
    put(bed, bed.left.interface, ONE)
    for address, code in (
        (ONE, "InvalidIPAddress.InUse"),
        ("10.83.1.2", "InvalidParameterValue"),
        ("10.83.2.50", "InvalidParameterValue"),
    ):
        check.refused(
            f"make one with {address}",
            code,
            bed.ec2.create_network_interface,
            SubnetId=bed.subnets[0],
            PrivateIpAddress=address,
            Groups=[bed.group],
            **bed.tags("network-interface"),
        )


@step(
    "create-token",
    "the same ClientToken makes no second network interface; with other parameters it is refused",
    "Idempotency",
)
def create_token(bed, check):
    request = {
        "SubnetId": bed.subnets[0],
        "Groups": [bed.group],
        "ClientToken": f"egret-{bed.run}-token",
        **bed.tags("network-interface"),
    }
    made = [
        check.answered(what, bed.ec2.create_network_interface, **request)["NetworkInterface"]["NetworkInterfaceId"]
        for what in ("once", "again")
    ]
    bed.keep(*set(made))
    check.equal("ids", made[:1], sorted(set(made)))
    check.refused(
        "with another description",
        "IdempotentParameterMismatch",
        bed.ec2.create_network_interface,
        **{**request, "Description": "another"},
    )


@step(
    "attach-default",
    "an interface that was attached by a call outlives its instance: DeleteOnTermination is false, until it is "
    "changed; the launched one's is true",
    "Terminate instances",
)
def delete_on_termination(bed, check):
    def of(interface):
        return bed.described(interface)["Attachment"]["DeleteOnTermination"]

    interface = bed.left.interface
    check.equal("launched", True, of(bed.left.primary))
    check.equal("attached", False, of(interface))
    attachment = bed.described(interface)["Attachment"]["AttachmentId"]
    for value in (True, False):
        check.answered(
            f"set {value}",
            bed.ec2.modify_network_interface_attribute,
            NetworkInterfaceId=interface,
            Attachment={"AttachmentId": attachment, "DeleteOnTermination": value},
        )
        check.shows(f"set to {value}", value, lambda: of(interface))


@step(
    "attachment-unknown",
    "DeleteOnTermination is not changed by an attachment that is not the interface's: InvalidAttachmentID.NotFound",
    "Error codes",
)
def unknown_attachment(bed, check):
    check.refused(
        "change it",
        "InvalidAttachmentID.NotFound",
        bed.ec2.modify_network_interface_attribute,
        NetworkInterfaceId=bed.left.interface,
        Attachment={"AttachmentId": "eni-attach-0123456789abcdef0", "DeleteOnTermination": True},
    )
    check.stays(
        "DeleteOnTermination",
        False,
        lambda: bed.described(bed.left.interface)["Attachment"]["DeleteOnTermination"],
    )


@step(
    "attach-elsewhere",
    "an interface of another zone is not attached, nor at a device index that is taken, nor one that is in use",
    "AttachNetworkInterface",
    inferred="the codes of the first two (InvalidParameterCombination, InvalidParameterValue)",
)
def attach_elsewhere(bed, check):
    far, near = bed.spare(1), bed.spare()
    for what, code, interface, index in (
        ("of another zone", "InvalidParameterCombination", far, 2),
        ("at a taken index", "InvalidParameterValue", near, 1),
        ("in use", "InvalidNetworkInterface.InUse", bed.right.interface, 2),
    ):
        check.refused(
            what,
            code,
            bed.ec2.attach_network_interface,
            NetworkInterfaceId=interface,
            InstanceId=bed.left.instance,
            DeviceIndex=index,
        )


@step(
    "source-dest-check",
    "SourceDestCheck is on at first, and shows where it is changed",
    "ModifyNetworkInterfaceAttribute",
    corrected=False,
)
def source_dest_check(bed, check):
    interface = bed.left.interface
    check.equal("at first", True, bed.described(interface).get("SourceDestCheck"))
    for value in (False, True):
        check.answered(
            f"set {value}",
            bed.ec2.modify_network_interface_attribute,
            NetworkInterfaceId=interface,
            SourceDestCheck={"Value": value},
        )
        check.shows(f"set to {value}", value, lambda: bed.described(interface).get("SourceDestCheck"))


@step(
    "tag-on-create",
    "what is tagged as it is made is found by tag at once: by tag:KEY, tag-key and wildcards; a backslash makes "
    "them plain",
    "Filtering",
)
def tag_on_create(bed, check):
    mark = f"a*b?-{bed.run}"
    spare = bed.spare(**bed.tags("network-interface", **{"egret.dev/mark": mark}))

    def found(name, value):
        filters = [{"Name": name, "Values": [value]}, {"Name": f"tag:{TAG}", "Values": [bed.run]}]
        answer = bed.ec2.describe_network_interfaces(Filters=filters)
        return [item["NetworkInterfaceId"] for item in answer["NetworkInterfaces"]]

    plain = mark.replace("*", "\\*").replace("?", "\\?")
    for name, value, expected in (
        ("tag:egret.dev/mark", plain, [spare]),
        ("tag-key", "egret.dev/mark", [spare]),
        ("tag:egret.dev/mark", f"a?b*-{bed.run}", [spare]),
        ("tag:egret.dev/mark", f"a\\?b*-{bed.run}", []),
        ("tag:egret.dev/mark", f"A*b?-{bed.run}", []),
    ):
        check.shows(f"{name}={value}", expected, lambda at=(name, value): found(*at))
    filters = [{"Name": f"tag:{TAG}", "Values": [bed.run]}]
    every = {item["AllocationId"] for item in bed.ec2.describe_addresses(Filters=filters)["Addresses"]}
    shown = bed.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
    launched = {item["NetworkInterfaceId"] for item in shown}
    check.equal("interfaces of a launch are among them", True, {bed.left.primary, bed.right.primary} <= launched)
    check.equal("Elastic IPs by tag", {elastic.allocation for elastic in bed.elastic}, every)


@step(
    "filters",
    "interfaces are found by secondary address, Elastic IP and attachment; Elastic IPs by interface and address",
    "DescribeNetworkInterfaces",
)
def filters(bed, check):
    elastic, interface = bed.elastic[0], bed.left.interface
    put(bed, interface, ONE)
    associate(bed, check, elastic, interface, ONE)

    def interfaces(name, value):
        wanted = [{"Name": name, "Values": [value]}, {"Name": "vpc-id", "Values": [bed.vpc]}]
        answer = check.answered(name, bed.ec2.describe_network_interfaces, Filters=wanted)
        return sorted(item["NetworkInterfaceId"] for item in answer["NetworkInterfaces"])

    for name, value, expected in (
        ("addresses.private-ip-address", ONE, [interface]),
        ("addresses.association.public-ip", elastic.public, [interface]),
        ("association.public-ip", elastic.public, [interface]),
        ("attachment.instance-id", bed.left.instance, sorted([bed.left.primary, interface])),
        ("private-ip-address", ONE, [interface]),
    ):
        check.shows(name, expected, lambda at=(name, value): interfaces(*at))
    by_address = (("private-ip-address", ONE), ("public-ip", elastic.public))
    for name, value in (("network-interface-id", interface), *by_address):
        answer = bed.ec2.describe_addresses(Filters=[{"Name": name, "Values": [value]}])
        check.equal(name, [elastic.public], [item["PublicIp"] for item in answer["Addresses"]])


@step(
    "filter-unknown",
    "a filter that the page does not name is refused",
    "DescribeNetworkInterfaces",
    inferred="the code (InvalidParameterValue; the page of error codes has InvalidFilter)",
)
def unknown_filter(bed, check):
    for call in (bed.ec2.describe_network_interfaces, bed.ec2.describe_addresses, bed.ec2.describe_instances):
        check.refused(call.__name__, "InvalidParameterValue", call, Filters=[{"Name": "colour", "Values": ["x"]}])


@step(
    "filter-limit",
    "201 values of a filter are refused: FilterLimitExceeded",
    "Error codes",
)
def filter_limit(bed, check):
    values = [f"10.83.1.{number}" for number in range(201)]
    for call in (bed.ec2.describe_network_interfaces, bed.ec2.describe_addresses):
        check.refused(
            call.__name__, "FilterLimitExceeded", call, Filters=[{"Name": "private-ip-address", "Values": values}]
        )


@step(
    "next-token",
    "a token that no page gave is refused: InvalidNextToken",
    "Error codes",
    inferred="that every action that has pages answers so; the provider begins again",
)
def next_token(bed, check):
    for call in (bed.ec2.describe_network_interfaces, bed.ec2.describe_instances, bed.ec2.describe_subnets):
        check.refused(call.__name__, "InvalidNextToken", call, MaxResults=5, NextToken="none")


@step(
    "pages",
    "MaxResults (from 5 to 1000) and NextToken give each interface once; with ids MaxResults is refused",
    "Pagination",
    inferred="the codes of what is refused",
)
def pages(bed, check):
    for _ in range(6):
        bed.spare()
    here = [{"Name": "vpc-id", "Values": [bed.vpc]}]
    describe = bed.ec2.describe_network_interfaces
    expected = sorted(item["NetworkInterfaceId"] for item in describe(Filters=here)["NetworkInterfaces"])

    def paged():
        found, token, sizes = [], {}, []
        while True:
            page = check.answered("a page", describe, Filters=here, MaxResults=5, **token)
            sizes.append(len(page["NetworkInterfaces"]))
            found += [item["NetworkInterfaceId"] for item in page["NetworkInterfaces"]]
            if not page.get("NextToken"):
                return sorted(found), max(sizes) <= 5
            token = {"NextToken": page["NextToken"]}

    check.shows("all pages, none above 5", (expected, True), paged)
    check.refused("MaxResults=4", "InvalidParameterValue", describe, MaxResults=4)
    check.refused("MaxResults=1001", "InvalidParameterValue", describe, MaxResults=1001)
    check.refused(
        "with ids", "InvalidParameterCombination", describe, MaxResults=5, NetworkInterfaceIds=[bed.left.interface]
    )
