"""Regional backend services with haPolicy."""

import pytest
from conftest import REGION, ZONE_A, ZONE_B, fails, refused


def leader(group, instance):
    return {"backendGroup": group, "networkEndpoint": {"instance": instance}}


@pytest.fixture
def group(project):
    return project.group(nodes=("node-1", "node-3"))


@pytest.fixture
def service(project, group):
    return project.service(group)


def refuse(project, group, text, status=400, reason="invalid", **more):
    with refused(status, reason, text):
        project.regionBackendServices.insert(region=REGION, body=project.service_body(group, **more))


@pytest.mark.parametrize("scheme", ["EXTERNAL", "INTERNAL"])
def test_service_with_groups_in_two_zones(project, group, scheme, double):
    other = project.group("neg-b", ZONE_B, ("node-2",))
    found = project.service(group, other, scheme=scheme)
    assert found["haPolicy"] == {"fastIPMove": "GARP_RA"} and found["network"] == project.network
    assert [one["group"] for one in found["backends"]] == [group, other]
    (seen,) = double.get("state")["backend_services"]
    assert [one["ip"] for one in seen["endpoints"]] == ["10.0.0.2", "10.0.0.4", "10.0.0.3"]
    assert (seen["fast_ip_move"], seen["leader"], seen["scheme"]) == ("GARP_RA", None, scheme)
    assert [one["name"] for one in project.regionBackendServices.list(region=REGION)["items"]] == ["svc"]


@pytest.mark.parametrize(
    "field",
    [
        {"healthChecks": ["global/healthChecks/one"]},
        {"sessionAffinity": "NONE"},
        {"sessionAffinity": "CLIENT_IP"},
        {"connectionTrackingPolicy": {"trackingMode": "PER_CONNECTION"}},
        {"connectionDraining": {"drainingTimeoutSec": 300}},
        {"failoverPolicy": {"dropTrafficIfUnhealthy": True}},
        {"subsetting": {"policy": "NONE"}},
        {"networkPassThroughLbTrafficPolicy": {}},
    ],
)
def test_field_that_cannot_be_with_ha_policy_is_refused(project, group, field):
    (name,) = field
    refuse(project, group, f"'resource.{name}'", **field)


def test_draining_of_nothing_is_allowed(project, group):
    assert project.service(group)["connectionDraining"] == {"drainingTimeoutSec": 0}


@pytest.mark.parametrize("protocol", ["TCP", "UDP"])
def test_protocol_may_be_specified(project, group, protocol):
    assert project.service(group, protocol=protocol)["protocol"] == protocol


@pytest.mark.parametrize("protocol", ["HTTP", "SSL"])
def test_protocol_must_be_one_of_passthrough_services(project, group, protocol):
    refuse(project, group, "'resource.protocol'", protocol=protocol)


@pytest.mark.parametrize("scheme", ["INTERNAL_MANAGED", "EXTERNAL_MANAGED", "EXTERNAL_PASSTHROUGH"])
def test_scheme_must_be_a_regional_passthrough_one(project, group, scheme):
    refuse(project, group, "'resource.loadBalancingScheme'", scheme=scheme)


@pytest.mark.parametrize("scheme", ["EXTERNAL", "INTERNAL"])
def test_network_is_required(project, group, scheme):
    refuse(project, group, "'resource.network'", reason="required", scheme=scheme, network=None)


def test_network_of_an_external_service_without_fast_move_is_refused(project, group):
    refuse(project, group, "'resource.network'", haPolicy={"fastIPMove": "DISABLED"})
    project.service(group, haPolicy={}, network=None)
    assert project.get_service()["haPolicy"] == {"fastIPMove": "DISABLED"}


def test_network_that_is_not_there_is_refused(project, group):
    refuse(project, group, "networks/other", 404, "notFound", network="global/networks/other")


def test_services_without_ha_policy_need_a_health_check(project, group):
    refuse(project, group, "'resource.healthChecks'", reason="required", haPolicy=None, network=None)


def test_other_load_balancers_are_not_modelled(project, group):
    refuse(project, group, "passthrough", 501, "notImplemented", scheme="INTERNAL_MANAGED", haPolicy=None)


def test_backend_must_be_a_full_url(project, group):
    partial = group.removeprefix("https://www.googleapis.com/compute/v1/")
    refuse(project, partial, "It must be a full URL")


def test_backend_must_be_a_group(project, group):
    refuse(project, project.nodes["node-1"]["url"], "It must be a URL of one of networkEndpointGroups.")
    refuse(project, group.replace("neg-a", "neg-z"), "neg-z", 404, "notFound")


def test_backend_without_a_group_is_refused(project, group):
    refuse(project, group, "'resource.backends[0].group'", reason="required", backends=[{"description": "x"}])


def test_backend_twice_is_refused(project, group):
    refuse(project, group, "It is a backend already", backends=[{"group": group}, {"group": group}])


def test_balancing_mode_is_connection(project, group):
    backends = [{"group": group, "balancingMode": "RATE"}]
    refuse(project, group, "'resource.backends[0].balancingMode'", backends=backends)


def test_groups_must_be_of_the_network(project, double, group):
    double.post("build", network="other", subnetworks=[{"name": "apart", "cidr": "10.9.0.0/24"}])
    body = {
        "name": "neg-other",
        "networkEndpointType": "GCE_VM_IP",
        "network": "global/networks/other",
        "subnetwork": f"regions/{REGION}/subnetworks/apart",
    }
    project.networkEndpointGroups.do("insert", zone=ZONE_A, body=body)
    other = group.replace("neg-a", "neg-other")
    refuse(project, group, "All groups must be of the network", backends=[{"group": group}, {"group": other}])


def test_group_of_another_region_is_refused(project, double):
    far = {"name": "far", "cidr": "10.1.0.0/24", "region": "us-central1"}
    double.post("build", region="us-central1", subnetworks=[far])
    body = {
        "name": "neg-far",
        "networkEndpointType": "GCE_VM_IP",
        "network": project.network,
        "subnetwork": "regions/us-central1/subnetworks/far",
    }
    project.networkEndpointGroups.do("insert", zone="us-central1-a", body=body)
    url = project.networkEndpointGroups.get(zone="us-central1-a", networkEndpointGroup="neg-far")["selfLink"]
    refuse(project, url, "It is of another region")


def test_leader_is_set_moved_and_removed(project, service, group, double):
    other = project.group("neg-b", ZONE_B, ("node-2",))
    project.patch_service(backends=[{"group": group}, {"group": other}])
    project.patch_service(haPolicy={"leader": leader(group, "node-1")})
    assert project.get_service()["haPolicy"] == {"fastIPMove": "GARP_RA", "leader": leader(group, "node-1")}
    project.patch_service(haPolicy={"leader": leader(other, project.nodes["node-2"]["url"])})
    (seen,) = double.get("state")["backend_services"]
    assert seen["leader"]["instance"].endswith("/node-2") and seen["leader"]["attached"] is True
    project.patch_service(haPolicy={"leader": {"backendGroup": group, "networkEndpoint": {"instance": "node-3"}}})
    project.patch_service(haPolicy={"leader": None})
    assert project.get_service()["haPolicy"] == {"fastIPMove": "GARP_RA"}


def test_leader_may_be_set_at_creation(project, group):
    policy = {"fastIPMove": "GARP_RA", "leader": leader(group, "node-1")}
    assert project.service(group, haPolicy=policy)["haPolicy"] == policy


def test_patch_of_the_leader_merges(project, service, group):
    project.patch_service(haPolicy={"leader": leader(group, "node-1")})
    project.patch_service(haPolicy={"leader": {"networkEndpoint": {"instance": "node-3"}}})
    assert project.get_service()["haPolicy"]["leader"] == leader(group, "node-3")
    project.patch_service(description="the leader stays")
    assert project.get_service()["haPolicy"]["leader"] == leader(group, "node-3")


@pytest.mark.parametrize(
    ("instance", "status", "reason", "text"),
    [
        ("node-2", 400, "invalid", "It must be attached"),
        ("nobody", 400, "invalid", "It must be attached"),
        ("a/b", 400, "invalid", "It must be a URL of one of instances."),
    ],
)
def test_leader_must_be_attached_to_its_group(project, service, group, instance, status, reason, text):
    with refused(status, reason, text):
        project.patch_service(haPolicy={"leader": leader(group, instance)})


def test_group_of_the_leader_must_be_a_backend(project, service):
    other = project.group("neg-b", ZONE_B, ("node-2",))
    with refused(400, "invalid", "It is no backend of the service"):
        project.patch_service(haPolicy={"leader": leader(other, "node-2")})
    partial = f"zones/{ZONE_B}/networkEndpointGroups/neg-b"
    with refused(400, "invalid", "It must be a full URL"):
        project.patch_service(haPolicy={"leader": leader(partial, "node-2")})


def test_leader_must_be_whole(project, service, group):
    with refused(400, "required", "'resource.haPolicy.leader.networkEndpoint.instance'"):
        project.patch_service(haPolicy={"leader": {"backendGroup": group}})
    with refused(400, "required", "'resource.haPolicy.leader.backendGroup'"):
        project.patch_service(haPolicy={"leader": {"networkEndpoint": {"instance": "node-1"}}})


def test_group_of_the_leader_is_not_removed(project, service, group):
    project.patch_service(haPolicy={"leader": leader(group, "node-1")})
    other = project.group("neg-b", ZONE_B)
    with refused(400, "invalid", "It is no backend of the service"):
        project.patch_service(backends=[{"group": other}])


def test_service_with_a_leader_that_is_gone_can_be_patched(project, service, group):
    project.patch_service(haPolicy={"leader": leader(group, "node-1")})
    project.instances.do("delete", zone=ZONE_A, instance="node-1")
    project.patch_service(description="still here")
    project.patch_service(haPolicy={"leader": leader(group, "node-3")})


def test_ha_policy_is_set_at_creation_only(project, service, group):
    with refused(400, "invalid", "It cannot be removed"):
        project.patch_service(haPolicy=None)
    for given in ("DISABLED", None):
        with refused(400, "invalid", "'resource.haPolicy.fastIPMove'"):
            project.patch_service(haPolicy={"fastIPMove": given})
    project.patch_service(haPolicy={"fastIPMove": "GARP_RA"})
    body = {"name": "plain", "protocol": "TCP", "haPolicy": None, "network": None, "connectionDraining": None}
    project.service(group, healthChecks=["global/healthChecks/one"], **body)
    with refused(400, "invalid", "It can be set at creation only"):
        project.patch_service("plain", haPolicy={"fastIPMove": "GARP_RA"})


def test_fingerprint_of_a_patch_must_be_the_present_one(project, service):
    given = {"region": REGION, "backendService": "svc"}
    with refused(412, "conditionNotMet"):
        project.regionBackendServices.patch(**given, body={"description": "none"})
    project.patch_service(description="first")
    with refused(412, "conditionNotMet"):
        project.patch_service(description="second", fingerprint=service["fingerprint"])
    assert project.get_service()["description"] == "first"
    assert project.get_service()["fingerprint"] != service["fingerprint"]


@pytest.mark.parametrize(
    "field", [{"loadBalancingScheme": "INTERNAL"}, {"name": "other"}, {"network": None}, {"protocol": "TCP"}]
)
def test_field_that_stays_is_not_patched(project, service, field):
    (name,) = field
    with refused(400, "invalid", f"'resource.{name}'"):
        project.patch_service(**field)


def test_whole_service_as_read_can_be_patched(project, service, group):
    project.rule(backendService=service["selfLink"], IPAddress=project.external())
    read = project.get_service()
    assert read["usedBy"][0]["reference"].endswith("/forwardingRules/rule")
    read["haPolicy"]["leader"] = leader(group, "node-1")
    project.patch_service(**read)
    assert project.get_service()["haPolicy"]["leader"] == leader(group, "node-1")


def test_service_of_a_rule_is_not_deleted(project, service):
    project.rule(backendService=service["selfLink"], IPAddress=project.external())
    with refused(400, "resourceInUseByAnotherResource", "forwardingRules/rule"):
        project.regionBackendServices.delete(region=REGION, backendService="svc")
    project.forwardingRules.do("delete", region=REGION, forwardingRule="rule")
    project.regionBackendServices.do("delete", region=REGION, backendService="svc")
    with refused(404, "notFound"):
        project.get_service()


def test_network_has_64_services_with_fast_move_in_a_region(project, double, group):
    double.post("latency", milliseconds=0)
    for number in range(64):
        project.regionBackendServices.insert(region=REGION, body=project.service_body(group, name=f"svc-{number}"))
    refuse(project, group, "at most 64", 403, "limitExceeded", name="one-more")
    project.service(group, name="plain", haPolicy={}, network=None)
    project.regionBackendServices.do("delete", region=REGION, backendService="svc-0")
    project.service(group, name="one-more")


def test_service_with_fast_move_has_32_endpoints(project, double):
    double.post("build", zones=1, nodes=[f"more-{number}" for number in range(33)])
    double.post("latency", milliseconds=0)
    group = project.group()
    for number in range(32):
        project.attach("neg-a", ZONE_A, f"more-{number}")
    project.service(group)
    with refused(403, "limitExceeded", "at most 32"):
        project.attach("neg-a", ZONE_A, "more-32")
    other = project.group("neg-b", ZONE_B, ("node-2",))
    with refused(403, "limitExceeded", "at most 32"):
        project.patch_service(backends=[{"group": group}, {"group": other}])
    refuse(
        project,
        group,
        "at most 32",
        403,
        "limitExceeded",
        name="two",
        backends=[{"group": group}, {"group": other}],
    )


def test_quota_of_services(project, double, group):
    double.post("quota", metric="REGIONAL_EXTERNAL_NETWORK_LB_BACKEND_SERVICES", limit=0)
    refuse(project, group, "REGIONAL_EXTERNAL", 403, "quotaExceeded")
    project.service(group, scheme="INTERNAL")


def test_operation_of_a_patch_can_fail(project, double, service):
    double.post(
        "fail", method="compute.regionBackendServices.patch", operation=True, code=403, reason="QUOTA_EXCEEDED"
    )
    with fails("QUOTA_EXCEEDED", 403):
        project.patch_service(description="none")
    assert "description" not in project.get_service()


def test_leader_without_anything_is_none(project, service, group):
    project.patch_service(haPolicy={"leader": leader(group, "node-1")})
    project.patch_service(haPolicy={"leader": {"backendGroup": None, "networkEndpoint": None}})
    assert project.get_service()["haPolicy"] == {"fastIPMove": "GARP_RA"}
