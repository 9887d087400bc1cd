"""What the steps work on: a VPC of its own, two instances with a second interface, two Elastic IPs."""

import ipaddress
import time
from dataclasses import dataclass, field
from typing import Any, Callable

from . import probe
from .check import ask
from .cleanup import TAG

# 4 IPv4 and 4 IPv6 addresses per interface, 3 interfaces.
KIND = "t3.small"
PER_INTERFACE = 4
CIDR = "10.83.0.0/16"
# Of probe.py: no step uses them otherwise.
PROBED = ("10.83.1.200", "10.83.1.201")
# The primary addresses of the two instances' interfaces. What EC2 chose could be one that a step wants to assign.
_FIRST = {"left": "10.83.3.10", "right": "10.83.3.11"}
_SECOND = {"left": "10.83.1.10", "right": "10.83.1.11"}
_IMAGE = "al2023-ami-2023.*-kernel-*-x86_64"


@dataclass(frozen=True)
class Elastic:
    allocation: str
    public: str


@dataclass(frozen=True)
class Gateway:
    """An instance with its first interface and the one at device index 1, which the steps use."""

    instance: str
    primary: str
    interface: str


@dataclass
class Bed:
    ec2: Any
    run: str
    # False: a double, in which nothing takes time.
    account: bool
    # Tells a double what to do wrong: path below /egret, fields.
    control: Callable[..., Any]
    vpc: str = ""
    subnets: list[str] = field(default_factory=list)
    zones: list[str] = field(default_factory=list)
    # The IPv6 ranges of the subnets.
    sixes_of: list[Any] = field(default_factory=list)
    group: str = ""
    closed_group: str = ""
    image: str = ""
    launch: dict[str, Any] = field(default_factory=dict)
    left: Gateway = Gateway("", "", "")
    right: Gateway = Gateway("", "", "")
    elastic: list[Elastic] = field(default_factory=list)
    _spares: list[str] = field(default_factory=list)
    _made: int = 0

    def tags(self, *kinds: str, **more: str) -> dict[str, Any]:
        """TagSpecifications with the run's id, and others."""
        tags = [{"Key": TAG, "Value": self.run}, {"Key": "Name", "Value": "egret-conformance"}]
        tags += [{"Key": key, "Value": value} for key, value in more.items()]
        return {"TagSpecifications": [{"ResourceType": kind, "Tags": tags} for kind in kinds]}

    def wait(self, what: str, ready: Callable[[], Any], seconds: float = 300) -> Any:
        """What `ready` returns once it is true."""
        deadline, pause = time.monotonic() + seconds, 0.05
        while True:
            found = ready()
            if found:
                return found
            if time.monotonic() > deadline:
                raise TimeoutError(f"{what}: not within {seconds:.0f} s")
            time.sleep(pause)
            pause = min(pause * 1.5, 5.0)

    def sure(self, call: Callable[..., Any], **parameters: Any) -> Any:
        """Makes a call about something that was just made, which EC2 may not know yet."""
        deadline = time.monotonic() + (30 if self.account else 0)
        while True:
            try:
                return call(**parameters)
            except self.ec2.exceptions.ClientError as error:
                if not error.response["Error"]["Code"].endswith(".NotFound") or time.monotonic() > deadline:
                    raise
            time.sleep(1)

    # What is where, as EC2 says.

    def described(self, interface: str) -> dict[str, Any] | None:
        """None: it is not shown."""
        filters = [{"Name": "network-interface-id", "Values": [interface]}]
        found = self.ec2.describe_network_interfaces(Filters=filters)["NetworkInterfaces"]
        return found[0] if found else None

    def primary_of(self, interface: str) -> str:
        return self.described(interface)["PrivateIpAddress"]

    def secondaries(self, interface: str) -> list[str]:
        items = (self.described(interface) or {}).get("PrivateIpAddresses", [])
        return sorted(item["PrivateIpAddress"] for item in items if not item.get("Primary"))

    def sixes(self, interface: str) -> list[str]:
        items = (self.described(interface) or {}).get("Ipv6Addresses", [])
        return sorted(item["Ipv6Address"] for item in items)

    def public(self, interface: str) -> dict[str, str]:
        """Private address to Elastic IP, as the interface shows it."""
        items = (self.described(interface) or {}).get("PrivateIpAddresses", [])
        ours = {elastic.public for elastic in self.elastic}
        return {
            item["PrivateIpAddress"]: item["Association"]["PublicIp"]
            for item in items
            if item.get("Association", {}).get("PublicIp") in ours
        }

    def address(self, elastic: Elastic) -> dict[str, Any]:
        return self.ec2.describe_addresses(AllocationIds=[elastic.allocation])["Addresses"][0]

    def target(self, elastic: Elastic) -> tuple[str, str] | None:
        """Interface and private address, as the Elastic IP shows them."""
        found = self.address(elastic)
        if not found.get("AssociationId"):
            return None
        return found.get("NetworkInterfaceId", ""), found.get("PrivateIpAddress", "")

    # What steps make and leave.

    def spare(self, subnet: int = 0, **more: Any) -> str:
        """A network interface for this step alone, attached to nothing."""
        if subnet < 2:
            # Chosen by EC2 it could be one that a step wants to assign.
            self._made += 1
            more = {"PrivateIpAddress": f"10.83.{subnet + 1}.{120 + self._made % 60}", **more}
        made = self.ec2.create_network_interface(
            SubnetId=self.subnets[subnet],
            Groups=[self.group],
            Description="egret-conformance",
            **{**self.tags("network-interface"), **more},
        )["NetworkInterface"]["NetworkInterfaceId"]
        self._spares.append(made)
        self.wait(f"{made} shows", lambda: self.described(made))
        return made

    def allocate(self) -> Elastic:
        made = self.ec2.allocate_address(Domain="vpc", **self.tags("elastic-ip"))
        return Elastic(made["AllocationId"], made["PublicIp"])

    def keep(self, *interfaces: str) -> None:
        """Interfaces that a step has made itself: deleted after it."""
        self._spares.extend(interfaces)

    def six(self, number: int) -> str:
        """An IPv6 address of the first subnet."""
        return str(self.sixes_of[0][number])

    def clear(self) -> None:
        """As before the step: no secondary address, no association, no interface of its own."""
        self.wait("the interfaces and Elastic IPs are as at first", self._cleared, 120 if self.account else 10)
        while self._spares:
            # What does not go now goes with the run.
            ask(self.ec2.delete_network_interface, NetworkInterfaceId=self._spares.pop())

    def _cleared(self) -> bool:
        """Whether reads show it; where not, makes the calls for it."""
        ids = [elastic.allocation for elastic in self.elastic]
        taken = [
            address["AssociationId"]
            for address in self.ec2.describe_addresses(AllocationIds=ids)["Addresses"]
            if address.get("AssociationId")
        ]
        ours = [{"Name": "network-interface-id", "Values": [self.left.interface, self.right.interface]}]
        found = self.ec2.describe_network_interfaces(Filters=ours)["NetworkInterfaces"]
        try:
            for association in taken:
                self.ec2.disassociate_address(AssociationId=association)
            # Whether there was nothing to do on any of them.
            return all([self._emptied(interface) for interface in found]) and not taken
        except self.ec2.exceptions.ClientError:
            # The read was old, or something else has done it: the next one tells.
            return False

    def _emptied(self, found: dict[str, Any]) -> bool:
        interface = found["NetworkInterfaceId"]
        private = [item["PrivateIpAddress"] for item in found["PrivateIpAddresses"] if not item.get("Primary")]
        blocks = [item["Ipv4Prefix"] for item in found.get("Ipv4Prefixes", [])]
        sixes = [item["Ipv6Address"] for item in found.get("Ipv6Addresses", [])]
        if private:
            self.ec2.unassign_private_ip_addresses(NetworkInterfaceId=interface, PrivateIpAddresses=private)
        if blocks:
            self.ec2.unassign_private_ip_addresses(NetworkInterfaceId=interface, Ipv4Prefixes=blocks)
        if sixes:
            self.ec2.unassign_ipv6_addresses(NetworkInterfaceId=interface, Ipv6Addresses=sixes)
        return not (private or blocks or sixes)

    # What the run makes.

    def build(self) -> None:
        """Makes it all, tagged. Where it fails, `cleanup.sweep` removes what is there."""
        self._network()
        self._groups()
        self.elastic = [self.allocate(), self.allocate()]
        self.image = self._newest_image()
        self.left, self.right = self._gateway("left"), self._gateway("right")

    def _network(self) -> None:
        ec2 = self.ec2
        self.zones = self._two_zones()
        self.vpc = ec2.create_vpc(CidrBlock=CIDR, AmazonProvidedIpv6CidrBlock=True, **self.tags("vpc"))["Vpc"]["VpcId"]
        ranges = ipaddress.ip_network(self.wait("the VPC's IPv6 range", self._range)).subnets(new_prefix=64)
        self.sixes_of = [next(ranges) for _ in range(3)]
        for number, zone in enumerate([self.zones[0], self.zones[1], self.zones[0]], 1):
            made = self.sure(
                ec2.create_subnet,
                VpcId=self.vpc,
                CidrBlock=f"10.83.{number}.0/24",
                Ipv6CidrBlock=str(self.sixes_of[number - 1]),
                AvailabilityZone=zone,
                **self.tags("subnet"),
            )
            self.subnets.append(made["Subnet"]["SubnetId"])
        gateway = ec2.create_internet_gateway(**self.tags("internet-gateway"))["InternetGateway"]["InternetGatewayId"]
        self.sure(ec2.attach_internet_gateway, InternetGatewayId=gateway, VpcId=self.vpc)
        table = ec2.create_route_table(VpcId=self.vpc, **self.tags("route-table"))["RouteTable"]["RouteTableId"]
        self.sure(ec2.create_route, RouteTableId=table, DestinationCidrBlock="0.0.0.0/0", GatewayId=gateway)
        for subnet in self.subnets:
            self.sure(ec2.associate_route_table, RouteTableId=table, SubnetId=subnet)

    def _two_zones(self) -> list[str]:
        found = self.ec2.describe_availability_zones(Filters=[{"Name": "zone-type", "Values": ["availability-zone"]}])
        here = {zone["ZoneName"] for zone in found["AvailabilityZones"]}
        offered = self.ec2.describe_instance_type_offerings(
            LocationType="availability-zone", Filters=[{"Name": "instance-type", "Values": [KIND]}]
        )
        zones = sorted(here & {offer["Location"] for offer in offered["InstanceTypeOfferings"]})
        if len(zones) < 2:
            raise RuntimeError(f"fewer than two zones of this region have {KIND}: choose another region")
        return zones[:2]

    def _range(self) -> str:
        found = self.ec2.describe_vpcs(Filters=[{"Name": "vpc-id", "Values": [self.vpc]}])["Vpcs"]
        ranges = [
            item["Ipv6CidrBlock"]
            for vpc in found
            for item in vpc.get("Ipv6CidrBlockAssociationSet", [])
            if item["Ipv6CidrBlockState"]["State"] == "associated"
        ]
        return ranges[0] if ranges else ""

    def _groups(self) -> None:
        """One that lets everything in, whose flows are untracked; one that lets nothing in."""

        def made(name: str) -> str:
            return self.ec2.create_security_group(
                GroupName=f"egret-conformance-{name}-{self.run}",
                Description="egret-conformance",
                VpcId=self.vpc,
                **self.tags("security-group"),
            )["GroupId"]

        self.group, self.closed_group = made("open"), made("closed")
        anywhere = [{"CidrIp": "0.0.0.0/0"}]
        self.sure(
            self.ec2.authorize_security_group_ingress,
            GroupId=self.group,
            IpPermissions=[{"IpProtocol": "-1", "IpRanges": anywhere}],
        )

    def _newest_image(self) -> str:
        if not self.account:
            return self.ec2.describe_images()["Images"][0]["ImageId"]
        images = self.ec2.describe_images(
            Owners=["amazon"],
            Filters=[{"Name": "name", "Values": [_IMAGE]}, {"Name": "state", "Values": ["available"]}],
        )["Images"]
        if not images:
            raise RuntimeError(f"this region has no image {_IMAGE} of Amazon")
        return max(images, key=lambda image: image["CreationDate"])["ImageId"]

    def _gateway(self, name: str) -> Gateway:
        """Its first interface is in the third subnet, so that packets to the second one are routed."""
        second = self.sure(
            self.ec2.create_network_interface,
            SubnetId=self.subnets[0],
            PrivateIpAddress=_SECOND[name],
            Groups=[self.group],
            Description="egret-conformance",
            **self.tags("network-interface"),
        )["NetworkInterface"]
        user_data = probe.user_data(
            {
                "mac": second["MacAddress"],
                "address": _SECOND[name],
                "router": "10.83.1.1",
                "private": list(PROBED),
                "public": self.elastic[0].public,
                "sender": _FIRST["left"],
                "sends": name == "left",
            }
        )
        request = {
            "ImageId": self.image,
            "InstanceType": KIND,
            "MinCount": 1,
            "MaxCount": 1,
            "ClientToken": f"egret-{self.run}-{name}",
            "UserData": user_data if self.account else "",
            # It ends by itself, whatever becomes of this script.
            "InstanceInitiatedShutdownBehavior": "terminate",
            "NetworkInterfaces": [
                {
                    "DeviceIndex": 0,
                    "SubnetId": self.subnets[2],
                    "Groups": [self.closed_group],
                    "PrivateIpAddress": _FIRST[name],
                    "AssociatePublicIpAddress": name == "left",
                }
            ],
            **self.tags("instance", "network-interface", "volume"),
        }
        made = self.sure(self.ec2.run_instances, **request)["Instances"][0]
        self.launch[name] = request
        self.wait(f"{made['InstanceId']} runs", lambda: self.state(made["InstanceId"]) == "running")
        interface = second["NetworkInterfaceId"]
        self.sure(
            self.ec2.attach_network_interface,
            NetworkInterfaceId=interface,
            InstanceId=made["InstanceId"],
            DeviceIndex=1,
        )
        self.wait(f"{interface} is attached", lambda: (self.described(interface) or {}).get("Attachment"))
        return Gateway(made["InstanceId"], made["NetworkInterfaces"][0]["NetworkInterfaceId"], interface)

    def state(self, instance: str) -> str:
        """Empty: it is not shown."""
        found = self.instance(instance)
        return found["State"]["Name"] if found else ""

    def instance(self, instance: str) -> dict[str, Any] | None:
        filters = [{"Name": "instance-id", "Values": [instance]}]
        reservations = self.ec2.describe_instances(Filters=filters)["Reservations"]
        return reservations[0]["Instances"][0] if reservations else None
