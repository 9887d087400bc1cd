"""Lists: filters, pages, order."""

import pytest
from conftest import REGION, ZONE_A, refused


@pytest.fixture
def labelled(project):
    for name, labels in (
        ("a", {"pool": "shop", "stage": "live"}),
        ("b", {"pool": "shop", "stage": "test"}),
        ("c", {"pool": "bank", "stage": "live"}),
        ("d", {}),
    ):
        project.addresses.do("insert", region=REGION, body={"name": name, "labels": labels})
    for name in ("egress-1", "egress-2", "inside-1"):
        project.addresses.do("delete", region=REGION, address=name)
    return project


def names(project, filter_, **more):
    found = project.addresses.list(region=REGION, filter=filter_, **more)
    return [item["name"] for item in found.get("items", [])]


@pytest.mark.parametrize(
    ("filter_", "wanted"),
    [
        ("labels.pool=shop", "ab"),
        ('labels.pool = "shop"', "ab"),
        ("labels.pool=shop AND labels.stage=live", "a"),
        ("labels.pool=shop labels.stage=live", "a"),
        ("(labels.pool=shop) (labels.stage=live)", "a"),
        ("(labels.pool = shop) AND (labels.stage = live)", "a"),
        ("(labels.pool=bank) OR (labels.stage=test)", "bc"),
        ("labels.pool=bank OR labels.pool=shop AND labels.stage=live", "ac"),
        ("NOT labels.pool=shop", "cd"),
        ("labels.pool!=shop", "cd"),
        ("labels.pool:*", "abc"),
        ("labels.stage:iv", "ac"),
        ("(status=RESERVED) (addressType=EXTERNAL) (ipVersion!=IPV6)", "abcd"),
        ("status=IN_USE", ""),
        ("name eq [ab]", "ab"),
        ("name ne '[ab]'", "cd"),
        ("(name eq a|c) (labels.stage eq live)", "ac"),
        ("address > 203.0.113.99", ""),
        ("name >= c", "cd"),
    ],
)
def test_filter(labelled, filter_, wanted):
    assert names(labelled, filter_) == list(wanted)


@pytest.mark.parametrize(
    "filter_",
    [
        "labels.pool",
        "labels.pool=",
        "(labels.pool=shop",
        "= shop",
        "AND",
        "a=b)",
        "name eq [",
        "a = b =",
        "a='b",
        "(name eq a) (b)",
    ],
)
def test_filter_that_is_none_is_refused(labelled, filter_):
    with refused(400, "invalid", "Invalid list filter expression."):
        labelled.addresses.list(region=REGION, filter=filter_)


def test_filter_of_a_nested_flag(project):
    assert len(project.instances.list(zone=ZONE_A, filter="canIpForward=false")["items"]) == 2
    assert "items" not in project.instances.list(zone=ZONE_A, filter="canIpForward=true")


def test_pages_follow_each_other(labelled):
    first = labelled.addresses.list(region=REGION, maxResults=3)
    assert [item["name"] for item in first["items"]] == ["a", "b", "c"]
    second = labelled.addresses.list(region=REGION, maxResults=3, pageToken=first["nextPageToken"])
    assert [item["name"] for item in second["items"]] == ["d"] and "nextPageToken" not in second


def test_client_library_follows_the_pages(labelled, compute):
    request, found = compute.addresses().list(project="egret", region=REGION, maxResults=1), []
    while request is not None:
        answer = request.execute()
        found += [item["name"] for item in answer["items"]]
        request = compute.addresses().list_next(request, answer)
    assert found == ["a", "b", "c", "d"]


def test_page_token_that_is_none_is_refused(labelled):
    for token in ("x", "bm9uZQ=="):
        with refused(400, "invalid", "'pageToken'"):
            labelled.addresses.list(region=REGION, pageToken=token)


def test_page_may_not_be_too_large(labelled):
    with refused(400, "invalid", "'maxResults'"):
        labelled.addresses.list(region=REGION, maxResults=501)


def test_newest_first(labelled):
    assert names(labelled, "name:*", orderBy="creationTimestamp desc")[0] == "d"
    with refused(400, "invalid", "'orderBy'"):
        names(labelled, "name:*", orderBy="labels")


def test_aggregated_list_is_by_scope(project):
    found = project.instances.aggregatedList()["items"]
    assert [one["name"] for one in found[f"zones/{ZONE_A}"]["instances"]] == ["node-1", "node-3"]
    assert found[f"zones/{REGION}-c"]["warning"]["code"] == "NO_RESULTS_ON_PAGE"
    addresses = project.addresses.aggregatedList()["items"]
    assert len(addresses[f"regions/{REGION}"]["addresses"]) == 3


def test_aggregated_list_of_zonal_groups_is_by_zone(project):
    project.group()
    found = project.networkEndpointGroups.aggregatedList()["items"]
    assert [one["name"] for one in found[f"zones/{ZONE_A}"]["networkEndpointGroups"]] == ["neg-a"]


def test_aggregated_list_has_pages_and_filters(project):
    first = project.instances.aggregatedList(maxResults=2, filter="status=RUNNING")
    second = project.instances.aggregatedList(maxResults=2, pageToken=first["nextPageToken"])
    found = [
        one["name"]
        for answer in (first, second)
        for scope in answer["items"].values()
        for one in scope.get("instances", ())
    ]
    assert sorted(found) == ["node-1", "node-2", "node-3"]


def test_resource_is_found_by_its_id(project):
    address = project.addresses.get(region=REGION, address="egress-1")
    assert project.addresses.get(region=REGION, address=address["id"]) == address
