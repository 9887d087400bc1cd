"""Firewall rules."""

import pytest
from conftest import refused

ALL = [{"IPProtocol": "all"}]


def insert(project, **body):
    given = {"name": "fw", "network": project.network, "allowed": ALL} | body
    project.firewalls.do("insert", body={key: value for key, value in given.items() if value is not None})
    return project.firewalls.get(firewall="fw")


def test_rule_has_defaults(project, double):
    found = insert(project, targetTags=["gateway"])
    assert (found["direction"], found["priority"], found["disabled"]) == ("INGRESS", 1000, False)
    assert found["sourceRanges"] == ["0.0.0.0/0"]
    (seen,) = double.get("state")["firewalls"]
    assert seen["network"] == "projects/egret/global/networks/net" and seen["target_tags"] == ["gateway"]
    assert seen["allowed"] == ALL and seen["source_ranges"] == ["0.0.0.0/0"]


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("allowed", {"denied": ALL}),
        ("allowed", {"allowed": None}),
        ("priority", {"priority": 65536}),
        ("allowed[0].IPProtocol", {"allowed": [{"IPProtocol": "carrier-pigeon"}]}),
        ("allowed[0].ports", {"allowed": [{"IPProtocol": "icmp", "ports": ["80"]}]}),
        ("allowed[0].ports", {"allowed": [{"IPProtocol": "tcp", "ports": ["90-80"]}]}),
        ("sourceRanges[0]", {"sourceRanges": ["10.0.0.7/24"]}),
        ("sourceTags", {"direction": "EGRESS", "sourceTags": ["a"]}),
        ("targetTags", {"targetTags": ["a"], "targetServiceAccounts": ["b"]}),
    ],
)
def test_rule_that_does_not_fit_is_refused(project, field, given):
    with refused(400, "invalid", f"'resource.{field}'"):
        insert(project, **given)


def test_rule_without_a_protocol_is_refused(project):
    with refused(400, "required", "'resource.allowed[0].IPProtocol'"):
        insert(project, allowed=[{"ports": ["80"]}])


def test_rule_of_an_unknown_network_is_refused(project):
    with refused(404, "notFound", "networks/default"):
        insert(project, network=None)


def test_rule_is_patched(project):
    insert(project)
    given = {"name": "fw", "allowed": [{"IPProtocol": "udp", "ports": ["5480-5481"]}], "network": project.network}
    project.firewalls.do("patch", firewall="fw", body=given)
    assert project.firewalls.get(firewall="fw")["allowed"] == given["allowed"]


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("network", {"network": "global/networks/other"}),
        ("direction", {"direction": "EGRESS"}),
        ("name", {"name": "other"}),
    ],
)
def test_field_that_stays_is_not_patched(project, field, given):
    insert(project)
    with refused(400, "invalid", f"'resource.{field}'"):
        project.firewalls.patch(firewall="fw", body={"name": "fw"} | given)
    with refused(400, "required", "'resource.name'"):
        project.firewalls.patch(firewall="fw", body={"priority": 7})


def test_rule_is_deleted(project):
    insert(project)
    assert len(project.firewalls.list()["items"]) == 1
    project.firewalls.do("delete", firewall="fw")
    with refused(404, "notFound"):
        project.firewalls.delete(firewall="fw")


def test_outgoing_rule_has_destinations(project):
    found = insert(project, direction="EGRESS")
    assert found["destinationRanges"] == ["0.0.0.0/0"] and "sourceRanges" not in found
