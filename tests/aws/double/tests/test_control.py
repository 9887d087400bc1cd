"""The control API itself, and the account behind it."""

import json
import threading
import urllib.error
import urllib.request

import boto3
import pytest
from conftest import refused


def test_calls_are_listed_with_parameters_and_results(net, double):
    eni = net.eni()
    double.post("calls/reset")
    net.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.50"])
    with refused("InvalidParameterValue"):
        net.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.1"])
    net.ec2.describe_addresses()
    told = double.get("calls")
    assert told["total"] == 3
    assert told["by_action"] == {"AssignPrivateIpAddresses": 2, "DescribeAddresses": 1}
    assert told["by_result"] == {"OK": 2, "InvalidParameterValue": 1}
    first, second, third = told["calls"]
    assert first["parameters"] == {"NetworkInterfaceId": eni, "PrivateIpAddress.1": "10.0.1.50"}
    assert first["region"] == "eu-central-1" and first["result"] == "OK"
    assert second["result"] == "InvalidParameterValue"
    assert 0 < first["time"] <= second["time"] <= third["time"] <= told["now"]
    assert double.get("calls?action=DescribeAddresses")["total"] == 1


def test_state_has_what_a_router_needs(net, double):
    instance = net.instance(PrivateIpAddress="10.0.1.40")
    eni = instance["NetworkInterfaces"][0]["NetworkInterfaceId"]
    net.ec2.assign_private_ip_addresses(NetworkInterfaceId=eni, PrivateIpAddresses=["10.0.1.50"])
    ipv6 = net.ec2.assign_ipv6_addresses(NetworkInterfaceId=eni, Ipv6AddressCount=1)
    eip, free = net.elastic(pool="shop"), net.elastic()
    association = net.ec2.associate_address(
        AllocationId=eip["AllocationId"], NetworkInterfaceId=eni, PrivateIpAddress="10.0.1.50"
    )["AssociationId"]
    net.ec2.stop_instances(InstanceIds=[instance["InstanceId"]])
    (interface,) = double.get("state")["enis"]
    assert interface == {
        "id": eni,
        "mac": instance["NetworkInterfaces"][0]["MacAddress"],
        "region": "eu-central-1",
        "vpc": net.vpc,
        "subnet": net.subnet_a,
        "cidr": "10.0.1.0/24",
        "zone": "eu-central-1a",
        "status": "in-use",
        "source_dest_check": True,
        "instance": instance["InstanceId"],
        "instance_state": "stopped",
        "device_index": 0,
        "private": [
            {"ip": "10.0.1.40", "primary": True, "public": None, "allocation": None, "association": None},
            {"ip": "10.0.1.50", "primary": False, "public": eip["PublicIp"],
             "allocation": eip["AllocationId"], "association": association},
        ],
        "prefixes": [],
        "ipv6": ipv6["AssignedIpv6Addresses"],
        "ipv6_prefixes": [],
    }  # fmt: skip
    held, idle = double.get("state?region=eu-central-1")["eips"]
    assert held["eni"] == eni and held["private_ip"] == "10.0.1.50" and held["tags"] == {"pool": "shop"}
    assert idle["allocation"] == free["AllocationId"] and idle["eni"] is None
    assert double.get("state?region=us-east-1")["eips"] == []


def test_state_can_be_waited_for(ec2, double):
    version = double.get("state")["version"]
    seen = {}

    def wait():
        seen.update(double.get(f"state?after={version}&timeout=30"))

    waiting = threading.Thread(target=wait)
    waiting.start()
    ec2.allocate_address()
    waiting.join(timeout=20)
    assert seen["version"] != version and len(seen["eips"]) == 1


def test_refused_calls_and_descriptions_are_no_news(ec2, double):
    version = double.get("state")["version"]
    ec2.describe_addresses()
    with refused("InvalidAllocationID.NotFound"):
        ec2.release_address(AllocationId="eipalloc-0123456789abcdef0")
    assert double.get(f"state?after={version}&timeout=0.1")["version"] == version


def test_reset_forgets_everything(net, double):
    net.instance()
    net.elastic()
    double.post("quota", addresses=50)
    double.post("throttle", next=5)
    double.post("policy", allow=[])
    double.post("reset")
    assert double.get("calls")["total"] == 0 and double.get("state")["enis"] == []
    assert net.ec2.describe_addresses()["Addresses"] == []
    for _ in range(5):
        net.elastic()
    with refused("AddressLimitExceeded"):
        net.elastic()


def test_clear_forgets_the_faults_and_keeps_the_account(ec2, double):
    ec2.allocate_address()
    double.post("throttle", next=5)
    double.post("clear")
    assert len(ec2.describe_addresses()["Addresses"]) == 1
    assert double.get("faults")["throttles"] == []


def test_same_seed_gives_the_same_ids(ec2, double):
    ids = []
    for seed in (1, 1, 2):
        double.post("reset", seed=seed)
        ids.append(ec2.allocate_address()["AllocationId"])
    assert ids[0] == ids[1] != ids[2]


def test_regions_have_their_own_addresses(double):
    double.client("eu-central-1").allocate_address()
    assert double.client("us-east-1").describe_addresses()["Addresses"] == []


@pytest.mark.parametrize(
    "path, body, field",
    [
        ("lag", {"second": 1}, "second"),
        ("lag", {"seconds": "1"}, "seconds"),
        ("lag", {"seconds": 1, "reads": 1}, "reads"),
        ("throttle", {"next": True}, "next"),
        ("throttle", {"actions": "DescribeAddresses"}, "actions"),
        ("fail", {"after": 1}, "after"),
        ("policy", {"allow": "ec2:*"}, "allow"),
        ("quota", {"adresses": 1}, "adresses"),
        ("reset", {"sed": 1}, "sed"),
    ],
)
def test_control_request_with_a_mistake_names_the_field_and_does_nothing(double, path, body, field):
    before = double.get("faults")
    request = urllib.request.Request(
        f"{double.url}/egret/{path}", data=json.dumps(body).encode(), method="POST"
    )
    with pytest.raises(urllib.error.HTTPError) as seen:
        urllib.request.urlopen(request, timeout=10)
    assert seen.value.code == 400 and field in json.load(seen.value)["error"]
    assert double.get("faults") == before


def test_unknown_control_path_is_not_found(double):
    with pytest.raises(urllib.error.HTTPError) as seen:
        double.post("nonsense")
    assert seen.value.code == 404


def test_role_of_a_service_account_can_be_assumed_on_the_same_endpoint(double):
    sts = boto3.client(
        "sts",
        region_name="eu-central-1",
        endpoint_url=double.url,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="example",
    )
    assumed = sts.assume_role_with_web_identity(
        RoleArn="arn:aws:iam::123456789012:role/egret",
        RoleSessionName="egret",
        WebIdentityToken="token",
    )
    assert assumed["Credentials"]["SessionToken"]
    assert double.get("calls")["total"] == 0, "only calls of EC2 count"
