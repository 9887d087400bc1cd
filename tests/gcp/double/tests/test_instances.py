"""Instances: alias ranges and the fingerprint of network interfaces, addresses, deletion."""

import pytest
from conftest import REGION, ZONE_A, ZONE_B, fails, refused


def nic(project, name="node-1", zone=ZONE_A):
    return project.instances.get(zone=zone, instance=name)["networkInterfaces"][0]


def update(project, name="node-1", zone=ZONE_A, /, **body):
    """With the present fingerprint, unless another one is given."""
    body = {"fingerprint": nic(project, name, zone)["fingerprint"]} | body
    body = {key: value for key, value in body.items() if value is not None}
    return project.instances.do(
        "updateNetworkInterface", zone=zone, instance=name, networkInterface="nic0", body=body
    )


def aliases(project, name="node-1", zone=ZONE_A):
    return [alias["ipCidrRange"] for alias in nic(project, name, zone).get("aliasIpRanges", [])]


def pods(project, name="node-1"):
    return {"ipCidrRange": project.nodes[name]["pods"], "subnetworkRangeName": "pods"}


def insert(project, name="extra", zone=ZONE_A, nics=None, **more):
    nics = nics or [{"subnetwork": project.subnetwork}]
    body = {"name": name, "machineType": f"zones/{zone}/machineTypes/e2-small", "networkInterfaces": nics}
    project.instances.do("insert", zone=zone, body=body | more)
    return project.instances.get(zone=zone, instance=name)


def test_nodes_have_a_pod_range_as_their_first_alias(project):
    found = nic(project)
    assert found["aliasIpRanges"] == [{"ipCidrRange": "10.100.0.0/24", "subnetworkRangeName": "pods"}]
    assert (found["name"], found["networkIP"]) == ("nic0", "10.0.0.2")


def test_alias_is_appended_and_taken_back(project):
    update(project, aliasIpRanges=[pods(project), {"ipCidrRange": "10.0.0.50"}])
    assert aliases(project) == ["10.100.0.0/24", "10.0.0.50/32"]
    update(project, aliasIpRanges=[pods(project)])
    assert aliases(project) == ["10.100.0.0/24"]


def test_empty_list_clears_and_an_absent_one_leaves(project, double):
    before = nic(project)
    for body in ({}, {"aliasIpRanges": None}):
        given = body | {"fingerprint": before["fingerprint"]}
        project.instances.do(
            "updateNetworkInterface", zone=ZONE_A, instance="node-1", networkInterface="nic0", body=given
        )
        assert nic(project) == before
    assert shown_aliases(double) == ["10.100.0.0/24"]
    update(project, aliasIpRanges=[])
    assert "aliasIpRanges" not in nic(project)
    assert shown_aliases(double) == []


def shown_aliases(double, name="node-1"):
    (one,) = [one for one in double.get("state")["instances"] if one["name"] == name]
    return [alias["cidr"] for alias in one["interfaces"][0]["aliases"]]


def test_aliases_of_a_stopped_instance_can_be_changed(project, double):
    """So an address can be taken from a machine that is off, and kept by one."""
    update(project, aliasIpRanges=[pods(project), {"ipCidrRange": "10.0.0.50"}])
    project.instances.do("stop", zone=ZONE_A, instance="node-1")
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        update(project, "node-2", ZONE_B, aliasIpRanges=[pods(project, "node-2"), {"ipCidrRange": "10.0.0.50"}])
    update(project, aliasIpRanges=[pods(project)])
    assert shown_aliases(double) == ["10.100.0.0/24"]
    update(project, "node-2", ZONE_B, aliasIpRanges=[pods(project, "node-2"), {"ipCidrRange": "10.0.0.50"}])
    assert shown_aliases(double, "node-2") == ["10.100.1.0/24", "10.0.0.50/32"]


def test_missing_fingerprint_is_refused(project):
    with refused(400, "required", "'resource.fingerprint'"):
        update(project, fingerprint=None, aliasIpRanges=[])


def test_stale_fingerprint_is_refused(project):
    old = nic(project)["fingerprint"]
    update(project, aliasIpRanges=[])
    assert nic(project)["fingerprint"] != old
    with refused(412, "conditionNotMet"):
        update(project, fingerprint=old, aliasIpRanges=[{"ipCidrRange": "10.0.0.50"}])
    assert aliases(project) == []


def test_access_configs_in_an_update_are_refused(project):
    """Even those that the interface has."""
    node = insert(project, nics=[{"subnetwork": project.subnetwork, "accessConfigs": [{}]}])
    (given,) = node["networkInterfaces"]
    with refused(400, "invalid", "'resource.accessConfigs'"):
        update(project, "extra", **given)
    with refused(400, "invalid", "'resource.accessConfigs'"):
        update(project, accessConfigs=[], aliasIpRanges=[])


def test_whole_interface_as_read_may_be_sent_without_access_configs(project):
    given = nic(project) | {"aliasIpRanges": [{"ipCidrRange": "10.0.0.50/32"}]}
    update(project, **given)
    assert aliases(project) == ["10.0.0.50/32"]


def test_other_fields_of_an_interface_cannot_be_changed(project):
    with refused(400, "invalid", "'resource.networkIP'"):
        update(project, networkIP="10.0.0.77")


def test_unknown_interface_is_refused(project):
    with refused(400, "invalid", "'networkInterface'"):
        project.instances.updateNetworkInterface(zone=ZONE_A, instance="node-1", networkInterface="nic1", body={})


def test_alias_outside_of_its_range_is_refused(project):
    for alias in (
        {"ipCidrRange": "10.0.1.50"},
        {"ipCidrRange": "10.100.9.0/24"},
        {"ipCidrRange": "10.0.0.50", "subnetworkRangeName": "pods"},
    ):
        with refused(400, "invalid", "It is not in the range"):
            update(project, aliasIpRanges=[alias])


def test_unknown_range_name_is_refused(project):
    with refused(400, "invalid", "'resource.aliasIpRanges[0].subnetworkRangeName'"):
        update(project, aliasIpRanges=[{"ipCidrRange": "10.0.0.50", "subnetworkRangeName": "services"}])


@pytest.mark.parametrize("address", ["10.0.0.0", "10.0.0.1", "10.0.0.254", "10.0.0.255", "10.0.0.0/28"])
def test_alias_with_an_address_that_google_keeps_is_refused(project, address):
    with refused(400, "invalid", "Google keeps"):
        update(project, aliasIpRanges=[{"ipCidrRange": address}])


@pytest.mark.parametrize("text", ["10.0.0.5/24", "2001:db8::1", "none", "/33"])
def test_alias_that_is_no_range_is_refused(project, text):
    with refused(400, "invalid", "'resource.aliasIpRanges[0].ipCidrRange'"):
        update(project, aliasIpRanges=[{"ipCidrRange": text}])


def test_alias_without_a_range_is_refused(project):
    with refused(400, "required", "'resource.aliasIpRanges[0].ipCidrRange'"):
        update(project, aliasIpRanges=[{"subnetworkRangeName": "pods"}])


def test_netmask_takes_a_free_range(project):
    update(project, aliasIpRanges=[{"ipCidrRange": "/24", "subnetworkRangeName": "pods"}, {"ipCidrRange": "/30"}])
    # Not 10.100.1.0/24 and 10.100.2.0/24, which other nodes have, nor the nodes' own addresses.
    assert aliases(project)[0] == "10.100.0.0/24"
    assert aliases(project)[1] == "10.0.0.8/30"
    with fails("IP_SPACE_EXHAUSTED", 400):
        update(project, "node-3", aliasIpRanges=[{"ipCidrRange": "/25"}])


def test_alias_of_another_node_is_refused_in_the_operation(project):
    update(project, aliasIpRanges=[{"ipCidrRange": "10.0.0.50"}])
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409, "IP '10.0.0.50' is already being used"):
        update(project, "node-2", ZONE_B, aliasIpRanges=[{"ipCidrRange": "10.0.0.48/30"}])
    assert aliases(project, "node-2", ZONE_B) == ["10.100.1.0/24"], "what it had stays"


def test_address_of_another_nodes_pods_is_no_alias(project):
    alias = {"ipCidrRange": "10.100.1.7/32", "subnetworkRangeName": "pods"}
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        update(project, aliasIpRanges=[pods(project), alias])
    assert aliases(project) == ["10.100.0.0/24"]


def test_reserved_address_that_is_used_is_no_alias(project):
    """By a rule, by an instance's interface, or as another node's alias."""
    (reserved,) = (one["address"] for one in project.built["internal"])
    alias = [{"ipCidrRange": reserved}]
    target = project.target("ti", "node-3")
    project.rule(
        target=target, loadBalancingScheme="INTERNAL", IPAddress=reserved, subnetwork=project.subnetwork
    )
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        update(project, aliasIpRanges=alias)
    project.forwardingRules.do("delete", region=REGION, forwardingRule="rule")
    insert(project, nics=[{"subnetwork": project.subnetwork, "networkIP": reserved}])
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        update(project, aliasIpRanges=alias)
    project.instances.do("delete", zone=ZONE_A, instance="extra")
    update(project, "node-2", ZONE_B, aliasIpRanges=alias)
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        update(project, aliasIpRanges=alias)


def test_primary_address_of_a_node_is_no_alias(project):
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        update(project, aliasIpRanges=[{"ipCidrRange": "10.0.0.3"}])


def test_alias_moves_across_zones_after_it_was_taken_back(project):
    update(project, aliasIpRanges=[{"ipCidrRange": "10.0.0.50"}])
    update(project, aliasIpRanges=[])
    update(project, "node-2", ZONE_B, aliasIpRanges=[{"ipCidrRange": "10.0.0.50"}])
    assert aliases(project, "node-2", ZONE_B) == ["10.0.0.50/32"]


def test_aliases_of_one_interface_may_not_overlap(project):
    with refused(400, "invalid", "It overlaps"):
        update(project, aliasIpRanges=[{"ipCidrRange": "10.0.0.48/30"}, {"ipCidrRange": "10.0.0.50"}])


def test_reserved_address_as_an_alias_is_in_use(project):
    update(project, aliasIpRanges=[{"ipCidrRange": "10.0.0.100/32"}])
    found = project.addresses.get(region=REGION, address="inside-1")
    assert found["status"] == "IN_USE" and found["users"] == [project.nodes["node-1"]["url"]]
    with refused(400, "resourceInUseByAnotherResource"):
        project.addresses.delete(region=REGION, address="inside-1")


def test_reserved_address_within_a_larger_alias_is_refused(project):
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        update(project, aliasIpRanges=[{"ipCidrRange": "10.0.0.96/28"}])


def test_address_of_a_forwarding_rule_is_no_alias(project):
    target = project.target("ti", "node-1")
    project.rule(
        target=target, loadBalancingScheme="INTERNAL", IPAddress="10.0.0.60", subnetwork=project.subnetwork
    )
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        update(project, aliasIpRanges=[{"ipCidrRange": "10.0.0.60"}])


def test_interface_has_at_most_150_aliases(project):
    given = [{"ipCidrRange": f"10.100.200.{number}", "subnetworkRangeName": "pods"} for number in range(151)]
    with refused(403, "limitExceeded", "at most 150"):
        update(project, aliasIpRanges=given)
    update(project, aliasIpRanges=given[:150])
    assert len(aliases(project)) == 150


def test_insert_takes_a_free_address(project):
    made = insert(project)
    (interface,) = made["networkInterfaces"]
    assert interface["networkIP"] == "10.0.0.5" and interface["network"] == project.network
    assert made["status"] == "RUNNING" and made["canIpForward"] is False


def test_insert_with_a_reserved_address_uses_it(project):
    insert(project, nics=[{"subnetwork": project.subnetwork, "networkIP": "10.0.0.100"}])
    assert project.addresses.get(region=REGION, address="inside-1")["status"] == "IN_USE"


@pytest.mark.parametrize("address", ["10.0.0.2", "10.100.0.7"])
def test_insert_with_a_used_address_leaves_nothing(project, address):
    given = [{"subnetwork": project.subnetwork, "networkIP": address}]
    if address.startswith("10.100"):
        with refused(400, "invalid", "It is not in the subnetwork's range"):
            insert(project, nics=given)
    else:
        with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
            insert(project, nics=given)
    with refused(404, "notFound"):
        project.instances.get(zone=ZONE_A, instance="extra")


def test_insert_with_a_static_external_address(project, double):
    address = project.built["external"][0]["address"]
    given = [{"subnetwork": project.subnetwork, "accessConfigs": [{"natIP": address}]}]
    insert(project, nics=given)
    assert project.addresses.get(region=REGION, address="egress-1")["status"] == "IN_USE"
    (one,) = [one for one in double.get("state")["instances"] if one["name"] == "extra"]
    assert one["interfaces"][0]["external_ip"] == address
    with fails("IP_IN_USE_BY_ANOTHER_RESOURCE", 409):
        insert(project, "other", nics=given)
    with refused(400, "invalid", "natIP"):
        insert(project, "other", nics=[given[0] | {"accessConfigs": [{"natIP": "203.0.113.77"}]}])


def test_interface_has_one_access_config(project):
    with refused(400, "invalid", "accessConfigs"):
        insert(project, nics=[{"subnetwork": project.subnetwork, "accessConfigs": [{}, {}]}])


def test_insert_without_what_it_needs_is_refused(project):
    for missing in ("machineType", "networkInterfaces"):
        body = {"name": "extra", "machineType": "zones/a/machineTypes/b", "networkInterfaces": [{}]}
        del body[missing]
        with refused(400, "required", missing):
            project.instances.insert(zone=ZONE_A, body=body)
    with refused(400, "required", "networkInterfaces[0].subnetwork"):
        insert(project, nics=[{"network": project.network}])


def test_each_interface_is_of_another_network(project):
    with refused(400, "invalid", "Each interface must be of another network"):
        insert(project, nics=[{"subnetwork": project.subnetwork}] * 2)


def test_subnetwork_of_another_region_is_refused(project, double):
    double.post(
        "build",
        region="us-central1",
        network="net",
        subnetworks=[{"name": "far", "cidr": "10.1.0.0/24", "region": "us-central1"}],
    )
    with refused(400, "invalid", "It is of another region"):
        insert(project, nics=[{"subnetwork": "regions/us-central1/subnetworks/far"}])


def test_ipv6_is_not_modelled_and_says_so(project):
    with refused(501, "notImplemented", "IPv6"):
        insert(project, nics=[{"subnetwork": project.subnetwork, "stackType": "IPV4_IPV6"}])


def test_deletion_leaves_groups_without_the_instance_and_a_leader_that_is_gone(project, double):
    group = project.group(nodes=("node-1", "node-3"))
    project.service(
        group,
        haPolicy={
            "fastIPMove": "GARP_RA",
            "leader": {"backendGroup": group, "networkEndpoint": {"instance": "node-1"}},
        },
    )
    project.instances.do("delete", zone=ZONE_A, instance="node-1")
    assert project.networkEndpointGroups.get(zone=ZONE_A, networkEndpointGroup="neg-a")["size"] == 1
    (service,) = double.get("state")["backend_services"]
    assert service["leader"]["attached"] is False
    assert service["leader"]["instance"].endswith("/node-1")


def test_target_instance_outlives_its_instance(project, double):
    target = project.target("ti", "node-1")
    project.rule(target=target, IPAddress="egress-1")
    project.instances.do("delete", zone=ZONE_A, instance="node-1")

    def delivered():
        (rule,) = double.get("state")["forwarding_rules"]
        assert rule["kind"] == "target_instance"
        return rule["instance"]

    named = project.nodes["node-1"]["url"]
    assert delivered() is None
    assert project.targetInstances.get(zone=ZONE_A, targetInstance="ti")["instance"] == named
    assert project.forwardingRules.get(region=REGION, forwardingRule="rule")["target"] == target
    # The rule can go elsewhere, and a node that is made anew has its address again.
    insert(project, "node-1")
    assert named.endswith(delivered())
    project.forwardingRules.do(
        "setTarget", region=REGION, forwardingRule="rule", body={"target": project.target("ti-3", "node-3")}
    )
    assert delivered().endswith("/node-3")
    project.targetInstances.do("delete", zone=ZONE_A, targetInstance="ti")


def test_protected_instance_is_not_deleted(project):
    insert(project, deletionProtection=True)
    with refused(400, "invalid", "protected"):
        project.instances.delete(zone=ZONE_A, instance="extra")


def test_stopped_instance_keeps_everything(project, double):
    before = nic(project)
    project.instances.do("stop", zone=ZONE_A, instance="node-1")
    assert project.instances.get(zone=ZONE_A, instance="node-1")["status"] == "TERMINATED"
    assert double.get("state")["instances"][0]["status"] == "TERMINATED"
    project.instances.do("start", zone=ZONE_A, instance="node-1")
    assert project.instances.get(zone=ZONE_A, instance="node-1")["status"] == "RUNNING"
    assert nic(project) == before


@pytest.mark.parametrize(
    ("nic", "status", "reason", "text"),
    [
        ({"queueCount": 2}, 501, "notImplemented", "queueCount"),
        ({"accessConfigs": [{"setPublicPtr": True}]}, 501, "notImplemented", "setPublicPtr"),
        ({"network": "global/networks/other"}, 400, "invalid", "The subnetwork is of another network"),
    ],
)
def test_interface_that_does_not_fit_is_refused(project, nic, status, reason, text):
    with refused(status, reason, text):
        insert(project, nics=[{"subnetwork": project.subnetwork} | nic])


def test_kind_of_interface_is_kept(project):
    nic = {"subnetwork": project.subnetwork, "network": project.network, "nicType": "GVNIC"}
    assert insert(project, nics=[nic])["networkInterfaces"][0]["nicType"] == "GVNIC"


def test_templates_are_not_modelled(project):
    with refused(501, "notImplemented", "sourceInstanceTemplate"):
        project.instances.insert(zone=ZONE_A, body={"name": "a"}, sourceInstanceTemplate="global/x")


def test_netmask_larger_than_its_range_is_refused(project):
    with refused(400, "invalid", "It is larger than the range"):
        update(project, aliasIpRanges=[{"ipCidrRange": "/20"}])
