"""Removes what runs have made: by tag, and nothing else."""

import time
from dataclasses import dataclass, field
from typing import Any, Callable

from .check import OK, ask

# On everything that a run makes; the value is the run's id.
TAG = "egret.dev/conformance"

# The answers that say that something else has to go first, or is still going.
_LATER = ("DependencyViolation", "InvalidNetworkInterface.InUse", "InvalidParameterValue", "IncorrectState",
          "InvalidIPAddress.InUse", "OperationNotPermitted")  # fmt: skip


@dataclass
class Found:
    """What has the tag, by kind, in the order in which it can go."""

    instances: list[str] = field(default_factory=list)
    elastic: list[dict[str, Any]] = field(default_factory=list)
    interfaces: list[dict[str, Any]] = field(default_factory=list)
    groups: list[str] = field(default_factory=list)
    tables: list[dict[str, Any]] = field(default_factory=list)
    gateways: list[dict[str, Any]] = field(default_factory=list)
    subnets: list[str] = field(default_factory=list)
    vpcs: list[str] = field(default_factory=list)

    def lines(self) -> list[str]:
        """A line for each kind."""
        ids = {
            "instances": self.instances,
            "Elastic IPs": [item["AllocationId"] for item in self.elastic],
            "network interfaces": [item["NetworkInterfaceId"] for item in self.interfaces],
            "security groups": self.groups,
            "route tables": [item["RouteTableId"] for item in self.tables],
            "internet gateways": [item["InternetGatewayId"] for item in self.gateways],
            "subnets": self.subnets,
            "VPCs": self.vpcs,
        }
        return [f"{kind}: {' '.join(found)}" for kind, found in ids.items() if found]


def find(ec2: Any, run: str | None) -> Found:
    """What the run has made, or every run in this region where `run` is None."""
    filters = [{"Name": f"tag:{TAG}", "Values": [run]} if run else {"Name": "tag-key", "Values": [TAG]}]

    def every(action: str, key: str) -> list[dict[str, Any]]:
        pages = ec2.get_paginator(action).paginate(Filters=filters)
        return [item for page in pages for item in page[key]]

    reservations = every("describe_instances", "Reservations")
    return Found(
        instances=[
            instance["InstanceId"]
            for reservation in reservations
            for instance in reservation["Instances"]
            if instance["State"]["Name"] != "terminated"
        ],
        elastic=ec2.describe_addresses(Filters=filters)["Addresses"],
        interfaces=every("describe_network_interfaces", "NetworkInterfaces"),
        groups=[item["GroupId"] for item in every("describe_security_groups", "SecurityGroups")],
        tables=every("describe_route_tables", "RouteTables"),
        gateways=every("describe_internet_gateways", "InternetGateways"),
        subnets=[item["SubnetId"] for item in every("describe_subnets", "Subnets")],
        vpcs=[item["VpcId"] for item in every("describe_vpcs", "Vpcs")],
    )


def _remove_once(ec2: Any, found: Found) -> list[str]:
    """Tries everything; returns what EC2 said against it."""
    trouble = []

    def do(name: str, call: Callable[..., Any], **parameters: Any) -> None:
        answer = ask(call, **parameters)
        gone = answer.code == OK or answer.code.endswith((".NotFound", ".NotAttached"))
        if not gone:
            trouble.append(f"{name}: {answer}")

    if found.instances:
        do("instances", ec2.terminate_instances, InstanceIds=found.instances)
    for item in found.elastic:
        if item.get("AssociationId"):
            do(item["AllocationId"], ec2.disassociate_address, AssociationId=item["AssociationId"])
        do(item["AllocationId"], ec2.release_address, AllocationId=item["AllocationId"])
    for item in found.interfaces:
        attachment = item.get("Attachment") or {}
        if attachment.get("AttachmentId") and attachment.get("DeviceIndex") != 0:
            do(item["NetworkInterfaceId"], ec2.detach_network_interface,
               AttachmentId=attachment["AttachmentId"], Force=True)  # fmt: skip
        do(item["NetworkInterfaceId"], ec2.delete_network_interface,
           NetworkInterfaceId=item["NetworkInterfaceId"])  # fmt: skip
    for group in found.groups:
        do(group, ec2.delete_security_group, GroupId=group)
    for item in found.tables:
        for association in item["Associations"]:
            if not association.get("Main"):
                do(item["RouteTableId"], ec2.disassociate_route_table,
                   AssociationId=association["RouteTableAssociationId"])  # fmt: skip
        do(item["RouteTableId"], ec2.delete_route_table, RouteTableId=item["RouteTableId"])
    for item in found.gateways:
        for attachment in item["Attachments"]:
            do(item["InternetGatewayId"], ec2.detach_internet_gateway,
               InternetGatewayId=item["InternetGatewayId"], VpcId=attachment["VpcId"])  # fmt: skip
        do(item["InternetGatewayId"], ec2.delete_internet_gateway,
           InternetGatewayId=item["InternetGatewayId"])  # fmt: skip
    for subnet in found.subnets:
        do(subnet, ec2.delete_subnet, SubnetId=subnet)
    for vpc in found.vpcs:
        do(vpc, ec2.delete_vpc, VpcId=vpc)
    return trouble


def sweep(ec2: Any, run: str | None, seconds: float) -> list[str]:
    """Removes it all, waiting for what has to go first. Empty, or what is left and why."""
    deadline, pause = time.monotonic() + seconds, 0.2
    while True:
        found = find(ec2, run)
        left = found.lines()
        if not left:
            return []
        trouble = _remove_once(ec2, found)
        final = [text for text in trouble if not any(code in text for code in _LATER)]
        if time.monotonic() > deadline or (final and time.monotonic() > deadline - seconds / 2):
            return [*left, *trouble]
        time.sleep(pause)
        pause = min(pause * 2, 10)
