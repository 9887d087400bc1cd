"""Every test has a new account on one server, and boto3 as a client that knows nothing of the double."""

import functools
import json
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Iterator

import boto3
import pytest
from botocore.config import Config
from botocore.exceptions import ClientError

ROOT = Path(__file__).resolve().parent.parent


@dataclass
class Double:
    url: str

    def control(self, method: str, path: str, **fields: Any) -> dict[str, Any]:
        data = json.dumps(fields).encode() if method == "POST" else None
        request = urllib.request.Request(f"{self.url}/egret/{path}", data=data, method=method)
        with urllib.request.urlopen(request, timeout=40) as answer:
            return json.load(answer)

    def post(self, path: str, **fields: Any) -> dict[str, Any]:
        return self.control("POST", path, **fields)

    def get(self, path: str) -> dict[str, Any]:
        return self.control("GET", path)

    def client(self, region: str = "eu-central-1") -> Any:
        return _client(self.url, region)


@functools.cache
def _client(url: str, region: str) -> Any:
    """Without retries, so that a test sees every answer, and without checks of its own."""
    return boto3.client(
        "ec2",
        region_name=region,
        endpoint_url=url,
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="example",
        config=Config(retries={"total_max_attempts": 1}, parameter_validation=False),
    )


@pytest.fixture(scope="session")
def server() -> Iterator[Double]:
    command = [sys.executable, "-m", "egret_ec2", "--listen", "127.0.0.1:0", "--until-eof"]
    process = subprocess.Popen(
        command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    )
    line = process.stdout.readline()
    assert line.startswith("listening on http://"), f"the double did not start: {line!r}"
    yield Double(line.split()[-1])
    process.stdin.close()
    assert process.wait(timeout=10) == 0


@pytest.fixture
def double(server: Double) -> Double:
    server.post("reset")
    return server


@pytest.fixture
def ec2(double: Double) -> Any:
    return double.client()


@dataclass
class Network:
    """A VPC with a subnet in each of two zones, 10.0.1.0/24 and 10.0.2.0/24, with IPv6."""

    ec2: Any
    vpc: str
    subnet_a: str
    subnet_b: str

    def instance(self, subnet: str | None = None, kind: str = "m5.large", **more: Any) -> dict[str, Any]:
        launched = self.ec2.run_instances(
            ImageId="ami-12c6146b",
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            **({"SubnetId": subnet or self.subnet_a} if "NetworkInterfaces" not in more else {}),
            **more,
        )
        return launched["Instances"][0]

    def eni(self, subnet: str | None = None, kind: str = "m5.large", **more: Any) -> str:
        """The primary interface of a new instance."""
        return self.instance(subnet, kind, **more)["NetworkInterfaces"][0]["NetworkInterfaceId"]

    def described(self, eni: str) -> dict[str, Any]:
        found = self.ec2.describe_network_interfaces(NetworkInterfaceIds=[eni])
        return found["NetworkInterfaces"][0]

    def private(self, eni: str) -> list[str]:
        return [item["PrivateIpAddress"] for item in self.described(eni)["PrivateIpAddresses"]]

    def public(self, eni: str) -> dict[str, str]:
        """Private address to Elastic IP."""
        return {
            item["PrivateIpAddress"]: item["Association"]["PublicIp"]
            for item in self.described(eni)["PrivateIpAddresses"]
            if "Association" in item
        }

    def elastic(self, **tags: str) -> dict[str, str]:
        spec = [{"Key": key, "Value": value} for key, value in tags.items()]
        more = {"TagSpecifications": [{"ResourceType": "elastic-ip", "Tags": spec}]} if spec else {}
        return self.ec2.allocate_address(Domain="vpc", **more)


@pytest.fixture
def net(ec2: Any) -> Network:
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]["VpcId"]
    block = ec2.describe_vpcs(VpcIds=[vpc])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"][0]["Ipv6CidrBlock"]
    base = block.removesuffix("00::/56")
    subnets = [
        ec2.create_subnet(
            VpcId=vpc,
            CidrBlock=f"10.0.{number}.0/24",
            Ipv6CidrBlock=f"{base}0{number}::/64",
            AvailabilityZone=f"eu-central-1{zone}",
        )["Subnet"]["SubnetId"]
        for number, zone in ((1, "a"), (2, "b"))
    ]
    return Network(ec2, vpc, *subnets)


def refused(code: str, text: str = "") -> Any:
    """`with refused(code):` the call inside is refused with exactly that code."""
    return _Refused(code, text)


class _Refused:
    def __init__(self, code: str, text: str) -> None:
        self._code, self._text = code, text

    def __enter__(self) -> "_Refused":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        assert isinstance(error, ClientError), f"expected {self._code}, got {error!r}"
        assert error.response["Error"]["Code"] == self._code, error.response["Error"]
        assert self._text in error.response["Error"]["Message"], error.response["Error"]
        self.error = error
        return True
