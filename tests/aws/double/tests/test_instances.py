"""RunInstances, TerminateInstances, StopInstances, CreateNetworkInterface, DeleteNetworkInterface."""

import pytest
from conftest import refused


def gone(net, eni):
    with refused("InvalidNetworkInterfaceID.NotFound"):
        net.described(eni)


def terminate(net, instance):
    net.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    found = net.ec2.describe_instances(InstanceIds=[instance["InstanceId"]])
    return found["Reservations"][0]["Instances"][0]


def primary(instance):
    return instance["NetworkInterfaces"][0]["NetworkInterfaceId"]


def test_primary_interface_goes_with_its_instance(net):
    instance = net.instance(PrivateIpAddress="10.0.1.40")
    assert instance["NetworkInterfaces"][0]["Attachment"]["DeleteOnTermination"] is True
    left = terminate(net, instance)
    assert left["State"]["Name"] == "terminated"
    assert not left["NetworkInterfaces"] and "PrivateIpAddress" not in left and "SubnetId" not in left
    gone(net, primary(instance))
    net.instance(PrivateIpAddress="10.0.1.40")


def test_termination_disassociates_elastic_ips_and_frees_secondary_addresses(net):
    instance, other = net.instance(), net.eni()
    eni = primary(instance)
    net.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.50"])
    eip = net.elastic()
    net.ec2.associate_address(
        AllocationId=eip["AllocationId"], NetworkInterfaceId=eni, PrivateIpAddress="10.0.1.50"
    )
    terminate(net, instance)
    address = net.ec2.describe_addresses(AllocationIds=[eip["AllocationId"]])["Addresses"][0]
    assert not {"AssociationId", "InstanceId", "NetworkInterfaceId"} & set(address)
    net.ec2.assign_private_ip_addresses(NetworkInterfaceId=other, PrivateIpAddresses=["10.0.1.50"])


def test_interface_attached_by_call_outlives_its_instance_with_all_it_has(net):
    instance = net.instance()
    created = net.ec2.create_network_interface(SubnetId=net.subnet_a, PrivateIpAddress="10.0.1.60")
    eni = created["NetworkInterface"]["NetworkInterfaceId"]
    net.ec2.attach_network_interface(
        NetworkInterfaceId=eni, InstanceId=instance["InstanceId"], DeviceIndex=1
    )
    eip = net.elastic()
    net.ec2.associate_address(AllocationId=eip["AllocationId"], NetworkInterfaceId=eni)
    terminate(net, instance)
    assert net.described(eni)["Status"] == "available" and "Attachment" not in net.described(eni)
    assert net.public(eni) == {"10.0.1.60": eip["PublicIp"]}


def test_attachment_can_be_told_to_go_with_the_instance(net):
    instance = net.instance()
    created = net.ec2.create_network_interface(SubnetId=net.subnet_a)
    eni = created["NetworkInterface"]["NetworkInterfaceId"]
    attachment = net.ec2.attach_network_interface(
        NetworkInterfaceId=eni, InstanceId=instance["InstanceId"], DeviceIndex=1
    )["AttachmentId"]
    net.ec2.modify_network_interface_attribute(
        NetworkInterfaceId=eni,
        Attachment={"AttachmentId": attachment, "DeleteOnTermination": True},
    )
    terminate(net, instance)
    gone(net, eni)


def test_primary_interface_can_be_told_to_stay(net):
    instance = net.instance(
        NetworkInterfaces=[
            {"DeviceIndex": 0, "SubnetId": net.subnet_a, "DeleteOnTermination": False}
        ]
    )
    terminate(net, instance)
    assert net.described(primary(instance))["Status"] == "available"


def test_terminating_again_is_no_error(net):
    instance = net.instance()
    terminate(net, instance)
    assert terminate(net, instance)["State"]["Name"] == "terminated"


def test_stopped_instance_keeps_interfaces_addresses_and_elastic_ips(net):
    instance = net.instance()
    eni = primary(instance)
    net.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.50"])
    eip = net.elastic()
    net.ec2.associate_address(
        AllocationId=eip["AllocationId"], NetworkInterfaceId=eni, PrivateIpAddress="10.0.1.50"
    )
    net.ec2.stop_instances(InstanceIds=[instance["InstanceId"]])
    assert net.public(eni) == {"10.0.1.50": eip["PublicIp"]}
    assert net.described(eni)["Attachment"]["InstanceId"] == instance["InstanceId"]
    with refused("InvalidParameterValue", "move is not allowed"):
        net.ec2.assign_private_ip_addresses(
            NetworkInterfaceId=net.eni(), PrivateIpAddresses=["10.0.1.50"]
        )


@pytest.mark.parametrize(
    "address, code",
    [
        ("10.0.1.40", "InvalidIPAddress.InUse"),
        ("10.0.2.40", "InvalidParameterValue"),
        ("10.0.1.1", "InvalidParameterValue"),
        ("nonsense", "InvalidParameterValue"),
    ],
)
def test_launch_and_creation_refuse_an_address_that_cannot_be(net, address, code):
    net.instance(PrivateIpAddress="10.0.1.40")
    with refused(code):
        net.instance(PrivateIpAddress=address)
    with refused(code):
        net.ec2.create_network_interface(SubnetId=net.subnet_a, PrivateIpAddress=address)
    found = net.ec2.describe_instances()["Reservations"]
    assert len(found) == 1, "a refused launch leaves nothing"


def test_secondary_addresses_at_creation_are_checked_too(net):
    net.instance(PrivateIpAddress="10.0.1.40")
    with refused("InvalidIPAddress.InUse"):
        net.ec2.create_network_interface(
            SubnetId=net.subnet_a, PrivateIpAddresses=[{"PrivateIpAddress": "10.0.1.40"}]
        )
    created = net.ec2.create_network_interface(
        SubnetId=net.subnet_a,
        PrivateIpAddresses=[
            {"PrivateIpAddress": "10.0.1.70", "Primary": False},
            {"PrivateIpAddress": "10.0.1.71", "Primary": True},
        ],
    )["NetworkInterface"]
    assert created["PrivateIpAddress"] == "10.0.1.71"
    assert net.private(created["NetworkInterfaceId"]) == ["10.0.1.71", "10.0.1.70"]


def test_launch_gives_every_address_of_a_specification(net):
    instance = net.instance(
        NetworkInterfaces=[
            {
                "DeviceIndex": 0,
                "SubnetId": net.subnet_a,
                "PrivateIpAddresses": [
                    {"PrivateIpAddress": "10.0.1.80", "Primary": True},
                    {"PrivateIpAddress": "10.0.1.81", "Primary": False},
                ],
                "Ipv6AddressCount": 1,
            }
        ]
    )
    assert net.private(primary(instance)) == ["10.0.1.80", "10.0.1.81"]
    assert len(net.described(primary(instance))["Ipv6Addresses"]) == 1


def test_interfaces_of_a_launch_get_the_tags_that_are_theirs(net):
    spec = [
        {"ResourceType": kind, "Tags": [{"Key": "kind", "Value": kind}]}
        for kind in ("instance", "network-interface")
    ]
    launched = net.instance(TagSpecifications=spec)
    assert [tag["Value"] for tag in launched["Tags"]] == ["instance"]
    eni = launched["NetworkInterfaces"][0]["NetworkInterfaceId"]
    assert [tag["Value"] for tag in net.described(eni)["TagSet"]] == ["network-interface"]
    # One that was there before keeps its own.
    there = net.ec2.create_network_interface(SubnetId=net.subnet_a)["NetworkInterface"]["NetworkInterfaceId"]
    given = [{"DeviceIndex": 0, "NetworkInterfaceId": there}]
    net.instance(NetworkInterfaces=given, TagSpecifications=spec)
    assert net.described(there)["TagSet"] == []


def test_launch_with_more_addresses_than_the_type_has_is_refused(net):
    many = [{"PrivateIpAddress": f"10.0.1.{n}", "Primary": n == 80} for n in range(80, 83)]
    with refused("InvalidInterface.IpAddressLimitExceeded"):
        net.instance(
            kind="t3.micro",
            NetworkInterfaces=[
                {"DeviceIndex": 0, "SubnetId": net.subnet_a, "PrivateIpAddresses": many}
            ],
        )


def test_unknown_instance_type_is_refused(net):
    with refused("InvalidParameterValue", "m5.gigantic"):
        net.instance(kind="m5.gigantic")
    with refused("InvalidInstanceType"):
        net.ec2.describe_instance_types(InstanceTypes=["m5.gigantic"])


def test_launch_without_a_subnet_takes_a_default_one(ec2):
    launched = ec2.run_instances(
        ImageId="ami-12c6146b", InstanceType="m5.large", MinCount=2, MaxCount=2
    )["Instances"]
    assert all(instance["PrivateIpAddress"].startswith("172.31.") for instance in launched)
    assert launched[0]["PrivateIpAddress"] != launched[1]["PrivateIpAddress"]


def test_chosen_addresses_are_never_reserved_or_taken(net):
    addresses = [net.instance()["PrivateIpAddress"] for _ in range(3)]
    assert addresses == ["10.0.1.4", "10.0.1.5", "10.0.1.6"]


def test_full_subnet_has_no_more_addresses(net):
    subnet = net.ec2.create_subnet(VpcId=net.vpc, CidrBlock="10.0.9.0/28")["Subnet"]["SubnetId"]
    for _ in range(11):
        net.ec2.create_network_interface(SubnetId=subnet)
    with refused("InsufficientFreeAddressesInSubnet"):
        net.ec2.create_network_interface(SubnetId=subnet)


def test_interface_in_use_is_neither_deleted_nor_attached_twice(net):
    first, second = net.instance(), net.instance()
    eni = primary(first)
    with refused("InvalidNetworkInterface.InUse"):
        net.ec2.delete_network_interface(NetworkInterfaceId=eni)
    with refused("InvalidNetworkInterface.InUse"):
        net.ec2.attach_network_interface(
            NetworkInterfaceId=eni, InstanceId=second["InstanceId"], DeviceIndex=1
        )


def test_interface_of_another_zone_cannot_be_attached(net):
    created = net.ec2.create_network_interface(SubnetId=net.subnet_b)["NetworkInterface"]
    with refused("InvalidParameterCombination"):
        net.ec2.attach_network_interface(
            NetworkInterfaceId=created["NetworkInterfaceId"],
            InstanceId=net.instance()["InstanceId"],
            DeviceIndex=1,
        )


def test_deleted_interface_gives_its_elastic_ip_back(net):
    created = net.ec2.create_network_interface(SubnetId=net.subnet_a)["NetworkInterface"]
    eip = net.elastic()
    net.ec2.associate_address(
        AllocationId=eip["AllocationId"], NetworkInterfaceId=created["NetworkInterfaceId"]
    )
    net.ec2.delete_network_interface(NetworkInterfaceId=created["NetworkInterfaceId"])
    address = net.ec2.describe_addresses(AllocationIds=[eip["AllocationId"]])["Addresses"][0]
    assert "AssociationId" not in address
    net.ec2.release_address(AllocationId=eip["AllocationId"])


def test_primary_interface_cannot_be_detached(net):
    instance = net.instance()
    with refused("OperationNotPermitted"):
        net.ec2.detach_network_interface(
            AttachmentId=instance["NetworkInterfaces"][0]["Attachment"]["AttachmentId"]
        )


def test_attachment_respects_the_limits_of_the_instance_type(net):
    micro = net.instance(kind="t3.micro")

    def attach(index, **more):
        created = net.ec2.create_network_interface(SubnetId=net.subnet_a, **more)
        net.ec2.attach_network_interface(
            NetworkInterfaceId=created["NetworkInterface"]["NetworkInterfaceId"],
            InstanceId=micro["InstanceId"],
            DeviceIndex=index,
        )

    with refused("InvalidInterface.IpAddressLimitExceeded"):
        attach(1, SecondaryPrivateIpAddressCount=2)
    attach(1)
    with refused("AttachmentLimitExceeded"):
        attach(2)


def test_terminated_instance_neither_starts_nor_stops_nor_takes_interfaces(net):
    instance = net.instance()
    terminate(net, instance)
    for call in (net.ec2.start_instances, net.ec2.stop_instances):
        with refused("IncorrectInstanceState"):
            call(InstanceIds=[instance["InstanceId"]])
    created = net.ec2.create_network_interface(SubnetId=net.subnet_a)
    with refused("IncorrectInstanceState"):
        net.ec2.attach_network_interface(
            NetworkInterfaceId=created["NetworkInterface"]["NetworkInterfaceId"],
            InstanceId=instance["InstanceId"],
            DeviceIndex=1,
        )
