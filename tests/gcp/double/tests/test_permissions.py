"""The table of permissions is what policies are checked with: each one is needed."""

import pytest
from conftest import REGION, ZONE_A, refused
from egret_gce import permissions

ADDRESS = {"region": REGION, "address": "egress-1"}
GROUP = {"zone": ZONE_A, "networkEndpointGroup": "neg-a"}


def leader(project):
    group = f"{project.nodes['node-1']['url'].rpartition('/instances/')[0]}/networkEndpointGroups/neg-a"
    return {"backendGroup": group, "networkEndpoint": {"instance": "node-1"}}


def group_body(project):
    return {
        "name": "neg-b",
        "networkEndpointType": "GCE_VM_IP",
        "network": project.network,
        "subnetwork": project.subnetwork,
    }


# Of methods that need more than one: a call that needs all of the table's, in several calls if need be.
CALLS = {
    "compute.subnetworks.insert": [
        lambda p: {"region": REGION, "body": {"name": "more", "network": p.network, "ipCidrRange": "10.2.0.0/24"}}
    ],
    "compute.addresses.insert": [
        lambda p: {
            "region": REGION,
            "body": {"name": "a", "addressType": "INTERNAL", "subnetwork": p.subnetwork, "labels": {"a": "b"}},
        }
    ],
    "compute.addresses.delete": [lambda p: {"region": REGION, "address": "inside-1"}],
    "compute.instances.insert": [
        lambda p: {
            "zone": ZONE_A,
            "body": {
                "name": "extra",
                "machineType": f"zones/{ZONE_A}/machineTypes/e2-small",
                "networkInterfaces": [
                    {"subnetwork": p.subnetwork, "accessConfigs": [{"natIP": p.built["external"][1]["address"]}]}
                ],
                "labels": {"a": "b"},
            },
        }
    ],
    "compute.instances.updateNetworkInterface": [
        lambda p: {
            "zone": ZONE_A,
            "instance": "node-1",
            "networkInterface": "nic0",
            "body": {
                "aliasIpRanges": [{"ipCidrRange": p.built["internal"][0]["address"]}],
                "fingerprint": nic_fingerprint(p),
            },
        }
    ],
    "compute.targetInstances.insert": [
        lambda p: {
            "zone": ZONE_A,
            "body": {"name": "ti-3", "instance": p.nodes["node-3"]["url"], "network": p.network},
        }
    ],
    "compute.networkEndpointGroups.insert": [lambda p: {"zone": ZONE_A, "body": group_body(p)}],
    "compute.networkEndpointGroups.attachNetworkEndpoints": [
        lambda p: GROUP | {"body": {"networkEndpoints": [{"instance": "node-3"}]}}
    ],
    "compute.regionBackendServices.insert": [
        lambda p: {
            "region": REGION,
            "body": p.service_body(
                leader(p)["backendGroup"], name="svc-2", haPolicy={"fastIPMove": "GARP_RA", "leader": leader(p)}
            ),
        }
    ],
    "compute.regionBackendServices.patch": [
        lambda p: {
            "region": REGION,
            "backendService": "svc",
            "body": {
                "fingerprint": p.get_service()["fingerprint"],
                "backends": [{"group": leader(p)["backendGroup"]}],
                "haPolicy": {"leader": leader(p)},
            },
        }
    ],
    "compute.forwardingRules.insert": [
        lambda p: {"region": REGION, "body": rule(IPAddress="egress-2", target=target("ti"), labels={"a": "b"})},
        lambda p: {
            "region": REGION,
            "body": rule(IPAddress="egress-2", backendService="regions/europe-west3/backendServices/svc"),
        },
        lambda p: {
            "region": REGION,
            "body": rule(
                IPAddress="inside-1",
                target=target("ti"),
                loadBalancingScheme="INTERNAL",
                network=p.network,
                subnetwork=p.subnetwork,
            ),
        },
    ],
    "compute.forwardingRules.patch": [
        lambda p: {"region": REGION, "forwardingRule": "rule", "body": {"networkTier": "PREMIUM"}}
    ],
    "compute.forwardingRules.setTarget": [
        lambda p: {"region": REGION, "forwardingRule": "rule", "body": {"target": target("ti-2")}}
    ],
    "compute.firewalls.insert": [
        lambda p: {"body": {"name": "fw-2", "network": p.network, "allowed": [{"IPProtocol": "all"}]}}
    ],
    "compute.firewalls.patch": [lambda p: {"firewall": "fw", "body": {"name": "fw", "priority": 7}}],
    "compute.firewalls.delete": [lambda p: {"firewall": "fw"}],
}


def rule(**more):
    return {"name": "rule-2", "IPProtocol": "L3_DEFAULT", "allPorts": True} | more


def target(name):
    return f"projects/egret/zones/{ZONE_A}/targetInstances/{name}"


def nic_fingerprint(project):
    return project.instances.get(zone=ZONE_A, instance="node-1")["networkInterfaces"][0]["fingerprint"]


@pytest.fixture
def world(project, double):
    double.post("latency", milliseconds=0)
    project.service(project.group(nodes=("node-1",)))
    project.target("ti", "node-1")
    project.target("ti-2", "node-3")
    project.rule(target=target("ti"), IPAddress="egress-1")
    project.firewalls.do(
        "insert", body={"name": "fw", "network": project.network, "allowed": [{"IPProtocol": "all"}]}
    )
    return project


def test_calls_cover_every_method_that_needs_more_than_one():
    assert set(CALLS) == {method for method, needs in permissions.TABLE.items() if len(needs) > 1}


@pytest.mark.parametrize("method", sorted(CALLS))
def test_each_permission_of_a_method_is_needed(world, double, method):
    needs = {need.permission for need in permissions.TABLE[method]}
    seen = set()
    for arguments in CALLS[method]:
        given = arguments(world)
        double.post("calls/reset")
        called = getattr(getattr(world, method.split(".")[1]), method.split(".")[2])
        double.post("policy", allow=[])
        with refused(403, "forbidden", "Required 'compute."):
            called(**given)
        (call,) = double.get("calls")["calls"]
        for permission in call["permissions"]:
            double.post("policy", allow=sorted(needs - {permission}))
            with refused(403, "forbidden", f"Required '{permission}' permission for 'projects/egret/"):
                called(**given)
        seen |= set(call["permissions"])
        double.post("policy", allow=sorted(needs))
        called(**given)
        double.post("policy")
        if method.endswith("forwardingRules.insert"):
            world.forwardingRules.do("delete", region=REGION, forwardingRule="rule-2")
    assert seen == needs


def test_methods_of_one_permission(world, double):
    double.post("policy", allow=["compute.addresses.get"])
    assert world.addresses.get(**ADDRESS)
    with refused(403, "forbidden", "Required 'compute.addresses.list' permission"):
        world.addresses.list(region=REGION)
    double.post("policy", allow=["compute.addresses.*"])
    assert world.addresses.list(region=REGION)
    double.post("policy", allow=None)
    assert world.instances.list(zone=ZONE_A)


def test_refused_call_changes_nothing(world, double):
    before = double.get("state")
    double.post("policy", allow=["compute.*.get", "compute.*.list"])
    with refused(403, "forbidden"):
        world.addresses.delete(region=REGION, address="egress-2")
    after = double.get("state")
    assert after == before


def test_table_is_shown(double):
    table = double.get("permissions")
    assert {
        "permission": "compute.regionBackendServices.create",
        "source": "method's page",
        "when": "always",
    } in table["compute.regionBackendServices.insert"]
    assert all(need["source"] and need["when"] in permissions.WHEN for needs in table.values() for need in needs)


def test_every_permission_has_the_form_of_one():
    import re

    for needs in permissions.TABLE.values():
        for need in needs:
            assert re.fullmatch(r"compute\.[a-zA-Z]+\.[a-zA-Z]+", need.permission)
