"""The account that the laboratory's cloud begins with, and what people do to it by hand; boto3.

Every verb prints JSON. `build NODES ADDRESSES`: NODES is a list of {name, zone, cidr, address,
gateway, second}, where `second` is null or the range of a subnet and an address there.
"""

import json
import sys

import boto3


GATEWAY = [{"Key": "egret.dev/gateway", "Value": "true"}]


def _second(ec2, instance, subnet, address):
    """Attached while the instance runs, as launch templates do not."""
    eni = ec2.create_network_interface(SubnetId=subnet, PrivateIpAddress=address)
    eni = eni["NetworkInterface"]
    ec2.attach_network_interface(
        NetworkInterfaceId=eni["NetworkInterfaceId"], InstanceId=instance, DeviceIndex=1
    )
    ec2.create_tags(Resources=[eni["NetworkInterfaceId"]], Tags=GATEWAY)
    return eni["MacAddress"]


def build(ec2, nodes, addresses):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16")["Vpc"]["VpcId"]
    image = ec2.describe_images()["Images"][0]["ImageId"]
    subnets, made = {}, {}

    def subnet_of(cidr, zone):
        if cidr not in subnets:
            subnet = ec2.create_subnet(VpcId=vpc, CidrBlock=cidr, AvailabilityZone=zone)
            subnets[cidr] = subnet["Subnet"]["SubnetId"]
        return subnets[cidr]

    for node in json.loads(nodes):
        interface = {
            "DeviceIndex": 0,
            "SubnetId": subnet_of(node["cidr"], node["zone"]),
            "PrivateIpAddress": node["address"],
        }
        instance = ec2.run_instances(
            ImageId=image,
            InstanceType="m5.large",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[interface],
        )["Instances"][0]
        attached = instance["NetworkInterfaces"][0]
        eni = attached["NetworkInterfaceId"]
        second = None
        if node["second"]:
            cidr, address = node["second"]
            subnet = subnet_of(cidr, node["zone"])
            second = _second(ec2, instance["InstanceId"], subnet, address)
        elif node["gateway"]:
            ec2.create_tags(Resources=[eni], Tags=GATEWAY)
        made[node["name"]] = {
            "instance": instance["InstanceId"],
            "interface": eni,
            "mac": attached["MacAddress"],
            "second": second,
        }
    tags = [{"Key": "egret.dev/pool", "Value": "public"}]
    elastic = [
        ec2.allocate_address(
            Domain="vpc", TagSpecifications=[{"ResourceType": "elastic-ip", "Tags": tags}]
        )["PublicIp"]
        for _ in range(int(addresses))
    ]
    return {"nodes": made, "elastic": elastic}


def _of(ec2, public):
    return ec2.describe_addresses(PublicIps=[public])["Addresses"][0]


def assign(ec2, interface, *addresses):
    """With reassignment: takes them away wherever they are."""
    ec2.assign_private_ip_addresses(
        NetworkInterfaceId=interface, PrivateIpAddresses=list(addresses), AllowReassignment=True
    )


def unassign(ec2, interface, *addresses):
    ec2.unassign_private_ip_addresses(
        NetworkInterfaceId=interface, PrivateIpAddresses=list(addresses)
    )


def associate(ec2, public, interface, private):
    ec2.associate_address(
        AllocationId=_of(ec2, public)["AllocationId"],
        NetworkInterfaceId=interface,
        PrivateIpAddress=private,
        AllowReassociation=True,
    )


def disassociate(ec2, public):
    ec2.disassociate_address(AssociationId=_of(ec2, public)["AssociationId"])


def terminate(ec2, instance):
    ec2.terminate_instances(InstanceIds=[instance])


VERBS = (build, assign, unassign, associate, disassociate, terminate)


def main():
    endpoint, verb, *rest = sys.argv[1:]
    ec2 = boto3.client(
        "ec2",
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="none",
    )
    verbs = {function.__name__: function for function in VERBS}
    print(json.dumps(verbs[verb](ec2, *rest)))


main()
