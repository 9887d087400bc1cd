"""Filters, pages and lookups of the Describe* calls."""

import pytest
from botocore.exceptions import ClientError
from conftest import refused


@pytest.fixture
def eni(net):
    eni = net.eni(PrivateIpAddress="10.0.1.40")
    net.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.50"])
    net.ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6AddressCount=1)
    net.ec2.create_tags(Resources=[eni], Tags=[{"Key": "egret.dev/gateway", "Value": "true"}])
    eip = net.elastic(pool="shop")
    net.ec2.associate_address(
        AllocationId=eip["AllocationId"], NetworkInterfaceId=eni, PrivateIpAddress="10.0.1.50"
    )
    net.eni(net.subnet_b)
    return eni


def enis(net, name, *values):
    found = net.ec2.describe_network_interfaces(Filters=[{"Name": name, "Values": list(values)}])
    return [item["NetworkInterfaceId"] for item in found["NetworkInterfaces"]]


def test_interfaces_are_found_by_every_filter_that_a_provider_uses(net, eni):
    told = net.described(eni)
    assert told["TagSet"] == [{"Key": "egret.dev/gateway", "Value": "true"}]
    second = next(i for i in told["PrivateIpAddresses"] if "Association" in i)
    for name, value in {
        "addresses.private-ip-address": "10.0.1.50",
        "private-ip-address": "10.0.1.50",
        "addresses.association.public-ip": second["Association"]["PublicIp"],
        "association.public-ip": second["Association"]["PublicIp"],
        "association.allocation-id": second["Association"]["AllocationId"],
        "association.association-id": second["Association"]["AssociationId"],
        "attachment.instance-id": told["Attachment"]["InstanceId"],
        "attachment.attachment-id": told["Attachment"]["AttachmentId"],
        "ipv6-addresses.ipv6-address": told["Ipv6Addresses"][0]["Ipv6Address"],
        "mac-address": told["MacAddress"],
        "network-interface-id": eni,
        "subnet-id": net.subnet_a,
        "availability-zone": "eu-central-1a",
        "tag:egret.dev/gateway": "true",
        "tag-key": "egret.dev/*",
    }.items():
        assert enis(net, name, value) == [eni], name
        assert enis(net, name, "no-such-value", value) == [eni], name
        assert enis(net, name, "no-such-value") == [], name
    for name, value in {"attachment.device-index": "0", "attachment.status": "attached",
                        "status": "in-use", "vpc-id": net.vpc, "addresses.primary": "true",
                        "source-dest-check": "true"}.items():  # fmt: skip
        assert len(enis(net, name, value)) == 2, name


def test_filters_are_all_needed_and_values_know_wildcards(net, eni):
    both = [
        {"Name": "subnet-id", "Values": [net.subnet_b]},
        {"Name": "network-interface-id", "Values": [eni]},
    ]
    assert net.ec2.describe_network_interfaces(Filters=both)["NetworkInterfaces"] == []
    assert enis(net, "addresses.private-ip-address", "10.0.1.5?") == [eni]
    assert enis(net, "addresses.private-ip-address", "10.0.1.*") == [eni]
    assert enis(net, "addresses.private-ip-address", "10.0.1.5\\?") == []


@pytest.mark.parametrize(
    "call",
    [
        "describe_network_interfaces",
        "describe_addresses",
        "describe_instances",
        "describe_subnets",
        "describe_vpcs",
        "describe_instance_types",
    ],
)
def test_filter_that_does_not_exist_is_an_error_of_ec2(net, call):
    with refused("InvalidParameterValue", "no-such-filter"):
        getattr(net.ec2, call)(Filters=[{"Name": "no-such-filter", "Values": ["1"]}])


def test_filter_has_at_most_200_values(net, eni):
    assert enis(net, "network-interface-id", eni, *(f"eni-{n:08x}" for n in range(199))) == [eni]
    with refused("FilterLimitExceeded"):
        enis(net, "network-interface-id", eni, *(f"eni-{n:08x}" for n in range(200)))


def test_addresses_are_found_by_every_filter(net, eni):
    other = net.elastic(pool="bank")
    address = next(a for a in net.ec2.describe_addresses()["Addresses"] if "AssociationId" in a)
    for name, value in {
        "tag:pool": "shop",
        "allocation-id": address["AllocationId"],
        "association-id": address["AssociationId"],
        "public-ip": address["PublicIp"],
        "private-ip-address": "10.0.1.50",
        "network-interface-id": eni,
        "instance-id": address["InstanceId"],
        "network-interface-owner-id": "123456789012",
    }.items():
        found = net.ec2.describe_addresses(Filters=[{"Name": name, "Values": [value]}])["Addresses"]
        assert [one["PublicIp"] for one in found] == [address["PublicIp"]], name
    for name, value in {"tag-key": "pool", "network-border-group": "eu-central-1"}.items():
        found = net.ec2.describe_addresses(Filters=[{"Name": name, "Values": [value]}])["Addresses"]
        assert len(found) == 2, name
    assert {t["Value"] for t in found[0]["Tags"] + found[1]["Tags"]} == {"shop", "bank"}
    free = net.ec2.describe_addresses(AllocationIds=[other["AllocationId"]])["Addresses"][0]
    assert "InstanceId" not in free and free["NetworkBorderGroup"] == "eu-central-1"


def test_instances_are_found_by_what_their_interfaces_have(net, eni):
    instance = net.described(eni)["Attachment"]["InstanceId"]
    net.ec2.create_tags(Resources=[instance], Tags=[{"Key": "role", "Value": "gateway"}])
    for name, value in {
        "network-interface.addresses.private-ip-address": "10.0.1.50",
        "network-interface.network-interface-id": eni,
        "network-interface.subnet-id": net.subnet_a,
        "private-ip-address": "10.0.1.40",
        "instance-id": instance,
        "subnet-id": net.subnet_a,
        "tag:role": "gateway",
        "availability-zone": "eu-central-1a",
    }.items():
        found = net.ec2.describe_instances(Filters=[{"Name": name, "Values": [value]}])
        ids = [i["InstanceId"] for r in found["Reservations"] for i in r["Instances"]]
        assert ids == [instance], name
    secondary = [{"Name": "private-ip-address", "Values": ["10.0.1.50"]}]
    assert net.ec2.describe_instances(Filters=secondary)["Reservations"] == []


def test_pages_show_everything_once(net):
    expected = {
        net.ec2.create_network_interface(SubnetId=net.subnet_a)["NetworkInterface"]["NetworkInterfaceId"]
        for _ in range(12)
    }
    pages = list(
        net.ec2.get_paginator("describe_network_interfaces").paginate(
            PaginationConfig={"PageSize": 5}
        )
    )
    assert [len(page["NetworkInterfaces"]) for page in pages] == [5, 5, 2]
    assert {i["NetworkInterfaceId"] for page in pages for i in page["NetworkInterfaces"]} == expected


def test_pages_of_instances_and_of_types(net):
    for _ in range(6):
        net.instance()
    pages = net.ec2.get_paginator("describe_instances").paginate(PaginationConfig={"PageSize": 5})
    assert [len(page["Reservations"]) for page in pages] == [5, 1]
    first = net.ec2.describe_instance_types(MaxResults=10)
    assert len(first["InstanceTypes"]) == 10 and first["NextToken"]


@pytest.mark.parametrize("most", [0, 4, 1001])
def test_page_sizes_have_bounds(net, most):
    with refused("InvalidParameterValue", "maxResults"):
        net.ec2.describe_network_interfaces(MaxResults=most)


def test_pages_exclude_ids_and_foreign_tokens(net, eni):
    with refused("InvalidParameterCombination"):
        net.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni], MaxResults=5)
    with refused("InvalidNextToken"):
        net.ec2.describe_network_interfaces(MaxResults=5, NextToken="nonsense")


@pytest.mark.parametrize(
    "call, code",
    [
        (lambda ec2: ec2.describe_instances(InstanceIds=["i-nonsense"]), "InvalidInstanceID.Malformed"),
        (lambda ec2: ec2.describe_instances(InstanceIds=["i-0123456789abcdef0"]), "InvalidInstanceID.NotFound"),
        (lambda ec2: ec2.terminate_instances(InstanceIds=["i-12345678"]), "InvalidInstanceID.NotFound"),
        (lambda ec2: ec2.describe_network_interfaces(NetworkInterfaceIds=["eni-1"]), "InvalidNetworkInterfaceId.Malformed"),
        (lambda ec2: ec2.describe_network_interfaces(NetworkInterfaceIds=["eni-0123456789abcdef0"]), "InvalidNetworkInterfaceID.NotFound"),
        (lambda ec2: ec2.assign_private_ip_addresses(NetworkInterfaceId="nic-1", PrivateIpAddresses=["10.0.1.9"]), "InvalidNetworkInterfaceId.Malformed"),
        (lambda ec2: ec2.assign_private_ip_addresses(NetworkInterfaceId="eni-0123456789abcdef0", PrivateIpAddresses=["10.0.1.9"]), "InvalidNetworkInterfaceID.NotFound"),
        (lambda ec2: ec2.assign_ipv6_addresses(NetworkInterfaceId="eni-0123456789abcdef0", Ipv6AddressCount=1), "InvalidNetworkInterfaceID.NotFound"),
        (lambda ec2: ec2.associate_address(AllocationId="eipalloc-0123456789abcdef0", NetworkInterfaceId="eni-0123456789abcdef0"), "InvalidNetworkInterfaceID.NotFound"),
        (lambda ec2: ec2.describe_addresses(AllocationIds=["eipalloc-0123456789abcdef0"]), "InvalidAllocationID.NotFound"),
        (lambda ec2: ec2.describe_addresses(AllocationIds=["nonsense"]), "InvalidAllocationID.NotFound"),
        (lambda ec2: ec2.describe_addresses(PublicIps=["198.51.100.9"]), "InvalidAddress.NotFound"),
        (lambda ec2: ec2.disassociate_address(AssociationId="eipassoc-0123456789abcdef0"), "InvalidAssociationID.NotFound"),
        (lambda ec2: ec2.release_address(AllocationId="eipalloc-0123456789abcdef0"), "InvalidAllocationID.NotFound"),
        (lambda ec2: ec2.describe_subnets(SubnetIds=["subnet-0123456789abcdef0"]), "InvalidSubnetID.NotFound"),
        (lambda ec2: ec2.describe_vpcs(VpcIds=["vpc-nonsense"]), "InvalidVpcID.Malformed"),
        (lambda ec2: ec2.describe_instance_types(InstanceTypes=["m5.gigantic"]), "InvalidInstanceType"),
    ],
)  # fmt: skip
def test_what_is_malformed_or_missing_has_its_code(ec2, call, code):
    with refused(code):
        call(ec2)


def test_required_parameter_is_asked_for(ec2):
    with refused("MissingParameter", "networkInterfaceId"):
        ec2.assign_private_ip_addresses(PrivateIpAddresses=["10.0.1.9"])


def test_what_the_double_cannot_do_is_an_error_of_ec2(ec2):
    with pytest.raises(ClientError) as seen:
        ec2.reset_network_interface_attribute(NetworkInterfaceId="eni-0123456789abcdef0")
    assert seen.value.response["Error"]["Code"] == "UnsupportedOperation"


def test_dry_run_changes_nothing(net):
    with refused("DryRunOperation"):
        net.ec2.associate_address(
            AllocationId=net.elastic()["AllocationId"], NetworkInterfaceId=net.eni(), DryRun=True
        )
    assert "AssociationId" not in net.ec2.describe_addresses()["Addresses"][0]
