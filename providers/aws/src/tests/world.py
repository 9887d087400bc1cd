"""The account that the tests work in, made and read back by boto3: a client that is not ours.

build  makes it and prints what is where;
read   prints, as EC2 says it, what every network interface has and where every Elastic IP is.
"""

import json
import sys

import boto3


def client(endpoint):
    return boto3.client(
        "ec2",
        endpoint_url=endpoint,
        region_name="eu-central-1",
        aws_access_key_id="AKIAIOSFODNN7EXAMPLE",
        aws_secret_access_key="none",
    )


def tagged(kind, tags):
    return [{"ResourceType": kind, "Tags": [{"Key": k, "Value": v} for k, v in tags.items()]}]


def build(ec2):
    vpc = ec2.create_vpc(CidrBlock="10.0.0.0/16", AmazonProvidedIpv6CidrBlock=True)["Vpc"]
    sets = ec2.describe_vpcs(VpcIds=[vpc["VpcId"]])["Vpcs"][0]["Ipv6CidrBlockAssociationSet"]
    block = sets[0]["Ipv6CidrBlock"].removesuffix("00::/56")
    zones = {"a": "eu-central-1a", "b": "eu-central-1b"}
    subnets = {
        name: ec2.create_subnet(
            VpcId=vpc["VpcId"],
            CidrBlock=f"10.0.{number}.0/24",
            Ipv6CidrBlock=f"{block}0{number}::/64",
            AvailabilityZone=zone,
        )["Subnet"]["SubnetId"]
        for number, (name, zone) in enumerate(zones.items(), 1)
    }
    image = ec2.describe_images()["Images"][0]["ImageId"]
    nodes, interfaces = {}, {}

    def instance(name, subnet, kind="m5.large", tags=None, description=None):
        made = ec2.run_instances(
            ImageId=image,
            InstanceType=kind,
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[
                {
                    "DeviceIndex": 0,
                    "SubnetId": subnets[subnet],
                    **({"Description": description} if description else {}),
                }
            ],
        )["Instances"][0]
        nodes[name] = f"aws:///{zones[subnet]}/{made['InstanceId']}"
        interfaces[name] = made["NetworkInterfaces"][0]["NetworkInterfaceId"]
        if tags:
            ec2.create_tags(
                Resources=[interfaces[name]], Tags=[{"Key": k, "Value": v} for k, v in tags.items()]
            )
        return made["InstanceId"]

    own = {"egret.dev/gateway": "true"}
    a1 = instance("a1", "a")
    dedicated = ec2.create_network_interface(
        SubnetId=subnets["a"], TagSpecifications=tagged("network-interface", own)
    )["NetworkInterface"]["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=dedicated, InstanceId=a1, DeviceIndex=1)
    interfaces["a1"] = dedicated
    instance("a2", "a", tags=own)
    instance("b1", "b", tags=own)
    instance("b2", "b", tags=own)
    # Two addresses of each family, and has them.
    instance("full", "a", kind="t3.micro")
    ec2.assign_private_ip_addresses(
        NetworkInterfaceId=interfaces["full"], SecondaryPrivateIpAddressCount=1
    )
    ec2.assign_ipv6_addresses(NetworkInterfaceId=interfaces["full"], Ipv6AddressCount=2)
    instance("plain", "a")
    cni = instance("cni", "a")
    second = ec2.create_network_interface(SubnetId=subnets["a"], Description=f"aws-K8S-{cni}")
    second = second["NetworkInterface"]["NetworkInterfaceId"]
    ec2.attach_network_interface(NetworkInterfaceId=second, InstanceId=cni, DeviceIndex=1)
    # Somebody else's machine.
    stranger = instance("stranger", "a")
    elastic = []
    for number in range(4):
        made = ec2.allocate_address(
            Domain="vpc",
            TagSpecifications=tagged("elastic-ip", {"egret.dev/pool": "even" if number % 2 == 0 else "odd"}),
        )
        elastic.append(made["PublicIp"])
    del nodes["stranger"]
    return {
        "nodes": nodes,
        "interfaces": interfaces,
        "stranger": stranger,
        "elastic": elastic,
        "v4": ["10.0.1.60", "10.0.1.61"],
        "v6": [f"{block}01::60", f"{block}01::61"],
    }


def read(ec2):
    found = {"interfaces": {}, "elastic": {}}
    for interface in ec2.describe_network_interfaces()["NetworkInterfaces"]:
        found["interfaces"][interface["NetworkInterfaceId"]] = {
            "secondary": sorted(
                private["PrivateIpAddress"]
                for private in interface["PrivateIpAddresses"]
                if not private["Primary"]
            ),
            "public": {
                private["PrivateIpAddress"]: private["Association"]["PublicIp"]
                for private in interface["PrivateIpAddresses"]
                if "Association" in private
            },
            "ipv6": sorted(entry["Ipv6Address"] for entry in interface["Ipv6Addresses"]),
        }
    for address in ec2.describe_addresses()["Addresses"]:
        found["elastic"][address["PublicIp"]] = {
            "interface": address.get("NetworkInterfaceId"),
            "private": address.get("PrivateIpAddress"),
        }
    return found


def steal(ec2, public, interface):
    """As a person does at the console: onto the primary address."""
    made = ec2.describe_addresses(PublicIps=[public])["Addresses"][0]
    ec2.associate_address(
        AllocationId=made["AllocationId"], NetworkInterfaceId=interface, AllowReassociation=True
    )


def assign(ec2, interface, address):
    ec2.assign_private_ip_addresses(NetworkInterfaceId=interface, PrivateIpAddresses=[address])


def large(ec2, addresses):
    """Gateways l1 and l2 in one subnet, l3 in another zone: two tagged interfaces beside the primary one, each for 30
    addresses; and so many more Elastic IPs."""
    image = ec2.describe_images()["Images"][0]["ImageId"]
    own = {"egret.dev/gateway": "true"}
    found = {}
    for subnet in ec2.describe_subnets()["Subnets"]:
        found[subnet["CidrBlock"]] = subnet
    nodes, interfaces = {}, {}
    for name, block in (("l1", "10.0.1.0/24"), ("l2", "10.0.1.0/24"), ("l3", "10.0.2.0/24")):
        subnet = found[block]["SubnetId"]
        made = ec2.run_instances(
            ImageId=image,
            InstanceType="m5.4xlarge",
            MinCount=1,
            MaxCount=1,
            NetworkInterfaces=[{"DeviceIndex": 0, "SubnetId": subnet}],
        )["Instances"][0]
        nodes[name] = f"aws:///{found[block]['AvailabilityZone']}/{made['InstanceId']}"
        primary = made["NetworkInterfaces"][0]["NetworkInterfaceId"]
        # As a launch template does.
        ec2.create_tags(Resources=[primary], Tags=[{"Key": k, "Value": v} for k, v in own.items()])
        for device in (1, 2):
            second = ec2.create_network_interface(
                SubnetId=subnet, TagSpecifications=tagged("network-interface", own)
            )["NetworkInterface"]["NetworkInterfaceId"]
            ec2.attach_network_interface(
                NetworkInterfaceId=second, InstanceId=made["InstanceId"], DeviceIndex=device
            )
            interfaces[f"{name}-{device}"] = second
    elastic = [ec2.allocate_address(Domain="vpc")["PublicIp"] for _ in range(int(addresses))]
    return {"nodes": nodes, "interfaces": interfaces, "elastic": elastic}


def terminate(ec2, instance):
    ec2.terminate_instances(InstanceIds=[instance])


def main():
    endpoint, verb, *rest = sys.argv[1:]
    verbs = {one.__name__: one for one in (build, read, steal, assign, large, terminate)}
    print(json.dumps(verbs[verb](client(endpoint), *rest)))


if __name__ == "__main__":
    main()
