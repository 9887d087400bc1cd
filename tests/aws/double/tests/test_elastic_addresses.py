"""AllocateAddress, AssociateAddress, DisassociateAddress, ReleaseAddress."""

import threading

import pytest
from botocore.exceptions import ClientError
from conftest import refused


@pytest.fixture
def eni(net):
    eni = net.eni()
    net.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.50", "10.0.1.51"]
    )
    return eni


def associate(net, eip, eni, private=None, **more):
    if private:
        more["PrivateIpAddress"] = private
    answer = net.ec2.associate_address(
        AllocationId=eip["AllocationId"], NetworkInterfaceId=eni, **more
    )
    return answer["AssociationId"]


def told(net, eip):
    return net.ec2.describe_addresses(AllocationIds=[eip["AllocationId"]])["Addresses"][0]


def test_association_is_with_the_private_address_that_was_named(net, eni):
    eip = net.elastic()
    associate(net, eip, eni, "10.0.1.50")
    assert net.public(eni) == {"10.0.1.50": eip["PublicIp"]}
    assert told(net, eip)["PrivateIpAddress"] == "10.0.1.50"
    assert "Association" not in net.described(eni), "the primary address has none"


def test_association_without_a_private_address_is_with_the_primary_one(net, eni):
    eip = net.elastic()
    associate(net, eip, eni)
    primary = net.private(eni)[0]
    assert net.public(eni) == {primary: eip["PublicIp"]}
    assert net.described(eni)["Association"]["PublicIp"] == eip["PublicIp"]


def test_private_address_that_the_interface_lacks_is_refused(net, eni):
    with refused("InvalidParameterValue"):
        associate(net, net.elastic(), eni, "10.0.1.99")


def test_description_of_an_association_is_complete(net, eni):
    eip = net.elastic()
    association = associate(net, eip, eni, "10.0.1.50")
    item = next(i for i in net.described(eni)["PrivateIpAddresses"] if "Association" in i)
    assert item["Association"]["AllocationId"] == eip["AllocationId"]
    assert item["Association"]["AssociationId"] == association
    assert item["Association"]["IpOwnerId"] == "123456789012"
    address = told(net, eip)
    assert address["AssociationId"] == association
    assert address["InstanceId"] == net.described(eni)["Attachment"]["InstanceId"]
    assert address["NetworkInterfaceId"] == eni
    assert address["NetworkInterfaceOwnerId"] == "123456789012"
    instance = net.ec2.describe_instances(InstanceIds=[address["InstanceId"]])
    items = instance["Reservations"][0]["Instances"][0]["NetworkInterfaces"][0]["PrivateIpAddresses"]
    assert [i["Association"]["PublicIp"] for i in items if "Association" in i] == [eip["PublicIp"]]


def test_two_elastic_ips_on_one_interface_keep_apart(net, eni):
    first, second = net.elastic(), net.elastic()
    associate(net, first, eni, "10.0.1.50")
    associate(net, second, eni, "10.0.1.51")
    assert net.public(eni) == {"10.0.1.50": first["PublicIp"], "10.0.1.51": second["PublicIp"]}


def test_same_association_again_is_no_error_and_keeps_its_id(net, eni):
    eip = net.elastic()
    first = associate(net, eip, eni, "10.0.1.50", AllowReassociation=False)
    assert associate(net, eip, eni, "10.0.1.50", AllowReassociation=False) == first


@pytest.mark.parametrize("more", [{}, {"AllowReassociation": True}])
def test_reassociation_is_automatic_and_has_a_new_id(net, eni, more):
    eip, other = net.elastic(), net.eni(net.subnet_b)
    first = associate(net, eip, eni, "10.0.1.50")
    second = associate(net, eip, other, **more)
    assert first != second
    assert net.public(eni) == {} and list(net.public(other).values()) == [eip["PublicIp"]]


def test_reassociation_is_refused_when_told_so(net, eni):
    eip, other = net.elastic(), net.eni()
    association = associate(net, eip, eni, "10.0.1.50")
    for target, private in ((other, None), (eni, "10.0.1.51")):
        with refused("Resource.AlreadyAssociated", association):
            associate(net, eip, target, private, AllowReassociation=False)
    assert net.public(eni) == {"10.0.1.50": eip["PublicIp"]}


def test_elastic_ip_displaces_another_one_of_the_same_private_address(net, eni):
    first, second = net.elastic(), net.elastic()
    associate(net, first, eni, "10.0.1.50")
    associate(net, second, eni, "10.0.1.50")
    assert net.public(eni) == {"10.0.1.50": second["PublicIp"]}
    assert "AssociationId" not in told(net, first), "it stays allocated, without an association"


def test_instance_with_one_interface_can_be_the_target(net):
    instance = net.instance()
    eip = net.elastic()
    net.ec2.associate_address(AllocationId=eip["AllocationId"], InstanceId=instance["InstanceId"])
    assert told(net, eip)["PrivateIpAddress"] == instance["PrivateIpAddress"]


def test_instance_with_two_interfaces_cannot_be_the_target(net):
    instance = net.instance()
    second = net.ec2.create_network_interface(SubnetId=net.subnet_a)["NetworkInterface"]
    net.ec2.attach_network_interface(
        NetworkInterfaceId=second["NetworkInterfaceId"],
        InstanceId=instance["InstanceId"],
        DeviceIndex=1,
    )
    with refused("InvalidInstanceID", "multiple interfaces"):
        net.ec2.associate_address(
            AllocationId=net.elastic()["AllocationId"], InstanceId=instance["InstanceId"]
        )


def test_elastic_ip_of_a_detached_interface_stays_with_it(net):
    instance = net.instance()
    second = net.ec2.create_network_interface(SubnetId=net.subnet_a)["NetworkInterface"]
    eni = second["NetworkInterfaceId"]
    attachment = net.ec2.attach_network_interface(
        NetworkInterfaceId=eni, InstanceId=instance["InstanceId"], DeviceIndex=1
    )["AttachmentId"]
    eip = net.elastic()
    associate(net, eip, eni)
    net.ec2.detach_network_interface(AttachmentId=attachment)
    assert told(net, eip)["NetworkInterfaceId"] == eni and "InstanceId" not in told(net, eip)


def test_stale_association_id_is_not_found(net, eni):
    eip = net.elastic()
    stale = associate(net, eip, eni, "10.0.1.50")
    associate(net, eip, eni, "10.0.1.51")
    with refused("InvalidAssociationID.NotFound"):
        net.ec2.disassociate_address(AssociationId=stale)
    assert net.public(eni) == {"10.0.1.51": eip["PublicIp"]}


def test_disassociation_leaves_the_private_address(net, eni):
    eip = net.elastic()
    net.ec2.disassociate_address(AssociationId=associate(net, eip, eni, "10.0.1.50"))
    assert net.public(eni) == {} and "10.0.1.50" in net.private(eni)
    assert "PrivateIpAddress" not in told(net, eip)


def test_associated_address_cannot_be_released(net, eni):
    eip = net.elastic()
    association = associate(net, eip, eni)
    with refused("InvalidIPAddress.InUse"):
        net.ec2.release_address(AllocationId=eip["AllocationId"])
    net.ec2.disassociate_address(AssociationId=association)
    net.ec2.release_address(AllocationId=eip["AllocationId"])
    with refused("InvalidAllocationID.NotFound"):
        told(net, eip)


def test_quota_is_five_unless_it_is_raised(net, double):
    for _ in range(5):
        net.elastic()
    with refused("AddressLimitExceeded"):
        net.elastic()
    double.post("quota", addresses=6)
    net.elastic()


def test_elastic_ips_can_be_sent_from_and_are_unlike(net):
    addresses = {net.elastic()["PublicIp"] for _ in range(5)}
    assert len(addresses) == 5 and all(ip.startswith("203.0.113.") for ip in addresses)


def test_released_address_can_be_recovered(net):
    eip = net.elastic()
    net.ec2.release_address(AllocationId=eip["AllocationId"])
    assert net.ec2.allocate_address(Address=eip["PublicIp"])["PublicIp"] == eip["PublicIp"]
    with refused("InvalidAddress.NotFound"):
        net.ec2.allocate_address(Address=eip["PublicIp"])


def test_association_needs_one_address_and_one_target(net, eni):
    eip = net.elastic()["AllocationId"]
    with refused("MissingParameter"):
        net.ec2.associate_address(NetworkInterfaceId=eni)
    with refused("MissingParameter"):
        net.ec2.associate_address(AllocationId=eip)
    instance = net.described(eni)["Attachment"]["InstanceId"]
    with refused("InvalidParameterCombination"):
        net.ec2.associate_address(AllocationId=eip, NetworkInterfaceId=eni, InstanceId=instance)


def test_of_two_associations_at_once_one_is_left(net):
    eip = net.elastic()
    enis = [net.eni() for _ in range(4)]
    results = []
    start = threading.Barrier(len(enis))

    def race(target):
        start.wait()
        try:
            results.append(associate(net, eip, target, AllowReassociation=False))
        except ClientError as error:
            results.append(error.response["Error"]["Code"])

    threads = [threading.Thread(target=race, args=[eni]) for eni in enis]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results)[:3] == ["Resource.AlreadyAssociated"] * 3
    assert sum(len(net.public(eni)) for eni in enis) == 1
    assert told(net, eip)["AssociationId"] in results
