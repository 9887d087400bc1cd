"""Every request is checked against the discovery document, and so is every answer."""

import uuid

import pytest
from conftest import REGION, ZONE_A, refused

BASE = "/compute/v1/projects/egret"
ADDRESSES = f"{BASE}/regions/{REGION}/addresses"


def reason(answer):
    return answer["error"]["errors"][0]["reason"]


def test_unknown_field_is_refused_and_named(project):
    with refused(400, "invalid", "'resource.adress'"):
        project.addresses.insert(region=REGION, body={"name": "one", "adress": "203.0.113.9"})


def test_unknown_field_deep_inside_is_refused_and_named(project):
    body = project.service_body(haPolicy={"fastIPMove": "GARP_RA", "leader": {"instance": "node-1"}})
    with refused(400, "invalid", "'resource.haPolicy.leader.instance'"):
        project.regionBackendServices.insert(region=REGION, body=body)


def test_wrong_type_is_refused_and_named(project):
    with refused(400, "invalid", "'resource.allPorts'"):
        project.forwardingRules.insert(region=REGION, body={"name": "one", "allPorts": "true"})
    with refused(400, "invalid", "'resource.backends'"):
        project.regionBackendServices.insert(region=REGION, body={"name": "one", "backends": {}})


def test_unknown_value_of_an_enum_is_refused_and_named(project):
    body = project.service_body(haPolicy={"fastIPMove": "ARP"})
    with refused(400, "invalid", "'resource.haPolicy.fastIPMove': 'ARP'. It must be one of DISABLED, GARP_RA"):
        project.regionBackendServices.insert(region=REGION, body=body)


def test_number_that_is_too_large_is_refused(project):
    body = {"name": "one", "priority": 2**31, "allowed": [{"IPProtocol": "all"}]}
    with refused(400, "invalid", "'resource.priority'"):
        project.firewalls.insert(body=body)


def test_name_that_breaks_its_pattern_is_refused(project):
    with refused(400, "invalid", "'resource.name'"):
        project.addresses.insert(region=REGION, body={"name": "Not-a-name"})


def test_missing_name_is_refused(project):
    with refused(400, "required", "'resource.name'"):
        project.addresses.insert(region=REGION, body={})
    with refused(400, "required", "'resource.name'"):
        project.networkEndpointGroups.insert(zone=ZONE_A, body={})


def test_fingerprint_that_is_no_base64_is_refused(project):
    with refused(400, "invalid", "'resource.fingerprint'"):
        project.regionBackendServices.patch(region=REGION, backendService="svc", body={"fingerprint": "?"})


@pytest.mark.parametrize(
    ("query", "status"),
    [
        ("?$alt=json&$apiVersion=2026-09-01", 200),
        ("?alt=json&prettyPrint=false", 200),
        ("?returnPartialSuccess=True", 200),
        ("?colour=red", 400),
        ("?maxResults=many", 400),
    ],
)
def test_parameters_of_the_query(project, double, query, status):
    code, answer = double.raw("GET", ADDRESSES + query)
    assert code == status
    if status == 400:
        assert reason(answer) == "invalid"
        assert query[1:].partition("=")[0] in answer["error"]["message"]


def test_missing_parameter_is_refused(project, double):
    path = f"{BASE}/zones/{ZONE_A}/instances/node-1/updateNetworkInterface"
    code, answer = double.raw("PATCH", path, {})
    assert (code, reason(answer)) == (400, "required")
    assert "networkInterface" in answer["error"]["message"]


def test_path_that_is_none_is_not_found(double):
    code, answer = double.raw("GET", f"{BASE}/regions/{REGION}/adresses")
    assert (code, reason(answer)) == (404, "notFound")


def test_method_that_the_double_lacks_says_so(double):
    code, answer = double.raw("GET", f"{BASE}/zones/{ZONE_A}/disks")
    assert (code, reason(answer)) == (501, "notImplemented")
    assert "compute.disks.list" in answer["error"]["message"]


def test_body_that_is_no_json_is_refused(double):
    code, answer = double.raw("POST", ADDRESSES, b"{")
    assert (code, reason(answer)) == (400, "parseError")


def test_body_of_a_method_without_one_is_refused(project, double):
    code, answer = double.raw("DELETE", f"{ADDRESSES}/egress-1", {"name": "egress-1"})
    assert (code, reason(answer)) == (400, "parseError")
    assert project.addresses.get(region=REGION, address="egress-1")


def test_null_stands_for_an_absent_field(project):
    project.addresses.do("insert", region=REGION, body={"name": "one", "description": None})
    assert "description" not in project.addresses.get(region=REGION, address="one")


def test_unknown_place_is_refused(project):
    with refused(400, "invalid", "Unknown region."):
        project.addresses.list(region="mars-north1")
    with refused(400, "invalid", "Unknown zone."):
        project.instances.list(zone=f"{REGION}-z")


def test_unknown_project_is_refused(double):
    code, answer = double.raw("GET", f"/compute/v1/projects/other/regions/{REGION}/addresses")
    assert (code, answer["error"]["message"]) == (404, "Failed to find project other")


def test_error_body_is_the_legacy_one(double):
    code, answer = double.raw("GET", f"{ADDRESSES}/missing")
    message = f"The resource 'projects/egret/regions/{REGION}/addresses/missing' was not found"
    errors = [{"message": message, "domain": "global", "reason": "notFound"}]
    assert (code, answer) == (404, {"error": {"code": 404, "message": message, "errors": errors}})


@pytest.mark.parametrize("given", ["", "retry-1", "00000000-0000-0000-0000-000000000000", uuid.uuid4().hex])
def test_request_id_that_is_no_uuid_is_refused(project, given):
    with refused(400, "invalid", "'requestId'"):
        project.addresses.insert(region=REGION, body={"name": "one"}, requestId=given)


def test_answer_that_breaks_the_schema_is_the_doubles_error(monkeypatch):
    """In this process, with a view that says what no schema has."""
    from egret_gce import calls, cloud, engine
    from egret_gce.errors import ApiError

    made = engine.Engine()
    monkeypatch.setitem(cloud.VIEWS, "networks", lambda state, path, shown: shown | {"colour": "red"})
    with made.lock:
        call = calls.parsed(
            "POST", "projects/egret/global/networks", "", b'{"name":"n","autoCreateSubnetworks":false}'
        )
        made.check(call)
        made.carry_out(call)
        made.finish_all()
        read = calls.parsed("GET", "projects/egret/global/networks/n", "", b"")
        made.check(read)
        with pytest.raises(ApiError, match="response.colour") as raised:
            made.carry_out(read)
    assert raised.value.status == 500


def test_every_method_of_the_double_is_one_of_the_discovery_document():
    from egret_gce import discovery, engine, permissions

    assert engine.SERVED <= set(discovery.methods())
    assert set(permissions.TABLE) == engine.SERVED


@pytest.mark.parametrize(
    ("resource", "field", "value"),
    [
        ("addresses", "labels", []),
        ("addresses", "description", 7),
        ("addresses", "prefixLength", "24"),
        ("addresses", "prefixLength", True),
        ("addresses", "prefixLength", 2.5),
        ("forwardingRules", "pscConnectionId", "many"),
        ("backendServices", "enableCDN", 1),
    ],
)
def test_value_of_another_kind_is_refused(project, double, resource, field, value):
    path = f"{BASE}/regions/{REGION}/{resource}"
    code, answer = double.raw("POST", path, {"name": "one", field: value})
    assert (code, reason(answer)) == (400, "invalid")
    assert f"'resource.{field}'" in answer["error"]["message"]


def test_flag_of_the_query_is_true_or_false(double):
    code, answer = double.raw("GET", f"{BASE}/aggregated/instances?includeAllScopes=maybe")
    assert (code, reason(answer)) == (400, "invalid")


def test_name_without_a_pattern_in_its_schema_is_looked_at(project):
    body = {"name": "Not-a-name", "networkEndpointType": "GCE_VM_IP"}
    with refused(400, "invalid", "'resource.name'"):
        project.networkEndpointGroups.insert(zone=ZONE_A, body=body)


def test_path_outside_of_the_api_is_not_found(double):
    assert double.raw("GET", "/storage/v1/b")[0] == 404
