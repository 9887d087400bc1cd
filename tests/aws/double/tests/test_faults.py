"""Lag, throttling, failures, delays and policies, as the control API asks for them."""

import time

import pytest
from botocore.exceptions import ClientError, ConnectionClosedError
from conftest import refused


def assign(net, eni, *addresses, **more):
    return net.ec2.assign_private_ip_addresses(
        NetworkInterfaceId=eni, PrivateIpAddresses=list(addresses), **more
    )


def test_change_is_hidden_from_as_many_descriptions_as_asked(net, double):
    first, second = net.eni(), net.eni()
    assign(net, first, "10.0.1.50")
    double.post("lag", reads=2)
    assign(net, second, "10.0.1.50", AllowReassignment=True)
    assert "10.0.1.50" in net.private(first)
    assert "10.0.1.50" not in net.private(second)
    assert "10.0.1.50" not in net.private(first)
    assert "10.0.1.50" in net.private(second)


def test_lag_hides_changes_for_its_time_from_every_description(net, double):
    eni = net.eni()
    eip = net.elastic()
    double.post("lag", seconds=2)
    begin = time.monotonic()
    assign(net, eni, "10.0.1.50")
    net.ec2.associate_address(
        AllocationId=eip["AllocationId"], NetworkInterfaceId=eni, PrivateIpAddress="10.0.1.50"
    )
    hidden = (
        "10.0.1.50" not in net.private(eni)
        and "AssociationId" not in net.ec2.describe_addresses()["Addresses"][0]
    )
    assert hidden or time.monotonic() - begin >= 2, "before its time nothing shows"
    deadline = time.monotonic() + 20
    while net.public(eni) != {"10.0.1.50": eip["PublicIp"]}:
        assert time.monotonic() < deadline, "it never showed"
    assert time.monotonic() - begin >= 2


def test_lagging_launch_and_termination(net, double):
    double.post("lag", reads=1)
    instance = net.instance()["InstanceId"]
    with refused("InvalidInstanceID.NotFound"):
        net.ec2.describe_instances(InstanceIds=[instance])
    assert net.ec2.describe_instances(InstanceIds=[instance])["Reservations"]
    net.ec2.terminate_instances(InstanceIds=[instance])
    states = []
    for _ in range(2):
        found = net.ec2.describe_instances(InstanceIds=[instance])["Reservations"][0]["Instances"][0]
        states.append((found["State"]["Name"], len(found["NetworkInterfaces"])))
    assert states == [("running", 1), ("terminated", 0)]


def test_calls_that_change_see_the_present_while_descriptions_lag(net, double):
    first, second = net.eni(), net.eni()
    double.post("lag", seconds=3600)
    assign(net, first, "10.0.1.50")
    with refused("InvalidParameterValue", "move is not allowed"):
        assign(net, second, "10.0.1.50")
    private = [
        item["ip"] for eni in double.get("state")["enis"] if eni["id"] == first for item in eni["private"]
    ]
    assert "10.0.1.50" in private, "the state of the double never lags"
    assert "10.0.1.50" not in net.private(first)
    double.post("lag")
    assert "10.0.1.50" in net.private(first)


def test_random_lag_repeats_with_its_seed(double):
    ec2 = double.client()

    def run():
        double.post("reset", seed=7)
        double.post("lag", seconds=3600, probability=0.5)
        ec2.allocate_address()
        return [len(ec2.describe_addresses()["Addresses"]) for _ in range(24)]

    first = run()
    assert set(first) == {0, 1} and run() == first


def test_torn_lag_shows_a_moved_address_on_both_interfaces_and_on_none(net, double):
    first, second = net.eni(), net.eni()
    assign(net, first, "10.0.1.50")
    double.post("lag", seconds=3600, probability=0.5, torn=True)
    assign(net, second, "10.0.1.50", AllowReassignment=True)
    seen = set()
    for _ in range(60):
        found = net.ec2.describe_network_interfaces(NetworkInterfaceIds=[first, second])
        has = {
            eni["NetworkInterfaceId"]: any(
                item["PrivateIpAddress"] == "10.0.1.50" for item in eni["PrivateIpAddresses"]
            )
            for eni in found["NetworkInterfaces"]
        }
        seen.add((has[first], has[second]))
    assert seen == {(True, False), (False, True), (True, True), (False, False)}
    double.post("lag")
    assert "10.0.1.50" in net.private(second) and "10.0.1.50" not in net.private(first)


def test_lag_may_be_of_some_actions_only(net, double):
    eni = net.eni()
    double.post("lag", seconds=3600, actions=["DescribeAddresses"])
    eip = net.elastic()
    assign(net, eni, "10.0.1.50")
    assert "10.0.1.50" in net.private(eni)
    assert net.ec2.describe_addresses()["Addresses"] == []
    assert eip["PublicIp"]


def test_next_calls_are_throttled(ec2, double):
    double.post("throttle", next=2)
    for _ in range(2):
        with refused("RequestLimitExceeded") as seen:
            ec2.describe_addresses()
        assert seen.error.response["ResponseMetadata"]["HTTPStatusCode"] == 503
    ec2.describe_addresses()


def test_throttling_may_be_of_some_actions_only(ec2, double):
    double.post("throttle", next=1, code="Throttling", actions=["Allocate*"])
    ec2.describe_addresses()
    with refused("Throttling"):
        ec2.allocate_address()
    assert ec2.describe_addresses()["Addresses"] == []


def test_call_fails_before_it_takes_effect(ec2, double):
    double.post("fail", action="AllocateAddress", code="InternalError", message="broken")
    with refused("InternalError", "broken") as seen:
        ec2.allocate_address()
    assert seen.error.response["ResponseMetadata"]["HTTPStatusCode"] == 500
    assert ec2.describe_addresses()["Addresses"] == []
    ec2.allocate_address()


def test_call_fails_after_it_took_effect(ec2, double):
    double.post("fail", action="AllocateAddress", code="Unavailable", after=True, times=2)
    for _ in range(2):
        with refused("Unavailable"):
            ec2.allocate_address()
    assert len(ec2.describe_addresses()["Addresses"]) == 2
    ec2.allocate_address()


@pytest.mark.parametrize("after", [False, True])
def test_connection_is_cut_before_or_after_the_effect(ec2, double, after):
    double.post("fail", action="AllocateAddress", after=after, cut=True)
    with pytest.raises(ConnectionClosedError):
        ec2.allocate_address()
    assert len(ec2.describe_addresses()["Addresses"]) == int(after)


def test_every_third_call_fails_until_it_is_taken_back(ec2, double):
    double.post("quota", addresses=20)
    double.post("fail", action="AllocateAddress", every=3)
    results = []
    for _ in range(7):
        try:
            ec2.allocate_address()
            results.append("OK")
        except ClientError as error:
            results.append(error.response["Error"]["Code"])
    assert results == ["OK", "OK", "InternalError"] * 2 + ["OK"]
    double.post("clear")
    ec2.allocate_address()
    ec2.allocate_address()


def test_failure_after_the_effect_waits_for_a_call_that_has_one(net, double):
    double.post("fail", action="AssignPrivateIpAddresses", code="InternalError", after=True)
    eni = net.eni()
    with refused("InvalidParameterValue"):
        assign(net, eni, "10.0.9.9")
    with refused("InternalError"):
        assign(net, eni, "10.0.1.50")
    assert "10.0.1.50" in net.private(eni)


def test_delayed_call_waits_and_others_do_not(ec2, double):
    double.post("delay", action="AllocateAddress", milliseconds=400, times=1)
    begin = time.monotonic()
    ec2.allocate_address()
    assert time.monotonic() - begin >= 0.4
    assert double.get("faults")["delays"] == []


def test_policy_refuses_what_it_does_not_allow(ec2, double):
    double.post("policy", allow=["ec2:DescribeAddresses", "ec2:Associate*"])
    ec2.describe_addresses()
    with refused("InvalidAllocationID.NotFound"):
        ec2.associate_address(
            AllocationId="eipalloc-1", NetworkInterfaceId="eni-0123456789abcdef0"
        )
    with refused("UnauthorizedOperation", "not authorized to perform: ec2:AllocateAddress") as seen:
        ec2.allocate_address()
    assert seen.error.response["ResponseMetadata"]["HTTPStatusCode"] == 403
    double.post("policy", allow=[])
    with refused("UnauthorizedOperation"):
        ec2.describe_addresses()
    double.post("policy", allow=None)
    ec2.allocate_address()


def test_dry_run_tells_what_a_policy_allows(net, double):
    eni, eip = net.eni(), net.elastic()["AllocationId"]
    double.post("policy", allow=["ec2:DescribeAddresses"])
    with refused("UnauthorizedOperation"):
        net.ec2.associate_address(AllocationId=eip, NetworkInterfaceId=eni, DryRun=True)


def test_retries_of_an_sdk_get_through(double):
    import boto3
    from botocore.config import Config

    client = boto3.client(
        "ec2",
        region_name="eu-central-1",
        endpoint_url=double.url,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="example",
        config=Config(retries={"mode": "standard", "total_max_attempts": 3}),
    )
    double.post("throttle", next=1)
    double.post("fail", action="DescribeAddresses", cut=True)
    client.describe_addresses()
    assert [call["result"] for call in double.get("calls")["calls"]] == [
        "RequestLimitExceeded",
        "(connection cut)",
        "OK",
    ]


def test_unknown_code_of_a_fault_is_passed_on(ec2, double):
    double.post("fail", action="*", code="SomethingNew", message="a < b & c")
    with pytest.raises(ClientError, match="a < b & c"):
        ec2.describe_vpcs()


def test_each_action_has_a_bucket_that_refills(net, double):
    double.post("buckets", scale=0.04)
    for _ in range(4):
        net.ec2.describe_addresses()
    with refused("RequestLimitExceeded"):
        net.ec2.describe_addresses()
    net.ec2.describe_vpcs()
    deadline = time.monotonic() + 20
    while True:
        try:
            net.ec2.describe_addresses()
            break
        except ClientError:
            assert time.monotonic() < deadline, "it never refills"
    double.post("buckets", scale=0)
    for _ in range(8):
        net.ec2.describe_addresses()
