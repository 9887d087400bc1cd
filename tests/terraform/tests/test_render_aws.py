"""What terraform/aws makes of its variables, and which it refuses with what sentence."""

import json

import pytest
import yaml

from egret_terraform import CHART, aws, objects, render

OIDC = "arn:aws:iam::111122223333:oidc-provider/oidc.eks.eu-central-1.amazonaws.com/id/ABC"
INTERFACE = {"subnet_id": "subnet-1", "security_group_ids": ["sg-1"]}
ATTACHED = INTERFACE | {"instance_id": "i-1"}
GROUP = INTERFACE | {
    "egress_security_group_ids": ["sg-2"],
    "image_id": "ami-1",
    "instance_profile_name": "gateway",
    "user_data": "#!/bin/sh",
}
POOL = {"existing_allocation_ids": ["eipalloc-0a"]}
RANGE = {"subnet_id": "subnet-1", "cidr_block": "10.0.0.64/27"}

REFUSED = {
    "a cluster's name": ({"cluster_name": "a b"}, "cluster_name: begin with a letter or a digit"),
    "a name": ({"name": "x" * 51}, "name: use 1 to 50 letters"),
    "tags of Egret": ({"tags": {"egret.dev/pool": "x"}}, "tags: take out the keys that begin with egret.dev/"),
    "a namespace": ({"namespace": "Egret"}, "namespace: give a name that Kubernetes accepts"),
    "a service account": ({"service_account": "a_b"}, "service_account: give a name that Kubernetes accepts"),
    "an issuer's URL": ({"irsa_oidc_provider_arn": "https://oidc.example/id/1"}, "not the URL of the issuer"),
    "two roles": (
        {"irsa_oidc_provider_arn": OIDC, "pod_identity": {"eks_cluster_name": "prod"}},
        "irsa_oidc_provider_arn, pod_identity: give one of them",
    ),
    "a scope": ({"interface_scope": "vpc"}, "interface_scope: say Tags or Vpc"),
    "a scope without its VPC": ({"interface_scope": "Vpc"}, 'vpc_id: give it with interface_scope = "Vpc"'),
    "a security group without its VPC": ({"create_gateway_security_group": True}, "or create_gateway_security_group"),
    "a VPC without its scope": ({"vpc_id": "vpc-1"}, 'vpc_id: give it with interface_scope = "Vpc"'),
    "a pool's name": ({"pools": {"Public": {"elastic_ips": 1}}}, "pools: each key is the name of an EgressPool"),
    "no addresses": ({"pools": {"public": {}}}, "pools: give each one elastic_ips, existing_allocation_ids or"),
    "half an address": (
        {"pools": {"public": {"elastic_ips": 1.5}}},
        "pools: elastic_ips is a whole number from 0 to 1000",
    ),
    "an address for its id": (
        {"pools": {"public": {"existing_allocation_ids": ["203.0.113.9"]}}},
        "pools: existing_allocation_ids has allocations such as",
    ),
    "every Elastic IP": ({"pools": {"public": POOL | {"existing_tags": {}}}}, "pools: existing_tags has at least one"),
    "Elastic IPs of Egret": (
        {"pools": {"public": POOL | {"existing_tags": {"egret.dev/pool": "x"}}}},
        "none that begins with egret.dev/",
    ),
    "a port": ({"tunnel_port": 0}, "tunnel_port: give a port, 1 to 65535"),
    "one port for both": ({"peers_port": 5480}, "peers_port: give a port, 1 to 65535, other than tunnel_port"),
    "a range": (
        {"subnet_cidr_reservations": {"a": RANGE | {"cidr_block": "10.0.0.64"}}},
        "cidr_block is a range such as 10.0.0.64/27",
    ),
    "no security group": (
        {"gateway_interfaces": {"a": INTERFACE | {"security_group_ids": []}}},
        "name at least one of security_group_ids",
    ),
    "the first interface": (
        {"gateway_interfaces": {"a": INTERFACE | {"device_index": 0}}},
        "device_index is 1 or more",
    ),
    "no device index": ({"gateway_interfaces": {"a": ATTACHED}}, "give its instance_type, of which the last"),
    "a device index twice": (
        {"gateway_interfaces": dict.fromkeys("ab", ATTACHED | {"device_index": 1})},
        "gateway_interfaces: two interfaces of one instance have the same device index",
    ),
    "no egress interface": (
        {"gateway_groups": {"a": GROUP | {"egress_interfaces": 0}}},
        "gateway_groups: egress_interfaces is a whole number from 1",
    ),
    "a group's name": ({"gateway_groups": {"a b": GROUP}}, "gateway_groups: each key is a part of names"),
    "a group without security groups": (
        {"gateway_groups": {"a": GROUP | {"security_group_ids": []}}},
        "gateway_groups: name at least one of security_group_ids",
    ),
    "a group's second interface without them": (
        {"gateway_groups": {"a": GROUP | {"egress_security_group_ids": []}}},
        "gateway_groups: name at least one of security_group_ids, and of egress_security_group_ids",
    ),
    "an empty group": ({"gateway_groups": {"a": GROUP | {"size": 0}}}, "gateway_groups: size is a whole number from 1"),
    "a group of no cluster": (
        {"gateway_groups": {"a": GROUP | {"user_data": None}}},
        "gateway_groups: give eks_cluster, or to each group the user_data",
    ),
    "no label": ({"gateway_node_labels": {}}, "gateway_node_labels: give at least one"),
    "a pods' range": ({"pod_cidrs": ["10.0.0.0"]}, "pod_cidrs: give ranges such as 10.0.0.0/16"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused(case):
    variables, sentence = REFUSED[case]
    with pytest.raises(render.Refused) as refused:
        made(variables)
    assert sentence in str(refused.value)


def made(variables: dict) -> dict:
    return render.render(aws.MODULE, variables)


def conditions(values: dict) -> dict:
    return {s["Sid"]: (s["Resource"], s["Condition"]) for s in json.loads(values["policy"])["Statement"]}


def test_interfaces_and_addresses_are_those_of_the_cluster():
    found = conditions(made({}))
    tags = {"ec2:ResourceTag/egret.dev/cluster": "prod"}
    gateway = {"StringEquals": tags | {"ec2:ResourceTag/egret.dev/gateway": "true"}}
    arn = "arn:aws:ec2:eu-central-1:111122223333:"
    assert found == {
        "Read": ("*", {"StringEquals": {"ec2:Region": "eu-central-1"}}),
        "PrivateAddresses": (f"{arn}network-interface/*", gateway),
        "ElasticIPs": (f"{arn}elastic-ip/*", {"StringEquals": tags}),
        "ElasticIPInterfaces": (f"{arn}network-interface/*", gateway),
    }


def test_interfaces_of_the_vpc():
    found = conditions(made({"interface_scope": "Vpc", "vpc_id": "vpc-1"}))
    vpc = {"ArnEquals": {"ec2:Vpc": "arn:aws:ec2:eu-central-1:111122223333:vpc/vpc-1"}}
    assert found["PrivateAddresses"][1] == vpc and found["ElasticIPInterfaces"][1] == vpc
    assert "ec2:Vpc" not in json.dumps(found["ElasticIPs"])


def test_irsa_trusts_one_service_account():
    values = made({"irsa_oidc_provider_arn": OIDC, "namespace": "a", "service_account": "b"})
    issuer = "oidc.eks.eu-central-1.amazonaws.com/id/ABC"
    assert json.loads(values["irsa_trust"])["Statement"] == [
        {
            "Effect": "Allow",
            "Principal": {"Federated": OIDC},
            "Action": "sts:AssumeRoleWithWebIdentity",
            "Condition": {
                "StringEquals": {f"{issuer}:aud": "sts.amazonaws.com", f"{issuer}:sub": "system:serviceaccount:a:b"}
            },
        }
    ]
    annotations = yaml.safe_load(values["helm_values"])["controller"]["serviceAccount"]["annotations"]
    assert annotations == {"eks.amazonaws.com/role-arn": "arn:aws:iam::111122223333:role/egret-irsa"}


def test_pod_identity_trusts_one_service_account_of_one_cluster():
    values = made({"pod_identity": {"eks_cluster_name": "eks-prod"}})
    (statement,) = json.loads(values["pod_identity_trust"])["Statement"]
    assert statement["Principal"] == {"Service": "pods.eks.amazonaws.com"}
    assert statement["Action"] == ["sts:AssumeRole", "sts:TagSession"]
    assert statement["Condition"]["StringEquals"] == {
        "aws:RequestTag/eks-cluster-arn": "arn:aws:eks:eu-central-1:111122223333:cluster/eks-prod",
        "aws:RequestTag/kubernetes-namespace": "egret-system",
        "aws:RequestTag/kubernetes-service-account": "egret-controller",
    }
    assert yaml.safe_load(values["helm_values"])["controller"]["serviceAccount"]["annotations"] == {}


@pytest.mark.parametrize(
    ("labels", "allowed"),
    [
        ({"allowed_namespace_labels": {"egress": "public"}}, {"matchLabels": {"egress": "public"}}),
        ({"allowed_namespace_labels": {}}, {}),
        ({}, None),
    ],
)
def test_the_manifest_of_a_pool(labels, allowed):
    values = made({"pools": {"public": {"elastic_ips": 2} | labels}})
    pool = yaml.safe_load(values["egress_pools"]["public"])
    assert pool["metadata"] == {"name": "public"} and pool["spec"]["provider"] == "AWS"
    assert pool["spec"]["aws"] == {"elasticIPTags": {"egret.dev/cluster": "prod", "egret.dev/pool": "public"}}
    assert pool["spec"]["gateways"]["nodeSelector"]["matchLabels"] == {"egret.dev/gateway": "true"}
    assert pool["spec"].get("allowedNamespaces") == allowed


def test_the_controller_finds_region_and_interfaces():
    values = made({})["helm_values"]
    assert yaml.safe_load(values)["controller"]["aws"] == {
        "region": "eu-central-1",
        "interfaceTags": {"egret.dev/cluster": "prod", "egret.dev/gateway": "true"},
    }
    assert objects.rendered_problems(values, CHART) == []


def test_controllers_keep_off_gateways():
    def avoided(variables):
        return yaml.safe_load(made(variables)["helm_values"])["controller"]["avoidNodeLabels"]

    assert avoided({}) == yaml.safe_load((CHART / "values.yaml").read_text())["controller"]["avoidNodeLabels"]
    assert avoided({"gateway_node_labels": {"role": "egress"}}) == {"role": "egress"}


def test_the_elastic_ips_of_pools():
    own = {"elastic_ips": 1, "public_ipv4_pool": "ipv4pool-ec2-1"}
    found = made({"pools": {"public": {"elastic_ips": 2}, "own": own}})["elastic_ips"]
    assert {key: (value["pool"], value["public_ipv4_pool"]) for key, value in found.items()} == {
        "public-0": ("public", None),
        "public-1": ("public", None),
        "own-0": ("own", "ipv4pool-ec2-1"),
    }
    assert made({})["elastic_ips"] == {}


def test_the_ports_are_the_charts():
    chart = yaml.safe_load((CHART / "values.yaml").read_text())["network"]
    network = yaml.safe_load(made({})["helm_values"])["network"]
    assert network == {"tunnelPort": chart["tunnelPort"], "peersPort": chart["peersPort"]}


def test_a_file_that_is_not_formatted(tmp_path):
    (tmp_path / "main.tf").write_text('locals {\na="b"\n}\n')
    (problem,) = render.format_problems(tmp_path)
    assert "main.tf: not formatted: target/terraform/bin/tofu fmt" in problem
    (tmp_path / "main.tf").write_text('locals {\n  a = "b"\n}\n')
    assert render.format_problems(tmp_path) == []
