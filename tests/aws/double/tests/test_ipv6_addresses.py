"""AssignIpv6Addresses and UnassignIpv6Addresses."""

import ipaddress

import pytest
from conftest import refused


@pytest.fixture
def block(net):
    subnet = net.ec2.describe_subnets(SubnetIds=[net.subnet_a])["Subnets"][0]
    return ipaddress.ip_network(subnet["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"])


def assign(net, eni, *addresses):
    return net.ec2.assign_ipv6_addresses(
        NetworkInterfaceId=eni, Ipv6Addresses=[str(address) for address in addresses]
    )


def held(net, eni):
    return [item["Ipv6Address"] for item in net.described(eni)["Ipv6Addresses"]]


def test_answer_lists_only_the_addresses_of_the_request(net, block):
    eni = net.eni()
    assign(net, eni, block[100])
    assert assign(net, eni, block[101])["AssignedIpv6Addresses"] == [str(block[101])]
    assert held(net, eni) == [str(block[100]), str(block[101])]


def test_address_of_another_interface_is_refused_until_it_is_unassigned(net, block):
    first, second = net.eni(), net.eni()
    assign(net, first, block[100])
    with refused("InvalidParameterValue"):
        assign(net, second, block[100])
    answer = net.ec2.unassign_ipv6_addresses(
        NetworkInterfaceId=first, Ipv6Addresses=[str(block[100])]
    )
    assert answer["UnassignedIpv6Addresses"] == [str(block[100])]
    assign(net, second, block[100])
    assert held(net, first) == [] and held(net, second) == [str(block[100])]


def test_other_spelling_is_the_same_address(net, block):
    first, second = net.eni(), net.eni()
    assign(net, first, block[100])
    with refused("InvalidParameterValue"):
        assign(net, second, block[100].exploded.upper())
    assign(net, first, block[100].exploded)
    assert held(net, first) == [str(block[100])]


def test_address_outside_the_subnet_or_reserved_is_refused(net, block):
    eni = net.eni()
    for address in ("fd00::5", "nonsense", "10.0.1.5", block[0], block[3], block[-1]):
        with refused("InvalidParameterValue"):
            assign(net, eni, address)
    assert held(net, eni) == []


def test_nothing_is_assigned_when_one_address_cannot_be(net, block):
    first, second = net.eni(), net.eni()
    assign(net, first, block[100])
    with refused("InvalidParameterValue"):
        assign(net, second, block[101], block[100])
    assert held(net, second) == []


def test_limit_is_that_of_the_instance_type(net, block):
    eni = net.eni(kind="t3.micro")
    assign(net, eni, block[100], block[101])
    with refused("PrivateIpAddressLimitExceeded"):
        assign(net, eni, block[102])


def test_absent_address_cannot_be_unassigned(net, block):
    eni = net.eni()
    with refused("InvalidParameterValue", "not assigned to interface"):
        net.ec2.unassign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6Addresses=[str(block[100])])


def test_counted_addresses_are_chosen_free(net, block):
    first, second = net.eni(), net.eni()
    chosen = []
    for eni in (first, second):
        answer = net.ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6AddressCount=2)
        chosen += answer["AssignedIpv6Addresses"]
    assert len(set(chosen)) == 4 and all(ipaddress.ip_address(ip) in block for ip in chosen)


def test_addresses_of_a_delegated_prefix_are_taken(net, block):
    first, second = net.eni(), net.eni()
    prefix = f"{block[0x10000]}/80".replace("::1:0/80", "::/80")
    net.ec2.assign_ipv6_addresses(NetworkInterfaceId=first, Ipv6Prefixes=[prefix])
    assert net.described(first)["Ipv6Prefixes"] == [{"Ipv6Prefix": prefix}]
    with refused("InvalidParameterValue"):
        assign(net, second, block[100])


def test_creation_refuses_a_taken_address(net, block):
    assign(net, net.eni(), block[100])
    with refused("InvalidIPAddress.InUse"):
        net.ec2.create_network_interface(
            SubnetId=net.subnet_a, Ipv6Addresses=[{"Ipv6Address": str(block[100])}]
        )


def test_address_is_free_when_its_instance_is_terminated(net, block):
    instance = net.instance()
    assign(net, instance["NetworkInterfaces"][0]["NetworkInterfaceId"], block[100])
    net.ec2.terminate_instances(InstanceIds=[instance["InstanceId"]])
    assign(net, net.eni(), block[100])
