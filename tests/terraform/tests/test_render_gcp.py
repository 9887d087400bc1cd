"""What terraform/gcp makes of its variables, and which it refuses with what sentence."""

import json
import re

import pytest
import yaml

from egret_terraform import CHART, gcp, objects, render

INTERNAL = {"addresses": 1, "type": "INTERNAL", "subnetwork": "nodes"}
NODES = {"network": "prod", "node_network_tags": ["node"], "gateway_network_tags": ["gateway"]}
POOL = {"service_account": "nodes@egret-project.iam.gserviceaccount.com"}
TAINT = {"key": "egret", "value": "gateway", "effect": "NoSchedule"}

REFUSED = {
    "a project's number": ({"project": "123456789012"}, "project: give the project's id"),
    "a zone": ({"region": "europe-west3-a"}, "europe-west3-a is a zone"),
    "a cluster's name": ({"cluster_name": "Prod"}, "cluster_name: begin with a lower-case letter"),
    "a name that gets too long": ({"cluster_name": "a" * 40}, "name: give 4 to 30 lower-case letters"),
    "a name that Google keeps": ({"name": "gcp-egret"}, "name: begin with something else than gcp-"),
    "a label's key": ({"labels": {"egret.dev/pool": "x"}}, "labels: a key begins with a lower-case letter"),
    "labels of Egret": ({"labels": {"egret-pool": "x"}}, "those that begin with egret- are the module's"),
    "a label's value": ({"labels": {"team": "A"}}, "labels: a value has lower-case letters"),
    "an identity": ({"identity": "key"}, "identity: say workload_identity, node or none"),
    "a namespace": ({"namespace": "Egret"}, "namespace: give a name that Kubernetes accepts"),
    "a service account": ({"service_account": "a_b"}, "service_account: give a name that Kubernetes accepts"),
    "a subject that is too long": ({"service_account": "a" * 100}, "service_account: shorten it or the namespace"),
    "an issuer without https": (
        {"gke_location": None, "issuer_uri": "http://oidc.example"},
        "issuer_uri: give the issuer as the cluster says it",
    ),
    "two issuers": ({"issuer_uri": "https://oidc.example"}, "issuer_uri, gke_location: give one of them"),
    "no issuer": ({"gke_location": None}, "issuer_uri, gke_location: give one of them"),
    "keys": ({"cluster_jwks": "[]"}, "cluster_jwks: give the JSON of kubectl get --raw /openid/v1/jwks"),
    "no account of the nodes": ({"identity": "node"}, "controller_service_accounts: give at least one"),
    "an account for nothing": ({"controller_service_accounts": ["a@b"]}, "controller_service_accounts: give at least"),
    "a host project that is no other": ({"host_project": "egret-project"}, "host_project: leave it out"),
    "a pool's name": ({"pools": {"Public": {"addresses": 1}}}, "pools: each key is the name of an EgressPool"),
    "a long pool's name": ({"pools": {"a" * 29: {"addresses": 1}}}, "at most 28 characters"),
    "no addresses": ({"pools": {"a": {"addresses": 0}}}, "pools: addresses is a whole number from 1 to 64"),
    "a type": ({"pools": {"a": {"addresses": 1, "type": "PUBLIC"}}}, "pools: type is EXTERNAL or INTERNAL"),
    "no subnetwork": ({"pools": {"a": INTERNAL | {"subnetwork": None}}}, "INTERNAL needs a subnetwork"),
    "a subnetwork too many": ({"pools": {"a": {"addresses": 1, "subnetwork": "nodes"}}}, "EXTERNAL has none"),
    "a tier": ({"pools": {"a": {"addresses": 1, "network_tier": "BEST"}}}, "network_tier is PREMIUM or STANDARD"),
    "an internal address's tier": (
        {"pools": {"a": INTERNAL | {"network_tier": "PREMIUM"}}},
        "network_tier is PREMIUM or STANDARD, of EXTERNAL addresses only",
    ),
    "more than a network has": (
        {"pools": {"a": {"addresses": 33}, "b": {"addresses": 32}}},
        "pools: Google moves 64 addresses of mode HAPolicy in a VPC network and region",
    ),
    "nodes without a tag": (
        NODES | {"node_network_tags": []},
        "node_network_tags, node_service_accounts: give one of them",
    ),
    "nodes by both": (
        NODES | {"node_service_accounts": ["a@b"]},
        "node_network_tags, node_service_accounts: give one of them",
    ),
    "gateways without a tag": (
        NODES | {"gateway_network_tags": []},
        "gateway_network_tags, gateway_service_accounts: give one of them",
    ),
    "eleven accounts": (
        {"node_service_accounts": [f"a{index}@b" for index in range(11)]},
        "node_service_accounts: a firewall rule takes 10 at most",
    ),
    "eleven accounts of gateways": (
        {"gateway_service_accounts": [f"a{index}@b" for index in range(11)]},
        "gateway_service_accounts: a firewall rule takes 10 at most",
    ),
    "a range": ({"egress_ranges": ["203.0.113.8"]}, "egress_ranges: give ranges such as 203.0.113.8/32"),
    "a range of IPv6": ({"egress_ranges": ["203.0.113.8/32", "2001:db8::/64"]}, "egress_ranges: give IPv4 ranges"),
    "a mode": ({"modes": ["HAPolicy", "Anycast"]}, "modes: give at least one of HAPolicy"),
    "no mode": ({"modes": []}, "modes: give at least one of HAPolicy"),
    "a pool of a mode without rights": (
        {"pools": {"a": {"addresses": 1, "mode": "TargetInstance"}}},
        "pools: mode is one of modes: name it there too",
    ),
    "aliases of external addresses": (
        {"modes": ["AliasRange"], "pools": {"a": {"addresses": 1, "mode": "AliasRange"}}},
        "AliasRange for INTERNAL ones",
    ),
    "target instances of internal addresses": (
        {"modes": ["TargetInstance"], "pools": {"a": INTERNAL | {"mode": "TargetInstance"}}},
        "TargetInstance is for EXTERNAL addresses",
    ),
    "a port": ({"tunnel_port": 0}, "tunnel_port: give a port, 1 to 65535"),
    "one port for both": ({"peers_port": 5480}, "peers_port: give a port, 1 to 65535, other than tunnel_port"),
    "no label": ({"gateway_node_labels": {}}, "gateway_node_labels: give at least one"),
    "gateways without GKE": (
        {"gke_location": None, "identity": "none", "gateway_node_pool": POOL},
        "gateway_node_pool: give gke_location too",
    ),
    "metadata": (
        {"gateway_node_pool": POOL | {"workload_metadata": "NONE"}},
        "gateway_node_pool: workload_metadata is GKE_METADATA or GCE_METADATA",
    ),
    "a taint": ({"gateway_node_pool": POOL | {"taints": [TAINT]}}, "NO_SCHEDULE, PREFER_NO_SCHEDULE or NO_EXECUTE"),
}


@pytest.mark.parametrize("case", REFUSED)
def test_it_is_refused(case):
    variables, sentence = REFUSED[case]
    with pytest.raises(render.Refused) as refused:
        made(variables)
    assert sentence in str(refused.value)


def made(variables: dict) -> dict:
    return render.render(gcp.MODULE, variables)


def test_one_service_account_of_one_cluster_is_the_principal():
    values = made({"namespace": "a", "service_account": "b"})
    pool = "//iam.googleapis.com/projects/123456789012/locations/global/workloadIdentityPools/egret-prod"
    assert values["principals"] == {"controller": f"principal:{pool}/subject/system:serviceaccount:a:b"}
    assert values["attribute_condition"] == "assertion.sub == 'system:serviceaccount:a:b'"
    assert values["audience"] == f"{pool}/providers/cluster"
    assert values["issuer_uri"] == (
        "https://container.googleapis.com/v1/projects/egret-project/locations/europe-west3/clusters/prod"
    )


def test_another_issuer():
    values = made({"gke_location": None, "issuer_uri": "https://oidc.example/prod"})
    assert values["issuer_uri"] == "https://oidc.example/prod"
    assert yaml.safe_load(values["helm_values"])["resourceQuota"] == {"enabled": False}


def test_the_credentials_of_the_token():
    values = made({"token_path": "/token"})
    assert json.loads(values["credentials"]) == {
        "type": "external_account",
        "audience": values["audience"],
        "subject_token_type": "urn:ietf:params:oauth:token-type:jwt",
        "token_url": "https://sts.googleapis.com/v1/token",
        "credential_source": {"file": "/token"},
    }


def test_the_token_is_where_the_chart_puts_it():
    template = (CHART / "templates" / "_cloud_gcp.tpl").read_text()
    (folder,) = re.findall(r'define "egret.cloud.gcp.folder" -}}([^{]+){{', template)
    (path,) = re.findall(r"serviceAccountToken:[^-]* path: (\S+)", template)
    assert json.loads(made({})["credentials"])["credential_source"] == {"file": f"{folder}/{path}"}


def test_the_controller_has_the_audience():
    values = made({})
    gcp_values = yaml.safe_load(values["helm_values"])["controller"]["gcp"]
    assert gcp_values == {"workloadIdentity": {"audience": values["audience"]}}
    assert objects.rendered_problems(values["helm_values"], CHART) == []


def test_the_nodes_have_the_role():
    accounts = ["a@egret-project.iam.gserviceaccount.com", "b@egret-project.iam.gserviceaccount.com"]
    values = made({"identity": "node", "controller_service_accounts": accounts})
    assert values["principals"] == {"0": f"serviceAccount:{accounts[0]}", "1": f"serviceAccount:{accounts[1]}"}
    assert values["credentials"] == ""
    assert yaml.safe_load(values["helm_values"])["controller"]["gcp"]["workloadIdentity"] == {"audience": ""}


def test_nobody_has_the_role():
    values = made({"identity": "none"})
    assert values["principals"] == {} and values["credentials"] == ""


def test_ids_of_roles_have_no_hyphen():
    assert made({})["role_ids"] == {"controller": "egret_prod_controller", "network": "egret_prod_network"}


def test_the_rights_of_a_shared_vpc_are_in_its_project():
    values = made({"host_project": "network-project"})
    assert values["network_role_permissions"] == [
        "compute.networks.use",
        "compute.subnetworks.get",
        "compute.subnetworks.use",
    ]
    assert not set(values["network_role_permissions"]) & set(values["role_permissions"])


def test_the_role_is_of_the_chosen_modes():
    """None has what only another mode needs."""
    own = {
        "HAPolicy": "compute.regionBackendServices.create",
        "TargetInstance": "compute.forwardingRules.setTarget",
        "AliasRange": "compute.instances.updateNetworkInterface",
    }
    for modes in (["HAPolicy"], ["TargetInstance"], ["AliasRange"], ["AliasRange", "HAPolicy"]):
        granted = made({"modes": modes})["role_permissions"]
        assert {mode for mode, permission in own.items() if permission in granted} == set(modes)
        assert granted == sorted(set(granted))
    assert made({})["role_permissions"] == made({"modes": ["HAPolicy"]})["role_permissions"]


def test_other_modes_have_no_limit_of_addresses():
    pools = {"a": {"addresses": 64, "mode": "TargetInstance"}, "b": {"addresses": 64}}
    assert len(made({"modes": ["TargetInstance", "HAPolicy"], "pools": pools})["addresses"]) == 128


def test_the_addresses_of_pools():
    pools = {"public": {"addresses": 2}, "private": INTERNAL}
    found = made({"pools": pools, "labels": {"team": "net"}})["addresses"]
    assert {key: (value["name"], value["type"], value["subnetwork"]) for key, value in found.items()} == {
        "public-0": ("egret-prod-public-0", "EXTERNAL", None),
        "public-1": ("egret-prod-public-1", "EXTERNAL", None),
        "private-0": ("egret-prod-private-0", "INTERNAL", "nodes"),
    }
    assert found["public-1"]["labels"] == {"team": "net", "egret-cluster": "prod", "egret-pool": "public"}
    assert made({})["addresses"] == {}


@pytest.mark.parametrize(
    ("labels", "allowed"),
    [
        ({"allowed_namespace_labels": {"egress": "public"}}, {"matchLabels": {"egress": "public"}}),
        ({"allowed_namespace_labels": {}}, {}),
        ({}, None),
    ],
)
def test_the_manifest_of_a_pool(labels, allowed):
    pool = yaml.safe_load(made({"pools": {"public": {"addresses": 2} | labels}})["egress_pools"]["public"])
    assert pool["metadata"] == {"name": "public"} and pool["spec"]["provider"] == "GCP"
    wanted = {"egret-cluster": "prod", "egret-pool": "public"}
    assert pool["spec"]["gcp"] == {"mode": "HAPolicy", "addressLabels": wanted}
    assert pool["spec"]["gateways"]["nodeSelector"]["matchLabels"] == {"egret.dev/gateway": "true"}
    assert pool["spec"].get("allowedNamespaces") == allowed


def test_controllers_keep_off_gateways():
    def avoided(variables):
        return yaml.safe_load(made(variables)["helm_values"])["controller"]["avoidNodeLabels"]

    assert avoided({}) == yaml.safe_load((CHART / "values.yaml").read_text())["controller"]["avoidNodeLabels"]
    assert avoided({"gateway_node_labels": {"role": "egress"}}) == {"role": "egress"}


def test_a_pool_selects_its_own_addresses():
    values = made(gcp.SETTINGS["pools"])
    labels = [address["labels"] for address in values["addresses"].values()]
    for name, text in values["egress_pools"].items():
        wanted = yaml.safe_load(text)["spec"]["gcp"]["addressLabels"].items()
        assert {own["egret-pool"] for own in labels if wanted <= own.items()} == {name}


def test_the_ports_are_the_charts():
    chart = yaml.safe_load((CHART / "values.yaml").read_text())["network"]
    network = yaml.safe_load(made({})["helm_values"])["network"]
    assert network == {"tunnelPort": chart["tunnelPort"], "peersPort": chart["peersPort"]}


