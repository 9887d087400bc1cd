"""Zonal network endpoint groups of type GCE_VM_IP."""

import pytest
from conftest import ZONE_A, ZONE_B, refused

GROUP = {"zone": ZONE_A, "networkEndpointGroup": "neg-a"}


def attach(project, *endpoints):
    project.networkEndpointGroups.do("attachNetworkEndpoints", **GROUP, body={"networkEndpoints": list(endpoints)})


def detach(project, *endpoints):
    project.networkEndpointGroups.do("detachNetworkEndpoints", **GROUP, body={"networkEndpoints": list(endpoints)})


def instances(project, **more):
    found = project.networkEndpointGroups.listNetworkEndpoints(**GROUP, body={}, **more)
    return [one["networkEndpoint"]["instance"].rpartition("/")[2] for one in found.get("items", [])]


def body(project, **more):
    given = {
        "name": "neg-a",
        "networkEndpointType": "GCE_VM_IP",
        "network": project.network,
        "subnetwork": project.subnetwork,
    }
    return {key: value for key, value in (given | more).items() if value is not None}


def test_endpoints_are_attached_listed_and_detached(project):
    project.group()
    attach(project, {"instance": "node-1"}, {"instance": project.nodes["node-3"]["url"], "ipAddress": "10.0.0.4"})
    assert instances(project) == ["node-1", "node-3"]
    found = project.networkEndpointGroups.get(**GROUP)
    assert found["size"] == 2 and found["subnetwork"] == project.subnetwork
    (endpoint, _) = project.networkEndpointGroups.listNetworkEndpoints(**GROUP, body={"healthStatus": "SHOW"})[
        "items"
    ]
    assert endpoint["networkEndpoint"] == {"instance": project.nodes["node-1"]["url"], "ipAddress": "10.0.0.2"}
    detach(project, {"instance": "node-1"})
    assert instances(project) == ["node-3"]
    assert "endpoints" not in project.networkEndpointGroups.list(zone=ZONE_A)["items"][0]


def test_endpoints_have_pages(project):
    project.group(nodes=("node-1", "node-3"))
    first = project.networkEndpointGroups.listNetworkEndpoints(**GROUP, body={}, maxResults=1)
    assert instances(project, maxResults=1, pageToken=first["nextPageToken"]) == ["node-3"]


def test_other_types_are_not_modelled(project):
    with refused(501, "notImplemented", "GCE_VM_IP_PORT"):
        project.networkEndpointGroups.insert(zone=ZONE_A, body=body(project, networkEndpointType="GCE_VM_IP_PORT"))


@pytest.mark.parametrize("field", ["networkEndpointType", "network", "subnetwork"])
def test_missing_field_is_refused(project, field):
    with refused(400, "required", f"'resource.{field}'"):
        project.networkEndpointGroups.insert(zone=ZONE_A, body=body(project, **{field: None}))


def test_default_port_is_refused(project):
    with refused(400, "invalid", "'resource.defaultPort'"):
        project.networkEndpointGroups.insert(zone=ZONE_A, body=body(project, defaultPort=80))


def test_subnetwork_of_another_network_is_refused(project):
    project.networks.do("insert", body={"name": "other", "autoCreateSubnetworks": False})
    with refused(400, "invalid", "It is of another network"):
        given = body(project, network="global/networks/other")
        project.networkEndpointGroups.insert(zone=ZONE_A, body=given)


def test_subnetwork_of_another_region_is_refused(project):
    with refused(400, "invalid", "It is of another region"):
        project.networkEndpointGroups.insert(zone="us-central1-a", body=body(project))


def test_instance_of_another_zone_is_refused(project):
    project.group()
    with refused(404, "notFound", "node-2"):
        attach(project, {"instance": "node-2"})
    with refused(400, "invalid", "It is not in the zone"):
        attach(project, {"instance": project.nodes["node-2"]["url"]})


def test_instance_without_an_interface_in_the_subnetwork_is_refused(project, double):
    double.post("build", network="other", subnetworks=[{"name": "apart", "cidr": "10.9.0.0/24"}], nodes=["alone"])
    project.group()
    with refused(400, "invalid", "It has no interface in the subnetwork"):
        attach(project, {"instance": "alone"})


def test_address_that_is_not_the_primary_one_is_refused(project):
    project.group()
    with refused(400, "invalid", "It must be the primary address of the interface, 10.0.0.2."):
        attach(project, {"instance": "node-1", "ipAddress": "10.100.0.7"})


def test_port_is_refused(project):
    project.group()
    with refused(400, "invalid", "networkEndpoints[0].port"):
        attach(project, {"instance": "node-1", "port": 80})


def test_endpoint_without_an_instance_is_refused(project):
    project.group()
    with refused(400, "required", "networkEndpoints[0].instance"):
        attach(project, {"ipAddress": "10.0.0.2"})
    with refused(400, "required", "networkEndpoints"):
        attach(project)


def test_attaching_twice_is_refused(project):
    project.group(nodes=("node-1",))
    with refused(400, "invalid", "It is attached already"):
        attach(project, {"instance": "node-1"})
    with refused(400, "invalid", "networkEndpoints[1].instance"):
        attach(project, {"instance": "node-3"}, {"instance": "node-3"})
    assert instances(project) == ["node-1"]


def test_detaching_what_is_not_attached_is_refused(project):
    project.group(nodes=("node-1",))
    with refused(400, "invalid", "It is not attached"):
        detach(project, {"instance": "node-3"})
    with refused(400, "invalid", "It is not attached"):
        detach(project, {"instance": "node-1", "ipAddress": "10.0.0.99"})
    with refused(400, "required"):
        detach(project, {"ipAddress": "10.0.0.2"})
    with refused(400, "required"):
        detach(project)


def test_detaching_the_leader_is_refused(project, double):
    group = project.group(nodes=("node-1", "node-3"))
    project.service(group)
    leader = {"backendGroup": group, "networkEndpoint": {"instance": "node-1"}}
    project.patch_service(haPolicy={"leader": leader})
    with refused(400, "resourceInUseByAnotherResource", "backendServices/svc"):
        detach(project, {"instance": "node-1"})
    project.patch_service(haPolicy={"leader": None})
    detach(project, {"instance": "node-1"})
    assert double.get("state")["backend_services"][0]["leader"] is None


def test_group_of_a_service_is_not_deleted(project):
    project.service(project.group())
    with refused(400, "resourceInUseByAnotherResource", "backendServices/svc"):
        project.networkEndpointGroups.delete(**GROUP)
    project.patch_service(backends=[])
    project.networkEndpointGroups.do("delete", **GROUP)


def test_groups_are_of_their_zone(project):
    project.group("neg", ZONE_A)
    project.group("neg", ZONE_B)
    with refused(404, "notFound"):
        project.networkEndpointGroups.get(zone=f"{ZONE_A[:-1]}c", networkEndpointGroup="neg")
    with refused(404, "notFound"):
        project.networkEndpointGroups.listNetworkEndpoints(zone=ZONE_A, networkEndpointGroup="no", body={})
    with refused(409, "alreadyExists"):
        project.networkEndpointGroups.insert(zone=ZONE_A, body=body(project, name="neg"))


def test_quota_of_groups(project, double):
    double.post("quota", metric="NETWORK_ENDPOINT_GROUPS", limit=0)
    with refused(403, "quotaExceeded", "NETWORK_ENDPOINT_GROUPS"):
        project.group()
