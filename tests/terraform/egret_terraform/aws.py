"""terraform/aws: IAM policies of a role for EC2."""

import json
from functools import cache

from . import ROOT, policy
from .description import Description, Package
from .hcl import Module

CALLS = ROOT / "providers" / "aws" / "ec2-calls.txt"

PACKAGE = Package(
    name="@cdktn/provider-aws",
    version="25.7.0",
    integrity="E/nhu0yVZE4mXMgIPuI8tEFt1BExLkA7ARjihdG+/HmfDfzLr+OEF3dkFRvI6glRt30lrrBWQLwXqCJBxcmyUg==",
    prefix="aws",
    provider="6.66.0",
)

STAND_IN = """
locals {
  partition     = "aws"
  region        = "eu-central-1"
  account_id    = "111122223333"
  irsa_role_arn = "arn:aws:iam::111122223333:role/egret-irsa"
}
output "policy" { value = local.policy_json }
output "irsa_trust" { value = local.irsa_trust_json }
output "pod_identity_trust" { value = local.pod_identity_trust_json }
output "helm_values" { value = yamlencode(local.helm_values) }
output "elastic_ips" { value = local.elastic_ips }
output "egress_pools" { value = local.egress_pools }
"""

SETTINGS = {
    "Pod Identity": {"pod_identity": {"eks_cluster_name": "prod"}},
    "IRSA": {"irsa_oidc_provider_arn": "arn:aws:iam::111122223333:oidc-provider/oidc.example/id/1"},
    "pools": {
        "pools": {
            "own": {"elastic_ips": 1, "allowed_namespace_labels": {"egress": "public"}},
            "public": {"elastic_ips": 2, "allowed_namespace_labels": {}},
            "existing": {"existing_allocation_ids": ["eipalloc-0a"]},
            "unclaimed": {"elastic_ips": 1},
        }
    },
    "the VPC's interfaces": {"interface_scope": "Vpc", "vpc_id": "vpc-1", "pod_cidrs": ["10.0.0.0/16"]},
}

privileges = cache(policy.reference)


def rights(module: Module) -> list[str]:
    statements, problems = policy.written(module)
    return problems + policy.check(statements, policy.calls(CALLS), privileges())


def rendered_rights(_variables: dict, values: dict) -> list[str]:
    return policy.check(json.loads(values["policy"])["Statement"], policy.calls(CALLS), privileges())


MODULE = Description(
    name="aws",
    package=PACKAGE,
    rendered=("variables.tf", "variables_gateways.tf", "policy.tf", "pools.tf", "helm.tf"),
    stand_in=STAND_IN,
    needed={"cluster_name": "prod"},
    settings=SETTINGS,
    rights=rights,
    rendered_rights=rendered_rights,
    section="aws",
    served=True,
    refused={"arn:aws:": "of one partition only: say arn:${data.aws_partition.current.partition}:"},
)
