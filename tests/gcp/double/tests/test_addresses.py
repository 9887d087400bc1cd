"""Addresses, networks and subnetworks."""

import pytest
from conftest import REGION, Project, fails, refused


def insert(project, **body):
    project.addresses.do("insert", region=REGION, body={"name": "one"} | body)
    return project.addresses.get(region=REGION, address="one")


def test_external_address_is_reserved(project):
    found = insert(project, labels={"pool": "shop"})
    assert found["address"] == "203.0.113.3" and found["status"] == "RESERVED"
    assert (found["addressType"], found["networkTier"]) == ("EXTERNAL", "PREMIUM")
    assert found["labels"] == {"pool": "shop"} and "users" not in found


def test_internal_address_is_chosen_or_given(project):
    kind = {"addressType": "INTERNAL", "subnetwork": project.subnetwork}
    assert insert(project, **kind)["address"] == "10.0.0.5"
    given = insert_named(project, "two", address="10.0.0.101", **kind)
    assert (given["address"], given["purpose"]) == ("10.0.0.101", "GCE_ENDPOINT")


def insert_named(project, name, **body):
    project.addresses.do("insert", region=REGION, body={"name": name} | body)
    return project.addresses.get(region=REGION, address=name)


@pytest.mark.parametrize("address", ["10.0.0.2", "10.0.0.100"])
def test_internal_address_that_is_used_or_reserved_is_refused(project, address):
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        insert(project, addressType="INTERNAL", subnetwork=project.subnetwork, address=address)


@pytest.mark.parametrize("address", ["10.0.1.7", "10.0.0.1", "10.0.0.255", "2001:db8::1"])
def test_internal_address_that_is_none_of_the_subnetwork_is_refused(project, address):
    with refused(400, "invalid", "'resource.address'"):
        insert(project, addressType="INTERNAL", subnetwork=project.subnetwork, address=address)


def test_internal_address_without_a_subnetwork_is_refused(project):
    with refused(400, "required", "'resource.subnetwork'"):
        insert(project, addressType="INTERNAL")


def test_external_address_cannot_be_chosen(project):
    with refused(400, "invalid", "'resource.address'"):
        insert(project, address="203.0.113.200")


def test_external_address_has_no_subnetwork(project):
    with refused(400, "invalid", "'resource.subnetwork'"):
        insert(project, subnetwork=project.subnetwork)


def test_ephemeral_address_in_use_can_be_kept(project):
    target = project.target("ti", "node-1")
    ephemeral = project.rule(target=target)["IPAddress"]
    assert insert(project, address=ephemeral)["status"] == "IN_USE"


def test_other_purposes_are_not_modelled(project):
    with refused(501, "notImplemented", "VPC_PEERING"):
        insert(project, addressType="INTERNAL", subnetwork=project.subnetwork, purpose="VPC_PEERING")


def test_quota_of_static_addresses(project, double):
    double.post("quota", metric="STATIC_ADDRESSES", limit=2)
    with refused(403, "quotaExceeded", "Quota 'STATIC_ADDRESSES' exceeded. Limit: 2.0 in region europe-west3."):
        insert(project)
    (quota,) = [one for one in project.regions.get(region=REGION)["quotas"] if one["metric"] == "STATIC_ADDRESSES"]
    assert quota == {"metric": "STATIC_ADDRESSES", "limit": 2.0, "usage": 2.0}
    project.addresses.do("delete", region=REGION, address="egress-2")
    insert(project)


def test_address_of_a_rule_is_not_deleted(project):
    project.rule(target=project.target("ti", "node-1"), IPAddress=project.external())
    found = project.addresses.get(region=REGION, address="egress-1")
    assert found["users"][0].endswith("/forwardingRules/rule")
    with refused(400, "resourceInUseByAnotherResource", "forwardingRules/rule"):
        project.addresses.delete(region=REGION, address="egress-1")
    project.forwardingRules.do("delete", region=REGION, forwardingRule="rule")
    project.addresses.do("delete", region=REGION, address="egress-1")


def set_labels(project, **body):
    project.addresses.do("setLabels", region=REGION, resource="egress-1", body=body)


def test_labels_are_set_with_their_fingerprint(project):
    found = project.addresses.get(region=REGION, address="egress-1")
    set_labels(project, labels={"pool": "bank"}, labelFingerprint=found["labelFingerprint"])
    after = project.addresses.get(region=REGION, address="egress-1")
    assert after["labels"] == {"pool": "bank"} and after["labelFingerprint"] != found["labelFingerprint"]
    with refused(412, "conditionNotMet"):
        set_labels(project, labels={}, labelFingerprint=found["labelFingerprint"])
    with refused(412, "conditionNotMet"):
        set_labels(project, labels={})


def test_labels_of_a_rule_are_set_with_their_fingerprint(project):
    rule = project.rule(target=project.target("ti", "node-1"))
    given = {"region": REGION, "resource": "rule"}
    body = {"labels": {"egret": "yes"}, "labelFingerprint": rule["labelFingerprint"]}
    project.forwardingRules.do("setLabels", **given, body=body)
    assert project.forwardingRules.get(region=REGION, forwardingRule="rule")["labels"] == {"egret": "yes"}
    with refused(412, "conditionNotMet"):
        project.forwardingRules.setLabels(**given, body=body)


@pytest.mark.parametrize("labels", [{"Pool": "shop"}, {"pool": "Shop"}, {"9": ""}, {"a" * 64: ""}])
def test_label_that_is_none_is_refused(project, labels):
    with refused(400, "invalid", "'resource.labels'"):
        insert(project, labels=labels)


def test_network_is_in_custom_mode(project):
    with refused(501, "notImplemented", "auto mode"):
        project.networks.insert(body={"name": "auto", "autoCreateSubnetworks": True})
    found = project.networks.get(network="net")
    assert found["subnetworks"] == [project.subnetwork] and found["mtu"] == 1460
    with refused(400, "invalid", "'resource.mtu'"):
        project.networks.insert(body={"name": "small", "autoCreateSubnetworks": False, "mtu": 1000})


def subnetwork(project, **body):
    given = {"name": "more", "network": project.network, "ipCidrRange": "10.2.0.0/24"} | body
    project.subnetworks.do("insert", region=REGION, body=given)
    return project.subnetworks.get(region=REGION, subnetwork="more")


def test_subnetwork_has_a_gateway_and_ranges(project):
    found = subnetwork(project, secondaryIpRanges=[{"rangeName": "pods", "ipCidrRange": "10.3.0.0/16"}])
    assert found["gatewayAddress"] == "10.2.0.1" and found["stackType"] == "IPV4_ONLY"
    assert found["secondaryIpRanges"] == [{"rangeName": "pods", "ipCidrRange": "10.3.0.0/16"}]
    assert len(project.subnetworks.list(region=REGION)["items"]) == 2


@pytest.mark.parametrize(
    ("primary", "secondary"),
    [
        ("10.0.0.128/25", None),
        ("10.100.7.0/24", None),
        ("10.2.0.0/24", "10.2.0.0/28"),
        ("10.2.0.0/24", "10.0.0.0/8"),
    ],
)
def test_ranges_of_a_network_do_not_overlap(project, primary, secondary):
    ranges = [{"rangeName": "pods", "ipCidrRange": secondary}] if secondary else []
    with refused(400, "invalid", "It overlaps"):
        subnetwork(project, ipCidrRange=primary, secondaryIpRanges=ranges)


def test_subnetwork_of_an_unknown_network_is_refused(project):
    with refused(404, "notFound", "networks/other"):
        subnetwork(project, network="global/networks/other")


def test_reference_to_another_kind_is_refused(project):
    with refused(400, "invalid", "It must be a URL of one of networks."):
        subnetwork(project, network=project.subnetwork)


def test_project_and_region_can_be_read(project):
    assert project.projects.get()["name"] == "egret"
    found = project.regions.get(region=REGION)
    assert found["status"] == "UP" and found["zones"][0].endswith(f"/zones/{REGION}-a")
    with refused(404, "notFound"):
        project.regions.get(region="mars-north1")


@pytest.mark.parametrize(
    ("field", "value", "status"),
    [
        ("ipVersion", "IPV6", 501),
        ("ipv6EndpointType", "VM", 501),
        ("addressType", "UNSPECIFIED_TYPE", 400),
        ("network", "global/networks/net", 400),
        ("networkTier", "STANDARD", 400),
    ],
)
def test_internal_address_with_a_field_that_does_not_fit_is_refused(project, field, value, status):
    given = {"addressType": "INTERNAL", "subnetwork": project.subnetwork} | {field: value}
    with refused(status, "notImplemented" if status == 501 else "invalid"):
        insert(project, **given)


def test_subnetwork_of_another_region_is_refused(project, double):
    far = [{"name": "far", "cidr": "10.1.0.0/24", "region": "us-central1"}]
    url = double.post("build", region="us-central1", subnetworks=far)["subnetworks"][0]["url"]
    with refused(400, "invalid", "It is of another region"):
        insert(project, addressType="INTERNAL", subnetwork=url)


def test_reserved_address_is_not_reserved_again(project):
    project.rule(target=project.target("ti", "node-1"), IPAddress="egress-1")
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        insert(project, address=project.built["external"][0]["address"])


def test_resource_has_at_most_64_labels(project):
    with refused(400, "invalid", "at most 64"):
        insert(project, labels={f"key-{number}": "" for number in range(65)})


@pytest.mark.parametrize(
    ("given", "status", "reason", "text"),
    [
        ({"network": ""}, 400, "required", "'resource.network'"),
        ({"ipCidrRange": ""}, 400, "required", "'resource.ipCidrRange'"),
        ({"stackType": "IPV4_IPV6"}, 501, "notImplemented", "IPv6"),
        ({"secondaryIpRanges": [{"ipCidrRange": "10.5.0.0/24"}]}, 400, "invalid", "rangeName"),
        (
            {"secondaryIpRanges": [{"rangeName": "a", "ipCidrRange": "10.5.0.0/24"}] * 2},
            400,
            "invalid",
            "[1].rangeName",
        ),
    ],
)
def test_subnetwork_that_does_not_fit_is_refused(project, given, status, reason, text):
    with refused(status, reason, text):
        subnetwork(project, **given)


def test_full_subnetwork_has_no_address_left(double, compute):
    small = [{"name": "small", "cidr": "10.0.0.0/29"}]
    double.post("build", subnetworks=small, nodes=3)
    project = Project(compute, double.post("build", subnetworks=small, nodes=["last"]))
    with fails("IP_SPACE_EXHAUSTED", 400):
        insert(project, addressType="INTERNAL", subnetwork=project.subnetwork)


def test_regions_are_listed(project):
    assert [one["name"] for one in project.regions.list()["items"]] == [REGION, "us-central1"]
