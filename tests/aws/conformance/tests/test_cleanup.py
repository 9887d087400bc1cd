"""A run removes what it made, however it ends, and nothing else."""

import json
import signal
import subprocess
import sys
import time

import pytest

from conftest import AWS, SCRIPT
from egret_conformance import cleanup, cli, run
from egret_conformance.bed import KIND

TAG = "egret.dev/conformance"


def everything(ec2):
    """The ids of all that is there, with terminated instances left out."""
    reservations = ec2.describe_instances()["Reservations"]
    kinds = (
        ("describe_network_interfaces", "NetworkInterfaces", "NetworkInterfaceId"),
        ("describe_addresses", "Addresses", "AllocationId"),
        ("describe_vpcs", "Vpcs", "VpcId"),
        ("describe_subnets", "Subnets", "SubnetId"),
        ("describe_security_groups", "SecurityGroups", "GroupId"),
        ("describe_route_tables", "RouteTables", "RouteTableId"),
        ("describe_internet_gateways", "InternetGateways", "InternetGatewayId"),
    )
    found = {
        instance["InstanceId"]
        for reservation in reservations
        for instance in reservation["Instances"]
        if instance["State"]["Name"] != "terminated"
    }
    for call, key, name in kinds:
        found |= {item[name] for item in getattr(ec2, call)()[key]}
    return found


@pytest.fixture
def others(double):
    """Somebody else's things, one with a tag of a run's name and another key."""
    ec2 = double.ec2()
    vpc = ec2.create_vpc(CidrBlock="10.83.0.0/16")["Vpc"]["VpcId"]
    subnet = ec2.create_subnet(VpcId=vpc, CidrBlock="10.83.1.0/24")["Subnet"]["SubnetId"]
    tags = [{"ResourceType": "elastic-ip", "Tags": [{"Key": "Name", "Value": "egret-conformance"}]}]
    ec2.allocate_address(Domain="vpc", TagSpecifications=tags)
    ec2.run_instances(ImageId="ami-12c6146b", MinCount=1, MaxCount=1, SubnetId=subnet)
    return everything(ec2)


def test_a_run_leaves_what_was_there(double, others):
    report = double.run("--only", "assign-moves", "--only", "terminate", "--only", "reservation")
    assert report.status == 0, report.out + report.err
    assert everything(double.ec2()) == others


@pytest.mark.parametrize(
    "action", ["CreateVpc", "CreateRouteTable", "AllocateAddress", "RunInstances", "AttachNetworkInterface"]
)
def test_a_run_that_cannot_be_built_is_cleaned_up(double, others, action):
    double.control("fail", action=action, code="UnauthorizedOperation", times=9)
    report = double.run("--only", "assign-moves")
    assert report.status == 2 and "UnauthorizedOperation" in report.err, report.out + report.err
    assert everything(double.ec2()) == others


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_run_that_is_stopped_is_cleaned_up(double, others, number):
    double.control("delay", action="AssignPrivateIpAddresses", milliseconds=300)
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--endpoint-url", double.url],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        # As at a terminal: what runs in the background of a script ignores it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    for line in process.stdout:
        if line.startswith("ok"):
            break
    assert everything(double.ec2()) > others
    process.send_signal(number)
    out, err = process.communicate(timeout=60)
    assert process.returncode == 2 and "not carried out in full" in err, out + err
    assert everything(double.ec2()) == others


def test_the_time_limit_ends_a_run(double, others, monkeypatch, capsys):
    limited = run.limited
    monkeypatch.setattr(run, "limited", lambda seconds: limited(seconds // 60))
    double.control("delay", action="AssignPrivateIpAddresses", milliseconds=700)
    assert cli.main(["--endpoint-url", double.url, "--time-limit", "2"]) == 2
    assert "time limit" in capsys.readouterr().err
    assert everything(double.ec2()) == others


def test_what_cannot_be_removed_is_named_with_the_remedy_and_removed_later(double, others):
    double.control("fail", action="DeleteSubnet", code="DependencyViolation", times=99)
    report = double.run("--only", "assign-moves")
    assert report.status == 2
    assert "subnets: subnet-" in report.err and "DependencyViolation" in report.err, report.err
    assert "--cleanup --run " in report.err
    double.clear()
    report = double.run("--cleanup")
    assert report.status == 0 and report.out.endswith("removed\n"), report.out + report.err
    assert everything(double.ec2()) == others
    assert "nothing has the tag" in double.run("--cleanup").out


def test_cleanup_of_one_run_leaves_another(double):
    ec2 = double.ec2()
    for run in ("one", "two"):
        tags = [{"ResourceType": "elastic-ip", "Tags": [{"Key": TAG, "Value": run}]}]
        ec2.allocate_address(Domain="vpc", TagSpecifications=tags)
    assert double.run("--cleanup", "--run", "one").status == 0
    left = ec2.describe_addresses()["Addresses"]
    assert [tag["Value"] for address in left for tag in address["Tags"]] == ["two"]


def test_policy_allows_what_a_run_calls_and_nothing_else(conforming):
    policy = json.loads((AWS / "conformance" / "policy.json").read_text())
    allowed = [action.removeprefix("ec2:") for statement in policy["Statement"] for action in statement["Action"]]
    # Tags are part of other calls, and no double is asked for a console.
    assert sorted(allowed) == sorted(conforming.calls.keys() | {"CreateTags", "GetConsoleOutput"})
    by_name = {statement["Sid"]: statement for statement in policy["Statement"]}
    made = {action.removeprefix("ec2:") for name in ("Make", "Launch") for action in by_name[name]["Action"]}
    assert set(by_name["TagWhatIsMade"]["Condition"]["StringEquals"]["ec2:CreateAction"]) == made
    assert by_name["Launch"]["Condition"]["StringEqualsIfExists"]["ec2:InstanceType"] == KIND


def test_everything_that_a_run_makes_has_its_tag(double):
    """Asked while it runs: by the tag all of it is found."""
    before = everything(double.ec2())
    double.control("delay", action="StopInstances", milliseconds=10000)
    process = subprocess.Popen(
        [sys.executable, str(SCRIPT), "--endpoint-url", double.url, "--only", "stop-keeps"], stdout=subprocess.PIPE
    )
    deadline = time.monotonic() + 60
    while time.monotonic() < deadline:
        if double.control("calls?action=AssociateAddress")["total"]:
            break
        time.sleep(0.05)
    ec2 = double.ec2()
    found = cleanup.find(ec2, None)
    ids = {*found.instances, *found.groups, *found.subnets, *found.vpcs}
    ids |= {item["AllocationId"] for item in found.elastic}
    ids |= {item["NetworkInterfaceId"] for item in found.interfaces}
    ids |= {item["RouteTableId"] for item in found.tables} | {item["InternetGatewayId"] for item in found.gateways}
    made = everything(ec2) - before
    process.communicate(timeout=60)
    # EC2 makes a route table and a security group of its own with a VPC, and removes them with it.
    own = {one for one in made - ids if one.startswith(("rtb-", "sg-"))}
    assert made - ids == own and len(own) == 2
    assert process.returncode == 0
