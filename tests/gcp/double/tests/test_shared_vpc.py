"""Nodes of a service project in the network of a host project."""

import json
import urllib.error

import pytest
from conftest import REGION, ZONE_A, Project, refused

HOST = "projects/host/"
HOST_SUBNETWORK = f"{HOST}regions/{REGION}/subnetworks/nodes"


@pytest.fixture
def shared(double, compute):
    double.post("latency", milliseconds=0)
    built = double.post(
        "build",
        host_project="host",
        zones=2,
        nodes=[{"name": "node-1", "zone": ZONE_A}, {"name": "node-2", "zone": ZONE_A}],
        external=["egress-1", "egress-2"],
        internal=["inside-1"],
    )
    return Project(compute, built)


def refusal(double, **fields):
    with pytest.raises(urllib.error.HTTPError) as raised:
        double.post("build", **fields)
    return json.load(raised.value)["error"]


def test_network_is_the_hosts_and_the_rest_is_not(shared, double, compute):
    assert (shared.built["project"], shared.built["host_project"]) == ("egret", "host")
    assert HOST in shared.network and HOST in shared.subnetwork
    nic = double.get("state?project=egret")["instances"][0]["interfaces"][0]
    assert (nic["network"], nic["subnetwork"]) == (f"{HOST}global/networks/net", HOST_SUBNETWORK)
    assert [one["project"] for one in double.get("state")["addresses"]] == ["egret"] * 3
    status = [compute.projects().get(project=name).execute()["xpnProjectStatus"] for name in ("host", "egret")]
    assert status == ["HOST", "UNSPECIFIED_XPN_PROJECT_STATUS"]


def test_service_and_rules_in_the_hosts_network(shared):
    group = shared.group(nodes=("node-1", "node-2"))
    leader = {"backendGroup": group, "networkEndpoint": {"instance": "node-1"}}
    shared.service(group, haPolicy={"fastIPMove": "GARP_RA", "leader": leader})
    service = f"regions/{REGION}/backendServices/svc"
    assert shared.rule(IPAddress="egress-1", backendService=service)["IPAddress"]
    shared.service(group, name="inner", scheme="INTERNAL")
    inner = shared.rule(
        "inner",
        IPAddress="inside-1",
        backendService=f"regions/{REGION}/backendServices/inner",
        loadBalancingScheme="INTERNAL",
        network=shared.network,
        subnetwork=shared.subnetwork,
    )
    assert HOST in inner["subnetwork"]
    leader["networkEndpoint"]["instance"] = "node-2"
    shared.patch_service(haPolicy={"leader": leader})
    assert shared.get_service()["haPolicy"]["leader"]["networkEndpoint"]["instance"] == "node-2"


def test_network_of_a_project_that_is_no_host_is_refused(shared, double):
    double.post("build", project="stranger", network="other")
    network = "projects/stranger/global/networks/other"
    subnetwork = f"projects/stranger/regions/{REGION}/subnetworks/nodes"
    body = {"name": "a", "addressType": "INTERNAL", "subnetwork": subnetwork}
    with refused(400, "invalid", "Cross-project references for this resource are not allowed."):
        shared.addresses.insert(region=REGION, body=body)
    body = {"name": "neg-b", "networkEndpointType": "GCE_VM_IP", "network": network, "subnetwork": subnetwork}
    with refused(400, "invalid", "Cross-project references"):
        shared.networkEndpointGroups.insert(zone=ZONE_A, body=body)


def test_no_host_uses_the_network_of_a_service_project(shared, double):
    with refused(400, "invalid", "Cross-project references"):
        shared.compute.addresses().insert(
            project="host",
            region=REGION,
            body={
                "name": "a",
                "addressType": "INTERNAL",
                "subnetwork": f"projects/egret/regions/{REGION}/subnetworks/nodes",
            },
        ).execute()


def test_only_networks_are_shared(shared, double):
    double.post("build", project="host", nodes=["theirs"])
    theirs = f"{HOST}zones/{ZONE_A}/instances/theirs"
    with refused(400, "invalid", "Cross-project references"):
        shared.targetInstances.insert(zone=ZONE_A, body={"name": "ti", "instance": theirs})
    shared.group()
    with refused(400, "invalid", "Cross-project references"):
        shared.attach("neg-a", ZONE_A, theirs)


def test_firewall_rules_and_subnetworks_are_made_in_the_host(shared):
    rule = {"name": "fw", "network": shared.network, "allowed": [{"IPProtocol": "all"}]}
    with refused(400, "invalid", "Cross-project references"):
        shared.firewalls.insert(body=rule)
    assert shared.compute.firewalls().insert(project="host", body=rule).execute()["status"] == "DONE"
    body = {"name": "more", "network": shared.network, "ipCidrRange": "10.9.0.0/24"}
    with refused(400, "invalid", "Cross-project references"):
        shared.subnetworks.insert(region=REGION, body=body)


def test_address_is_free_in_the_whole_network(shared, double):
    """Whichever project has it."""
    (theirs,) = double.post("build", project="host", nodes=["theirs"])["nodes"]
    assert theirs["ip"] not in [node["ip"] for node in shared.nodes.values()]
    for taken in (theirs["ip"], shared.nodes["node-1"]["ip"]):
        body = {"name": "a", "addressType": "INTERNAL", "subnetwork": shared.subnetwork, "address": taken}
        for name in ("egret", "host"):
            operation = shared.compute.addresses().insert(project=name, region=REGION, body=body).execute()
            assert operation["error"]["errors"][0]["code"] == "IP_IN_USE_BY_ANOTHER_RESOURCE"


def test_services_of_all_projects_count_in_a_network(shared, double):
    for number in range(64):
        shared.service(name=f"svc-{number}", backends=[])
    second = Project(shared.compute, double.post("build", project="second", host_project="host"))
    with refused(403, "limitExceeded", "at most 64"):
        second.service(backends=[])
    third = Project(shared.compute, double.post("build", project="third", host_project="host", network="quiet"))
    third.service(backends=[])


def test_policy_of_a_project(shared, double):
    group = {
        "name": "neg-b",
        "networkEndpointType": "GCE_VM_IP",
        "network": shared.network,
        "subnetwork": shared.subnetwork,
    }
    double.post("policy", project="host", allow=["compute.subnetworks.get", "compute.networks.use"])
    for _ in range(2):
        with refused(403, "forbidden", f"Required 'compute.subnetworks.use' permission for '{HOST_SUBNETWORK}'"):
            shared.networkEndpointGroups.insert(zone=ZONE_A, body=group)
        # What is granted in the service project is no right in the host.
        answer = double.post("policy", allow=["compute.*"])
    assert answer["allow_in"] == {"host": ["compute.subnetworks.get", "compute.networks.use"]}
    double.post("policy", project="host", allow=["compute.subnetworks.use"])
    with refused(403, "forbidden", f"Required 'compute.networks.use' permission for '{HOST}global/networks/net'"):
        shared.networkEndpointGroups.insert(zone=ZONE_A, body=group)
    double.post("policy", project="host", allow=["compute.subnetworks.use", "compute.networks.use"])
    double.post("policy", project="egret", allow=["compute.networks.*", "compute.subnetworks.*"])
    with refused(403, "forbidden", "Required 'compute.networkEndpointGroups.create' permission for 'projects/egret/"):
        shared.networkEndpointGroups.insert(zone=ZONE_A, body=group)
    double.post("policy", project="egret", allow=None)
    shared.networkEndpointGroups.insert(zone=ZONE_A, body=group)


def test_policy_of_an_unknown_project_is_refused(double):
    with pytest.raises(urllib.error.HTTPError) as raised:
        double.post("policy", project="nobody", allow=[])
    assert "project: must be one of egret" in json.load(raised.value)["error"]


def test_build_refuses_a_second_host_and_a_project_of_both_kinds(shared, double):
    assert "host_project: must be host, of which egret is already" in refusal(double, host_project="elsewhere")
    both = "host_project: a project is either a host or a service project"
    assert both in refusal(double, project="third", host_project="egret")
    assert both in refusal(double, project="host", host_project="third")
    assert double.raw("GET", f"/compute/v1/projects/third/zones/{ZONE_A}/instances")[0] == 404
    assert double.post("build", project="shop", host_project="shop")["host_project"] is None
