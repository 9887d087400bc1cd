"""terraform/gcp: custom roles for Compute Engine."""

import hashlib
import json
import zipfile
from functools import cache

from . import ROOT, WORK, permissions
from .description import Description, Package
from .hcl import Module

TABLE = ROOT / "providers" / "gcp" / "permissions.tsv"

PACKAGE = Package(
    name="@cdktf/provider-google",
    version="16.12.1",
    integrity="KqNA/5RiFT07r0PSZ6/07cJ2zESUgbj1JchVj21iBFBZVUbD+578xA/k8eq/r0cbyEgLmg9eYWeVslaYah4DCQ==",
    prefix="google",
    provider="6.50.0",
)

# tests/terraform/setup.sh fetches it; only the discovery document of compute v1 is read.
CLIENT = WORK / "google_api_python_client-2.202.0-py3-none-any.whl"
CLIENT_SHA256 = "aaa90064c9bb642ff1d065b22ca8958a2cb6e345909cefe70d0e5452fc50e08b"
DISCOVERY = "googleapiclient/discovery_cache/documents/compute.v1.json"

STAND_IN = """
locals {
  project_number = "123456789012"
}
output "role_permissions" { value = local.role_permissions }
output "network_role_permissions" { value = local.network_role_permissions }
output "role_ids" { value = local.role_ids }
output "principals" { value = local.principals }
output "pool_id" { value = local.identity_pool_id }
output "attribute_condition" { value = local.attribute_condition }
output "issuer_uri" { value = local.issuer_uri }
output "audience" { value = local.audience }
output "credentials" { value = local.credentials_json }
output "helm_values" { value = yamlencode(local.helm_values) }
output "addresses" { value = local.addresses }
output "egress_pools" { value = local.egress_pools }
"""

NODES = {"node_network_tags": ["node"], "gateway_network_tags": ["gateway"]}
SETTINGS = {
    "another cluster": {
        "gke_location": None,
        "issuer_uri": "https://oidc.example/prod",
        "cluster_jwks": '{"keys": []}',
    },
    "Shared VPC": {"host_project": "network-project", "network": "shared"} | NODES,
    "target instances": {
        "modes": ["TargetInstance"],
        "pools": {"public": {"addresses": 1, "mode": "TargetInstance"}},
    },
    "alias ranges": {
        "modes": ["AliasRange"],
        "host_project": "network-project",
        "pools": {"private": {"addresses": 1, "type": "INTERNAL", "subnetwork": "nodes", "mode": "AliasRange"}},
    },
    "every mode": {"modes": list(permissions.MODES)},
    "the nodes' account": {
        "identity": "node",
        "controller_service_accounts": ["nodes@egret-project.iam.gserviceaccount.com"],
    },
    "no identity": {"identity": "none", "tunnel_port": 4789},
    "pools": {
        "pools": {
            "private": {"addresses": 2, "type": "INTERNAL", "subnetwork": "nodes", "allowed_namespace_labels": {}},
            "public": {"addresses": 2, "allowed_namespace_labels": {"egress": "public"}},
            "standard": {"addresses": 1, "network_tier": "STANDARD"},
        },
    },
}


@cache
def methods() -> frozenset[str]:
    """The methods of compute v1."""
    if not CLIENT.exists():
        raise SystemExit(f"{CLIENT} is missing: run tests/setup.sh terraform")
    if hashlib.sha256(CLIENT.read_bytes()).hexdigest() != CLIENT_SHA256:
        raise SystemExit(f"{CLIENT} is not the package that was pinned: delete it, run tests/setup.sh terraform")
    with zipfile.ZipFile(CLIENT) as wheel:
        resources = json.loads(wheel.read(DISCOVERY))["resources"]
    return frozenset(method["id"] for resource in resources.values() for method in resource["methods"].values())


def rights(module: Module) -> list[str]:
    rows = permissions.table(TABLE)
    granted, problems = permissions.written(module)
    problems += [f"{TABLE.name}: {problem}" for problem in permissions.table_problems(rows, methods())]
    return problems + permissions.role_problems(granted, rows)


def rendered_rights(variables: dict, values: dict) -> list[str]:
    return permissions.rendered_problems(values, variables, permissions.table(TABLE))


MODULE = Description(
    name="gcp",
    package=PACKAGE,
    rendered=("variables.tf", "permissions.tf", "credentials.tf", "pools.tf", "helm.tf"),
    stand_in=STAND_IN,
    needed={
        "project": "egret-project",
        "region": "europe-west3",
        "cluster_name": "prod",
        "gke_location": "europe-west3",
    },
    settings=SETTINGS,
    rights=rights,
    rendered_rights=rendered_rights,
    section="gcp",
    served=True,
)
