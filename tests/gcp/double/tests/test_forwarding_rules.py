"""Regional forwarding rules, and the target instances behind some of them."""

import pytest
from conftest import REGION, ZONE_A, fails, refused


@pytest.fixture
def target(project):
    return project.target("ti-1", "node-1")


@pytest.fixture
def service(project):
    return project.service(project.group(nodes=("node-1",)))["selfLink"]


def rule_of(project, name="rule"):
    return project.forwardingRules.get(region=REGION, forwardingRule=name)


def inside(project, **more):
    return {"loadBalancingScheme": "INTERNAL", "subnetwork": project.subnetwork} | more


def test_rule_of_a_service_with_a_static_address(project, service, double):
    found = project.rule(backendService=service, IPAddress=project.external(), labels={"egret": "yes"})
    assert (found["IPAddress"], found["loadBalancingScheme"]) == ("203.0.113.1", "EXTERNAL")
    assert (found["IPProtocol"], found["allPorts"]) == ("L3_DEFAULT", True)
    address = project.addresses.get(region=REGION, address="egress-1")
    assert (address["status"], address["users"]) == ("IN_USE", [found["selfLink"]])
    (seen,) = double.get("state")["forwarding_rules"]
    assert (seen["address"], seen["kind"], seen["labels"]) == ("203.0.113.1", "backend_service", {"egret": "yes"})
    assert [one["ip"] for one in seen["endpoints"]] == ["10.0.0.2"]
    assert [one["name"] for one in project.forwardingRules.list(region=REGION, filter="labels.egret=yes")["items"]]


@pytest.mark.parametrize(
    "form",
    [
        "{url}",
        "projects/egret/regions/europe-west3/addresses/egress-1",
        "regions/europe-west3/addresses/egress-1",
        "egress-1",
        "203.0.113.1",
    ],
)
def test_address_is_given_by_url_name_or_number(project, target, form):
    given = form.format(url=project.external())
    assert project.rule(target=target, IPAddress=given)["IPAddress"] == "203.0.113.1"


def test_ephemeral_address_is_given_where_none_is_asked_for(project, target):
    assert project.rule(target=target)["IPAddress"] == "203.0.113.3"
    assert project.rule("two", **inside(project, target=target))["IPAddress"] == "10.0.0.5"


def test_external_number_that_is_not_reserved_is_refused(project, target):
    with refused(400, "invalid", "It is no static external address of the region."):
        project.rule(target=target, IPAddress="203.0.113.77")


def test_unknown_address_is_refused(project, target):
    with refused(404, "notFound", "addresses/egress-9"):
        project.rule(target=target, IPAddress="egress-9")


def test_address_of_the_other_kind_is_refused(project, target):
    with refused(400, "invalid", "It is INTERNAL, unlike the rule."):
        project.rule(target=target, IPAddress="inside-1")
    with refused(400, "invalid", "It is EXTERNAL, unlike the rule."):
        project.rule(**inside(project, target=target, IPAddress="egress-1"))


def test_address_of_another_region_is_refused(project, target, double):
    far = [{"name": "far", "cidr": "10.1.0.0/24", "region": "us-central1"}]
    url = double.post("build", region="us-central1", subnetworks=far, external=["away"])["external"][0]["url"]
    with refused(400, "invalid", "It is of another region"):
        project.rule(target=target, IPAddress=url)


def test_internal_number_must_be_one_of_the_subnetwork(project, target):
    for number in ("10.0.1.7", "10.0.0.1"):
        with refused(400, "invalid", "'resource.IPAddress'"):
            project.rule(**inside(project, target=target, IPAddress=number))
    assert project.rule(**inside(project, target=target, IPAddress="10.0.0.60"))["IPAddress"] == "10.0.0.60"


def test_internal_rule_with_a_reserved_address(project, double):
    service = project.service(project.group(), scheme="INTERNAL")["selfLink"]
    for given in ("inside-1", "10.0.0.100"):
        found = project.rule(**inside(project, backendService=service, IPAddress=given, allowGlobalAccess=True))
        assert found["IPAddress"] == "10.0.0.100" and found["network"] == project.network
        assert project.addresses.get(region=REGION, address="inside-1")["status"] == "IN_USE"
        (seen,) = double.get("state")["forwarding_rules"]
        assert seen["global_access"] is True and seen["scheme"] == "INTERNAL"
        project.forwardingRules.do("delete", region=REGION, forwardingRule="rule")


def test_reserved_address_of_another_subnetwork_is_refused(project, target):
    body = {"name": "more", "network": project.network, "ipCidrRange": "10.2.0.0/24"}
    project.subnetworks.do("insert", region=REGION, body=body)
    given = inside(project, target=target, IPAddress="inside-1", subnetwork=f"regions/{REGION}/subnetworks/more")
    with refused(400, "invalid", "It is of another subnetwork"):
        project.rule(**given)


@pytest.mark.parametrize("number", ["10.0.0.2", "10.100.0.7"])
def test_address_of_a_node_is_refused(project, target, number):
    if number.startswith("10.100"):
        with refused(400, "invalid", "It is not in the subnetwork's range"):
            project.rule(**inside(project, target=target, IPAddress=number))
        return
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        project.rule(**inside(project, target=target, IPAddress=number))


def test_internal_rule_needs_its_subnetwork(project, target):
    with refused(400, "required", "'resource.subnetwork'"):
        project.rule(target=target, loadBalancingScheme="INTERNAL")


def test_network_of_a_rule_must_be_that_of_its_subnetwork_and_service(project, double, target):
    apart = {"network": "other", "subnetworks": [{"name": "apart", "cidr": "10.9.0.0/24"}]}
    other = double.post("build", **apart)
    with refused(400, "invalid", "The subnetwork is of another network"):
        project.rule(**inside(project, target=target, network=other["network"]["url"]))
    service = project.service(project.group(), scheme="INTERNAL")["selfLink"]
    with refused(400, "invalid", "The backend service is of another network"):
        given = inside(project, backendService=service, subnetwork=other["subnetworks"][0]["url"])
        project.rule(**given)


@pytest.mark.parametrize("field", ["network", "subnetwork"])
def test_external_rule_has_no_network(project, target, field):
    with refused(400, "invalid", f"'resource.{field}'"):
        project.rule(target=target, **{field: getattr(project, field)})


def test_fast_move_means_one_rule_for_an_address(project, service, target):
    project.rule(backendService=service, IPAddress=project.external())
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        given = {"target": target, "IPAddress": project.external(), "IPProtocol": "UDP"}
        project.rule("two", **given)
    project.rule("three", target=target, IPAddress=project.external(1), IPProtocol="UDP")
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        project.rule("four", backendService=service, IPAddress=project.external(1))


def test_address_has_one_rule_for_each_protocol(project, target):
    project.rule(target=target, IPAddress=project.external())
    project.rule("two", target=target, IPAddress=project.external(), IPProtocol="UDP")
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        project.rule("three", target=target, IPAddress=project.external())
    users = project.addresses.get(region=REGION, address="egress-1")["users"]
    assert [one.rpartition("/")[2] for one in users] == ["rule", "two"]


def test_internal_address_is_shared_if_its_purpose_says_so(project, target):
    body = {
        "name": "shared",
        "addressType": "INTERNAL",
        "subnetwork": project.subnetwork,
        "purpose": "SHARED_LOADBALANCER_VIP",
    }
    project.addresses.do("insert", region=REGION, body=body)
    for address, outcome in (("shared", None), ("inside-1", "IP_IN_USE_BY_ANOTHER_RESOURCE")):
        project.rule(f"{address}-1", **inside(project, target=target, IPAddress=address))
        second = inside(project, target=target, IPAddress=address, IPProtocol="UDP")
        if outcome:
            with fails(outcome, 409):
                project.rule(f"{address}-2", **second)
        else:
            project.rule(f"{address}-2", **second)


def test_l3_default_requires_all_ports(project, target):
    for given in (None, False):
        with refused(400, "invalid", "'resource.allPorts'"):
            project.rule(target=target, allPorts=given)


@pytest.mark.parametrize(
    ("field", "given"),
    [
        ("allPorts", {"allPorts": True, "portRange": "80"}),
        ("ports", {"allPorts": None, "IPProtocol": "ESP", "ports": ["80"]}),
        ("allPorts", {"IPProtocol": "ICMP"}),
        ("portRange", {"allPorts": None, "IPProtocol": "TCP", "ports": ["80"], "portRange": "81"}),
        ("ports", {"allPorts": None, "IPProtocol": "TCP", "ports": ["1", "2", "3", "4", "5", "6"]}),
    ],
)
def test_ports_that_do_not_fit_are_refused(project, target, field, given):
    with refused(400, "invalid", f"'resource.{field}'"):
        project.rule(target=target, **given)


def test_rule_has_a_target_or_a_service(project, target, service):
    with refused(400, "invalid", "Give one of target and backendService."):
        project.rule()
    with refused(400, "invalid", "Give one of target and backendService."):
        project.rule(target=target, backendService=service)


def test_service_of_another_scheme_is_refused(project, service):
    with refused(400, "invalid", "'resource.backendService'"):
        project.rule(**inside(project, backendService=service))


@pytest.mark.parametrize(
    ("service", "rule", "fits"),
    [
        ("UNSPECIFIED", "L3_DEFAULT", True),
        ("UNSPECIFIED", "TCP", True),
        ("UDP", "UDP", True),
        ("UDP", "L3_DEFAULT", False),
        ("TCP", "UDP", False),
        ("UNSPECIFIED", "SCTP", False),
    ],
)
def test_protocols_of_a_rule_and_its_service_must_fit(project, service, rule, fits):
    url = project.service(project.group(), protocol=service)["selfLink"]
    given = {"backendService": url, "IPAddress": "egress-1", "IPProtocol": rule}
    if fits:
        project.rule(**given)
        return
    with refused(400, "invalid", "'resource.IPProtocol'"):
        project.rule(**given)


def test_what_is_behind_a_rule_must_be_of_its_region(project, double, service, target):
    far = [{"name": "far", "cidr": "10.1.0.0/24", "region": "us-central1"}]
    double.post("build", region="us-central1", subnetworks=far)
    for given in ({"target": target}, {"backendService": service}):
        body = {"name": "far", "IPProtocol": "L3_DEFAULT", "allPorts": True} | given
        with refused(400, "invalid", "It is not of the rule's region"):
            project.forwardingRules.insert(region="us-central1", body=body)


def test_global_access_is_of_internal_rules(project, target):
    with refused(400, "invalid", "'resource.allowGlobalAccess'"):
        project.rule(target=target, allowGlobalAccess=True)


def test_tier_must_be_that_of_the_address(project, target):
    with refused(400, "invalid", "'resource.networkTier'"):
        project.rule(target=target, IPAddress="egress-1", networkTier="STANDARD")


def test_other_schemes_and_several_addresses_are_not_for_regional_rules(project, target):
    with refused(501, "notImplemented", "INTERNAL_MANAGED"):
        project.rule(target=target, loadBalancingScheme="INTERNAL_MANAGED")
    with refused(400, "invalid", "'resource.IPAddresses'"):
        project.rule(target=target, IPAddresses=["203.0.113.1", "203.0.113.2"])


def set_target(project, target, name="rule"):
    given = {"region": REGION, "forwardingRule": name, "body": {"target": target} if target else {}}
    return project.forwardingRules.do("setTarget", **given)


def test_target_moves_between_instances_and_zones(project, target, double):
    second = project.target("ti-2", "node-2")
    project.rule(target=target, IPAddress="egress-1")
    done = set_target(project, second)
    assert done["operationType"] == "setTarget" and rule_of(project)["target"] == second
    (seen,) = double.get("state")["forwarding_rules"]
    assert (seen["kind"], seen["instance"]) == (
        "target_instance",
        "projects/egret/zones/europe-west3-b/instances/node-2",
    )


def test_target_that_does_not_fit_is_refused(project, target, service, double):
    project.rule(target=target, IPAddress="egress-1")
    with refused(404, "notFound"):
        set_target(project, f"zones/{ZONE_A}/targetInstances/missing")
    with refused(400, "invalid", "It must be a URL of one of targetInstances."):
        set_target(project, service)
    with refused(400, "required", "'resource.target'"):
        set_target(project, None)
    far = [{"name": "far", "cidr": "10.1.0.0/24", "region": "us-central1"}]
    url = double.post("build", region="us-central1", subnetworks=far, nodes=["away"])["nodes"][0]["url"]
    body = {"name": "ti-far", "instance": url}
    project.targetInstances.do("insert", zone="us-central1-a", body=body)
    with refused(400, "invalid", "It is not of the rule's region"):
        set_target(project, "zones/us-central1-a/targetInstances/ti-far")


def test_rule_of_a_service_gets_no_target(project, service, target):
    project.rule(backendService=service, IPAddress="egress-1")
    with refused(400, "invalid", "The rule has a backend service"):
        set_target(project, target)


def patch(project, **body):
    project.forwardingRules.do("patch", region=REGION, forwardingRule="rule", body=body)


def test_global_access_of_an_internal_rule_is_patched(project, target):
    found = project.rule(**inside(project, target=target))
    patch(project, allowGlobalAccess=True, fingerprint=found["fingerprint"])
    assert rule_of(project)["allowGlobalAccess"] is True
    with refused(412, "conditionNotMet"):
        patch(project, allowGlobalAccess=False, fingerprint=found["fingerprint"])
    patch(project, allowGlobalAccess=False)


def test_nothing_else_of_a_rule_is_patched(project, target, service):
    project.rule(target=target, IPAddress="egress-1")
    for field, value in (("backendService", service), ("IPAddress", "203.0.113.2"), ("labels", {"a": "b"})):
        with refused(400, "invalid", f"'resource.{field}'"):
            patch(project, **{field: value})
    with refused(400, "invalid", "'resource.allowGlobalAccess'"):
        patch(project, allowGlobalAccess=True)
    with refused(400, "invalid", "'resource.networkTier'"):
        patch(project, networkTier="STANDARD")
    patch(project, networkTier="PREMIUM", description=None)


def test_quotas_of_rules(project, double, target, service):
    double.post("quota", metric="EXTERNAL_PROTOCOL_FORWARDING_RULES", limit=0)
    with refused(403, "quotaExceeded", "EXTERNAL_PROTOCOL_FORWARDING_RULES"):
        project.rule(target=target)
    project.rule(backendService=service)
    double.post("quota", metric="EXTERNAL_NETWORK_LB_FORWARDING_RULES", limit=1)
    with refused(403, "quotaExceeded", "EXTERNAL_NETWORK_LB_FORWARDING_RULES"):
        project.rule("two", backendService=service)


def test_target_instance_says_its_instance(project, target):
    found = project.targetInstances.get(zone=ZONE_A, targetInstance="ti-1")
    assert (found["natPolicy"], found["instance"]) == ("NO_NAT", project.nodes["node-1"]["url"])
    assert [one["name"] for one in project.targetInstances.list(zone=ZONE_A)["items"]] == ["ti-1"]


@pytest.mark.parametrize(
    ("given", "status", "reason", "text"),
    [
        ({}, 400, "required", "'resource.instance'"),
        ({"instance": f"zones/{ZONE_A}/instances/nobody"}, 404, "notFound", "nobody"),
        ({"instance": f"zones/{REGION}-b/instances/node-2"}, 400, "invalid", "It is of another zone"),
        ({"instance": f"zones/{ZONE_A}/instances/node-1", "natPolicy": "NAT"}, 400, "invalid", "natPolicy"),
        (
            {"instance": f"zones/{ZONE_A}/instances/node-1", "network": "global/networks/other"},
            400,
            "invalid",
            "network",
        ),
    ],
)
def test_target_instance_that_does_not_fit_is_refused(project, given, status, reason, text):
    with refused(status, reason, text):
        project.targetInstances.insert(zone=ZONE_A, body={"name": "ti"} | given)


def test_target_instance_of_a_rule_is_not_deleted(project, target):
    project.rule(target=target, IPAddress="egress-1")
    with refused(400, "resourceInUseByAnotherResource", "forwardingRules/rule"):
        project.targetInstances.delete(zone=ZONE_A, targetInstance="ti-1")
    project.forwardingRules.do("delete", region=REGION, forwardingRule="rule")
    project.targetInstances.do("delete", zone=ZONE_A, targetInstance="ti-1")


def test_quota_of_target_instances(project, double):
    double.post("quota", metric="TARGET_INSTANCES", limit=0)
    with refused(403, "quotaExceeded", "TARGET_INSTANCES"):
        project.target("ti-1", "node-1")


def test_ipv6_is_not_modelled_and_says_so(project, target):
    with refused(501, "notImplemented", "IPv6"):
        project.rule(target=target, ipVersion="IPV6")


def test_subnetwork_of_another_region_is_refused(project, target, double):
    far = [{"name": "far", "cidr": "10.1.0.0/24", "region": "us-central1"}]
    url = double.post("build", region="us-central1", subnetworks=far)["subnetworks"][0]["url"]
    with refused(400, "invalid", "It is not of the rule's region"):
        project.rule(**inside(project, target=target, subnetwork=url))
