"""Instances: launched, stopped, terminated. What ends one comes last."""

from ..bed import KIND, PER_INTERFACE
from ..step import step
from .elastic import associate, onto
from .private import ONE, put


def launch(bed, **interface):
    """The parameters of a launch that should be refused."""
    return {
        "ImageId": bed.image,
        "InstanceType": KIND,
        "MinCount": 1,
        "MaxCount": 1,
        "InstanceInitiatedShutdownBehavior": "terminate",
        "NetworkInterfaces": [
            {"DeviceIndex": 0, "SubnetId": bed.subnets[0], "Groups": [bed.group], **interface}
        ],
        **bed.tags("instance", "network-interface", "volume"),
    }


@step(
    "launch-token",
    "the same ClientToken launches no second instance; with other parameters it is refused",
    "Idempotency",
)
def launch_token(bed, check):
    again = check.answered("again", bed.ec2.run_instances, **bed.launch["left"])
    check.equal("instance", bed.left.instance, again["Instances"][0]["InstanceId"])
    other = {**bed.launch["left"], "InstanceInitiatedShutdownBehavior": "stop"}
    check.refused("with another parameter", "IdempotentParameterMismatch", bed.ec2.run_instances, **other)


@step(
    "launch-refused",
    "a launch with an address that is in use, outside the subnet, or with more than fit is refused, and leaves nothing",
    "Error codes",
    inferred="the code of the second (InvalidParameterValue)",
)
def launch_refused(bed, check):
    put(bed, bed.left.interface, ONE)

    def there():
        filters = [{"Name": "vpc-id", "Values": [bed.vpc]}]
        states = [*filters, {"Name": "instance-state-name", "Values": ["pending", "running"]}]
        reservations = bed.ec2.describe_instances(Filters=states)["Reservations"]
        interfaces = bed.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return sum(len(one["Instances"]) for one in reservations), len(interfaces)

    before = there()
    for code, interface in (
        ("InvalidIPAddress.InUse", {"PrivateIpAddress": ONE}),
        ("InvalidParameterValue", {"PrivateIpAddress": "10.83.2.50"}),
        ("InvalidInterface.IpAddressLimitExceeded", {"SecondaryPrivateIpAddressCount": PER_INTERFACE}),
    ):
        check.refused(f"with {interface}", code, bed.ec2.run_instances, **launch(bed, **interface))
    check.stays("instances and interfaces", before, there)


@step(
    "delete-in-use",
    "an attached interface is not deleted, and an instance's first one not detached",
    "Error codes",
    inferred="the code of the second (OperationNotPermitted)",
)
def delete_in_use(bed, check):
    primary = bed.left.primary
    attachment = bed.described(primary)["Attachment"]["AttachmentId"]
    check.refused("detach", "OperationNotPermitted", bed.ec2.detach_network_interface, AttachmentId=attachment)
    check.refused(
        "delete", "InvalidNetworkInterface.InUse", bed.ec2.delete_network_interface, NetworkInterfaceId=primary
    )
    check.stays("it is there", True, lambda: bed.described(primary) is not None)


@step(
    "stop-keeps",
    "a stopped instance keeps its interfaces, their addresses and Elastic IPs; an address moves away all the same",
    "Stop and start",
)
def stop_keeps(bed, check):
    elastic, interface = bed.elastic[0], bed.left.interface
    put(bed, interface, ONE)
    associate(bed, check, elastic, interface, ONE)
    check.answered("stop", bed.ec2.stop_instances, InstanceIds=[bed.left.instance])
    bed.wait("it is stopped", lambda: bed.state(bed.left.instance) == "stopped")
    check.equal("addresses", [ONE], bed.secondaries(interface))
    check.equal("Elastic IP", (interface, ONE), bed.target(elastic))
    check.answered(
        "move the address away",
        bed.ec2.assign_private_ip_addresses,
        NetworkInterfaceId=bed.right.interface,
        PrivateIpAddresses=[ONE],
        AllowReassignment=True,
    )
    check.shows("Elastic IP", (bed.right.interface, ONE), lambda: bed.target(elastic))


@step(
    "terminate",
    "a terminated instance's first interface is deleted and its Elastic IP disassociated; the attached one stays, "
    "with its address; it cannot be stopped; DescribeInstances shows it without interfaces",
    "Terminate instances",
    inferred="how DescribeInstances shows it",
)
def terminate(bed, check):
    first, second = bed.elastic
    gateway = bed.right
    put(bed, gateway.interface, ONE)
    check.answered("associate", bed.ec2.associate_address, **onto(first, gateway.primary))
    associate(bed, check, second, gateway.interface, ONE)
    check.answered("terminate", bed.ec2.terminate_instances, InstanceIds=[gateway.instance])
    bed.wait("it is terminated", lambda: bed.state(gateway.instance) in ("terminated", ""))
    check.shows("first interface is there", False, lambda: bed.described(gateway.primary) is not None)
    check.shows("its Elastic IP", None, lambda: bed.target(first))
    check.shows("attached interface", [ONE], lambda: bed.secondaries(gateway.interface))
    check.equal("its Elastic IP", (gateway.interface, ONE), bed.target(second))
    check.refused(
        "stop it", "IncorrectInstanceState", bed.ec2.stop_instances, InstanceIds=[gateway.instance]
    )
    shown = (bed.instance(gateway.instance) or {}).get("NetworkInterfaces", [])
    check.equal("interfaces of the instance", [], [item["NetworkInterfaceId"] for item in shown])


@step(
    "terminate-with",
    "an interface whose DeleteOnTermination was set goes with its instance, and its addresses are free",
    "Terminate instances",
)
def terminate_with(bed, check):
    gateway, elastic = bed.left, bed.elastic[0]
    put(bed, gateway.interface, ONE)
    associate(bed, check, elastic, gateway.interface, ONE)
    check.answered(
        "set it",
        bed.ec2.modify_network_interface_attribute,
        NetworkInterfaceId=gateway.interface,
        Attachment={
            "AttachmentId": bed.described(gateway.interface)["Attachment"]["AttachmentId"],
            "DeleteOnTermination": True,
        },
    )
    check.answered("terminate", bed.ec2.terminate_instances, InstanceIds=[gateway.instance])
    bed.wait("it is terminated", lambda: bed.state(gateway.instance) in ("terminated", ""))
    check.shows("interface is there", False, lambda: bed.described(gateway.interface) is not None)
    check.shows("its Elastic IP", None, lambda: bed.target(elastic))
    spare = bed.spare()
    check.answered(
        "assign its address", bed.ec2.assign_private_ip_addresses,
        NetworkInterfaceId=spare, PrivateIpAddresses=[ONE],
    )  # fmt: skip
