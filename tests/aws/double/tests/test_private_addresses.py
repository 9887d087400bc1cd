"""AssignPrivateIpAddresses and UnassignPrivateIpAddresses."""

import pytest
from conftest import refused


def assign(net, eni, *addresses, **more):
    return net.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=list(addresses), **more
    )


def test_answer_lists_only_the_addresses_of_the_request(net):
    eni = net.eni()
    assign(net, eni, "10.0.1.50")
    answer = assign(net, eni, "10.0.1.51")
    assert [item["PrivateIpAddress"] for item in answer["AssignedPrivateIpAddresses"]] == ["10.0.1.51"]
    assert net.private(eni)[1:] == ["10.0.1.50", "10.0.1.51"]


def test_address_of_another_interface_is_refused_unless_it_may_move(net):
    first, second = net.eni(), net.eni()
    assign(net, first, "10.0.1.50")
    for more in ({}, {"AllowReassignment": False}):
        with refused("InvalidParameterValue", "[10.0.1.50] assigned, but move is not allowed."):
            assign(net, second, "10.0.1.50", **more)
    assert "10.0.1.50" in net.private(first) and "10.0.1.50" not in net.private(second)


def test_address_moves_when_it_may_and_is_then_on_one_interface_only(net):
    first, second = net.eni(), net.eni()
    assign(net, first, "10.0.1.50")
    assign(net, second, "10.0.1.50", AllowReassignment=True)
    assert "10.0.1.50" not in net.private(first) and "10.0.1.50" in net.private(second)


def test_elastic_ip_moves_with_its_address(net):
    first, second = net.eni(), net.eni()
    assign(net, first, "10.0.1.50")
    eip = net.elastic()
    net.ec2.associate_address(
        AllocationId=eip["AllocationId"], NetworkInterfaceId=first, PrivateIpAddress="10.0.1.50"
    )
    assign(net, second, "10.0.1.50", AllowReassignment=True)
    assert net.public(first) == {}
    assert net.public(second) == {"10.0.1.50": eip["PublicIp"]}
    told = net.ec2.describe_addresses(AllocationIds=[eip["AllocationId"]])["Addresses"][0]
    assert told["NetworkInterfaceId"] == second
    assert told["InstanceId"] == net.described(second)["Attachment"]["InstanceId"]


def test_primary_address_of_another_interface_never_moves(net):
    first, second = net.eni(), net.eni()
    with refused("InvalidParameterValue", "secondary-addresses"):
        assign(net, second, net.private(first)[0], AllowReassignment=True)


@pytest.mark.parametrize("address", ["10.0.2.50", "192.168.0.1", "10.0.1.999", "fd00::1"])
def test_address_outside_the_subnet_is_refused(net, address):
    with refused("InvalidParameterValue"):
        assign(net, net.eni(), address)


@pytest.mark.parametrize("last", [0, 1, 2, 3, 255])
def test_reserved_addresses_of_the_subnet_are_refused(net, last):
    with refused("InvalidParameterValue", "reserved"):
        assign(net, net.eni(), f"10.0.1.{last}")


def test_limit_of_the_instance_type_counts_the_primary_address(net):
    eni = net.eni(kind="t3.micro")
    assign(net, eni, "10.0.1.50")
    with refused("PrivateIpAddressLimitExceeded"):
        assign(net, eni, "10.0.1.51")
    assign(net, eni, "10.0.1.50")


def test_limit_counts_delegated_prefixes(net):
    eni = net.eni(kind="m5.large")
    net.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4PrefixCount=5)
    assign(net, eni, *(f"10.0.1.{last}" for last in range(200, 204)))
    with refused("PrivateIpAddressLimitExceeded"):
        assign(net, eni, "10.0.1.204")


def test_nothing_is_assigned_when_one_address_cannot_be(net):
    first, second = net.eni(), net.eni()
    assign(net, first, "10.0.1.50")
    with refused("InvalidParameterValue"):
        assign(net, second, "10.0.1.51", "10.0.1.50")
    assert len(net.private(second)) == 1
    with refused("InvalidParameterValue"):
        assign(net, second, "10.0.1.50", "10.0.1.1", AllowReassignment=True)
    assert "10.0.1.50" in net.private(first)


def test_same_address_again_is_no_error(net):
    eni = net.eni()
    assign(net, eni, "10.0.1.50")
    assign(net, eni, "10.0.1.50")
    assert net.private(eni).count("10.0.1.50") == 1


def test_counted_addresses_are_chosen_free(net):
    eni = net.eni()
    answer = net.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, SecondaryPrivateIpAddressCount=3
    )
    chosen = [item["PrivateIpAddress"] for item in answer["AssignedPrivateIpAddresses"]]
    assert len(set(chosen)) == 3 and net.private(eni)[1:] == chosen


def test_counted_addresses_avoid_a_cidr_reservation(net):
    net.ec2.create_subnet_cidr_reservation(
        SubnetId=net.subnet_a, Cidr="10.0.1.0/28", ReservationType="explicit"
    )
    eni = net.eni()
    assert net.private(eni) == ["10.0.1.16"]
    assign(net, eni, "10.0.1.5")


def test_prefix_is_described_and_its_addresses_are_taken(net):
    first, second = net.eni(), net.eni()
    answer = net.ec2.assign_private_ip_addresses(NetworkInterfaceId=first, Ipv4Prefixes=["10.0.1.64/28"])
    assert answer["AssignedIpv4Prefixes"] == [{"Ipv4Prefix": "10.0.1.64/28"}]
    assert net.described(first)["Ipv4Prefixes"] == [{"Ipv4Prefix": "10.0.1.64/28"}]
    for eni in (first, second):
        with refused("InvalidParameterValue"):
            assign(net, eni, "10.0.1.70", AllowReassignment=True)
    with refused("InvalidParameterValue"):
        net.ec2.assign_private_ip_addresses(NetworkInterfaceId=second, Ipv4Prefixes=["10.0.1.64/28"])
    net.ec2.unassign_private_ip_addresses(NetworkInterfaceId=first, Ipv4Prefixes=["10.0.1.64/28"])
    assign(net, second, "10.0.1.70")


def test_only_one_kind_may_be_asked_for(net):
    eni = net.eni()
    with refused("InvalidParameterCombination"):
        assign(net, eni, "10.0.1.50", SecondaryPrivateIpAddressCount=1)
    with refused("MissingParameter"):
        net.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni)


def test_address_that_is_not_there_cannot_be_unassigned(net):
    eni = net.eni()
    assign(net, eni, "10.0.1.50")
    with refused("InvalidParameterValue", "not assigned to interface"):
        net.ec2.unassign_private_ip_addresses(
            NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.50", "10.0.1.51"]
        )
    assert "10.0.1.50" in net.private(eni)


def test_primary_address_cannot_be_unassigned(net):
    eni = net.eni()
    with refused("InvalidParameterValue", "primary"):
        net.ec2.unassign_private_ip_addresses(
            NetworkInterfaceId=eni, PrivateIpAddresses=net.private(eni)
        )
    assert len(net.private(eni)) == 1


def test_unassigned_address_loses_its_elastic_ip_and_is_free(net):
    first, second = net.eni(), net.eni()
    assign(net, first, "10.0.1.50")
    eip = net.elastic()
    net.ec2.associate_address(
        AllocationId=eip["AllocationId"], NetworkInterfaceId=first, PrivateIpAddress="10.0.1.50"
    )
    net.ec2.unassign_private_ip_addresses(NetworkInterfaceId=first, PrivateIpAddresses=["10.0.1.50"])
    told = net.ec2.describe_addresses(AllocationIds=[eip["AllocationId"]])["Addresses"][0]
    assert "AssociationId" not in told and "NetworkInterfaceId" not in told
    assign(net, second, "10.0.1.50")


def test_free_addresses_of_the_subnet_are_counted(net):
    eni = net.eni()
    assign(net, eni, "10.0.1.50", "10.0.1.51")
    net.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, Ipv4PrefixCount=1)
    subnet = net.ec2.describe_subnets(SubnetIds=[net.subnet_a])["Subnets"][0]
    assert subnet["AvailableIpAddressCount"] == 256 - 5 - 3 - 16
