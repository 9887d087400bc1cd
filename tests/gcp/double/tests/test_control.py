"""The control API itself: faults, calls, state, building."""

import json
import threading
import time
import urllib.error
import urllib.request

import pytest
from googleapiclient.errors import HttpError

from conftest import REGION, ZONE_A, ZONE_B, fails, refused

LIST = "compute.addresses.list"


def listed(project):
    return project.addresses.list(region=REGION)


def insert(project, name="one"):
    return project.addresses.do("insert", region=REGION, body={"name": name})


@pytest.mark.parametrize(
    ("code", "reason"),
    [
        (403, "forbidden"),
        (409, "alreadyExists"),
        (412, "conditionNotMet"),
        (429, "rateLimitExceeded"),
        (500, "internalError"),
        (503, "backendError"),
    ],
)
def test_calls_fail_as_often_as_asked(project, double, code, reason):
    double.post("fail", method=LIST, code=code, times=2)
    assert project.instances.list(zone=ZONE_A), "of another method"
    for _ in range(2):
        with refused(code, reason):
            listed(project)
    assert listed(project)


def test_reason_and_message_can_be_asked_for(project, double):
    double.post("fail", method=LIST, code=403, reason="quotaExceeded", message="Too much.")
    with refused(403, "quotaExceeded", "Too much."):
        listed(project)


def test_every_third_call_fails_until_cleared(project, double):
    double.post("fail", method="compute.addresses.*", code=503, every=3)
    outcomes = []
    for _ in range(6):
        try:
            listed(project)
            outcomes.append("ok")
        except HttpError:
            outcomes.append("failed")
    assert outcomes == ["ok", "ok", "failed"] * 2
    double.post("clear")
    assert [listed(project) for _ in range(3)]


def test_failed_call_has_no_effect_unless_after(project, double):
    double.post("fail", method="compute.addresses.insert", code=500)
    with refused(500, "internalError"):
        insert(project)
    with refused(404, "notFound"):
        project.addresses.get(region=REGION, address="one")
    double.post("fail", method="compute.addresses.insert", code=500, after=True)
    with refused(500, "internalError"):
        insert(project)
    double.post("finish")
    assert project.addresses.get(region=REGION, address="one")


def test_refused_call_leaves_a_fault_after_it_waiting(project, double):
    double.post("fail", method="compute.addresses.insert", code=500, after=True)
    with refused(409, "alreadyExists"):
        insert(project, "egress-1")
    with refused(500, "internalError"):
        insert(project)


def test_connection_is_cut(project, double):
    double.post("fail", method=LIST, cut=True)
    with pytest.raises(OSError) as raised:
        double.raw("GET", f"/compute/v1/projects/egret/regions/{REGION}/addresses")
    assert not isinstance(raised.value, urllib.error.HTTPError)
    (call,) = double.get("calls")["calls"]
    assert (call["result"], call["status"]) == ("(connection cut)", 0)


def test_operation_fails_with_and_without_effect(project, double):
    double.post("fail", method="compute.addresses.insert", operation=True, code=429)
    with fails("RATE_LIMIT_EXCEEDED", 429):
        insert(project)
    with refused(404, "notFound"):
        project.addresses.get(region=REGION, address="one")
    double.post(
        "fail", method="compute.addresses.insert", operation=True, code=503, after=True, reason="ZONE_DOWN"
    )
    with fails("ZONE_DOWN", 503):
        insert(project)
    assert project.addresses.get(region=REGION, address="one")


def test_throttled_calls_come_first(project, double):
    double.post("throttle", method="compute.addresses.*", next=2)
    double.post("fail", method=LIST, code=503)
    for _ in range(2):
        with refused(403, "rateLimitExceeded"):
            listed(project)
    with refused(503, "backendError"):
        listed(project)
    double.post("throttle", next=1, code=429)
    with refused(429, "rateLimitExceeded"):
        listed(project)


def test_delay_holds_up_a_call_and_no_other(project, double):
    double.post("delay", method=LIST, milliseconds=300, times=1)
    begin = time.monotonic()
    thread = threading.Thread(target=listed, args=(project,))
    thread.start()
    double.get("faults")
    thread.join()
    assert time.monotonic() - begin >= 0.3
    double.post("delay", method=LIST, milliseconds=60000)
    assert double.post("delay", method=LIST, milliseconds=0)["delays"][0]["milliseconds"] == 0
    listed(project)


def test_what_is_asked_for_is_shown_and_cleared(double):
    double.post("fail", method=LIST, times=3)
    double.post("throttle", next=2)
    double.post("latency", milliseconds=7)
    shown = double.post("policy", allow=["compute.addresses.*"])
    assert shown["faults"][0]["left"] == 3 and shown["throttles"][0]["left"] == 2
    assert shown["latencies"][0]["milliseconds"] == 7 and shown["allow"] == ["compute.addresses.*"]
    assert shown["auth"] == {"required": False, "expires_in": 3600}
    cleared = double.post("clear")
    assert not any(cleared[name] for name in ("faults", "throttles", "delays", "latencies", "allow"))


@pytest.mark.parametrize(
    ("path", "fields", "text"),
    [
        ("fail", {"metod": "*"}, "unknown fields: metod"),
        ("fail", {"code": 418}, "code: must be one of"),
        ("fail", {"times": "2"}, "times: must be a number"),
        ("fail", {"cut": True, "operation": True}, "cut and operation"),
        ("policy", {"allow": "compute.*"}, "allow: must be a list of texts"),
        ("quota", {"metric": "CATS", "limit": 1}, "metric: must be one of STATIC_ADDRESSES"),
        ("reset", {"seed": -1}, "seed: must be a whole number"),
        ("auth", {"required": "yes"}, "required: must be true or false"),
        ("fail", {"message": 3}, "message: must be a text"),
        ("build", {"nodes": [{"name": "a", "labels": []}]}, "nodes[0].labels: must be an object of texts"),
        ("build", {"subnetworks": [{"name": "a", "region": "mars"}]}, "subnetworks[0].region: must be one of"),
        ("build", {"zones": 9}, "zones: must be from 1 to 3"),
        ("build", {"zones": ["us-central1-a"]}, "zones: must be a list of names like europe-west3-a"),
        ("build", {"zones": ["europe-west3-z"]}, "zones: must be of europe-west3-a"),
        ("build", {"nodes": "many"}, "nodes: must be a number, a list of names, or a list of objects"),
        ("build", {"nodes": [{"name": "one", "size": 3}]}, "unknown fields: nodes[0].size"),
        ("build", {"nodes": ["Not-a-name"]}, "instances.name"),
        ("build", {"nodes": [{"name": "a", "subnetwork": "none"}]}, "nodes[0].subnetwork: must be one of nodes"),
        ("build", {"subnetworks": []}, "subnetworks: must be at least one"),
        ("build", {"internal": [{"name": "a", "address": "10.9.9.9"}]}, "It is not in the subnetwork's range"),
        ("build", {"zones": 1, "nodes": ["a", "a"]}, "is there already"),
    ],
)
def test_wrong_request_is_refused_and_named(double, path, fields, text):
    before = double.get("state")
    with pytest.raises(urllib.error.HTTPError) as raised:
        double.post(path, **fields)
    assert raised.value.code == 400 and text in json.load(raised.value)["error"]
    assert double.get("state")["instances"] == before["instances"]


def test_unknown_call_is_not_found(double):
    for verb, path in (("GET", "reset"), ("POST", "nothing")):
        with pytest.raises(urllib.error.HTTPError) as raised:
            double.control(verb, path)
        assert raised.value.code == 404


def test_body_that_is_no_object_is_refused(double):
    for body in (b"[]", b"{"):
        request = urllib.request.Request(f"{double.url}/egret/clear", data=body, method="POST")
        with pytest.raises(urllib.error.HTTPError) as raised:
            urllib.request.urlopen(request, timeout=10)
        assert raised.value.code == 400


def test_calls_are_listed_as_they_were_sent(project, double):
    double.post("calls/reset")
    insert(project)
    with refused(409, "alreadyExists"):
        insert(project)
    told = double.get("calls")
    methods = ["compute.addresses.insert", "compute.regionOperations.wait", "compute.addresses.insert"]
    assert [call["method"] for call in told["calls"]] == methods and told["total"] == 3
    assert told["by_method"]["compute.addresses.insert"] == 2
    assert told["by_result"] == {"OK": 2, "alreadyExists": 1}
    first, wait, second = told["calls"]
    assert first["body"] == {"name": "one"} and first["project"] == "egret" and first["verb"] == "POST"
    assert first["path"] == f"projects/egret/regions/{REGION}/addresses"
    assert (first["status"], second["status"]) == (200, 409)
    assert first["operation"] == wait["operation"] == wait["path"].split("/")[-2]
    assert 0 < first["time"] <= second["time"] <= told["now"]
    assert told["permissions"] == ["compute.addresses.create", "compute.regionOperations.get"]
    assert double.get("calls?method=compute.addresses.insert")["total"] == 2


def test_state_waits_for_a_change(project, double):
    version = double.get("state")["version"]
    begin = time.monotonic()
    assert double.get(f"state?after={version}&timeout=0.2")["version"] == version
    assert time.monotonic() - begin >= 0.2
    seen = []
    thread = threading.Thread(target=lambda: seen.append(double.get(f"state?after={version}&timeout=20")))
    thread.start()
    insert(project)
    thread.join(20)
    assert seen[0]["version"] > version
    assert "one" in [address["name"] for address in seen[0]["addresses"]]


def test_state_has_what_a_fabric_needs_of_an_instance(project, double):
    one = double.get("state?project=egret")["instances"][0]
    assert one == {
        "path": f"projects/egret/zones/{ZONE_A}/instances/node-1",
        "project": "egret",
        "name": "node-1",
        "id": project.nodes["node-1"]["id"],
        "zone": ZONE_A,
        "region": REGION,
        "status": "RUNNING",
        "can_ip_forward": False,
        "tags": [],
        "interfaces": [
            {
                "name": "nic0",
                "mac": "42:01:0a:00:00:02",
                "ip": "10.0.0.2",
                "external_ip": None,
                "network": "projects/egret/global/networks/net",
                "subnetwork": f"projects/egret/regions/{REGION}/subnetworks/nodes",
                "cidr": "10.0.0.0/24",
                "gateway": "10.0.0.1",
                "aliases": [{"cidr": "10.100.0.0/24", "range": "pods"}],
            }
        ],
    }
    assert double.get("state?project=other")["instances"] == []


def test_build_of_numbers_and_defaults(double, compute):
    built = double.post("build", project="shop", zones=2, nodes=3, external=2, internal=1, tags=["node"])
    assert built["project"] == "shop" and built["zones"] == [ZONE_A, ZONE_B]
    assert [node["name"] for node in built["nodes"]] == ["node-1", "node-2", "node-3"]
    assert [node["zone"] for node in built["nodes"]] == [ZONE_A, ZONE_B, ZONE_A]
    assert built["nodes"][1]["provider_id"] == f"gce://shop/{ZONE_B}/node-2"
    assert [one["name"] for one in built["external"] + built["internal"]] == [
        "external-1",
        "external-2",
        "internal-1",
    ]
    found = compute.instances().get(project="shop", zone=ZONE_B, instance="node-2").execute()
    assert found["selfLink"] == built["nodes"][1]["url"] and found["tags"]["items"] == ["node"]
    assert compute.projects().get(project="shop").execute()["id"] == built["number"]


def test_build_of_everything(double):
    built = double.post(
        "build",
        project="shop",
        region="asia-east9",
        zones=["asia-east9-x", "asia-east9-y"],
        network="vpc",
        subnetworks=[
            {"name": "first", "cidr": "10.1.0.0/24"},
            {"name": "second", "cidr": "10.2.0.0/24", "secondary": {"containers": "10.64.0.0/14"}},
        ],
        nodes=[
            {"name": "a", "ip": "10.1.0.9", "labels": {"pool": "gateways"}, "external_ip": True},
            {"name": "b", "zone": "asia-east9-y", "subnetwork": "second", "pods": "containers", "tags": ["gw"]},
        ],
        external=[{"name": "out", "labels": {"pool": "shop"}}],
        internal=[{"name": "in", "address": "10.2.0.50", "subnetwork": "second"}],
        can_ip_forward=True,
    )
    first, second = built["nodes"]
    assert (first["ip"], first["mac"], first["pods"]) == ("10.1.0.9", "42:01:0a:01:00:09", None)
    assert first["external_ip"] == "203.0.113.1"
    assert (second["zone"], second["ip"], second["pods"]) == ("asia-east9-y", "10.2.0.2", "10.64.0.0/24")
    assert built["external"][0]["labels"] == {"pool": "shop"}
    assert built["internal"][0]["address"] == "10.2.0.50"
    assert built["subnetworks"][1]["gateway"] == "10.2.0.1"
    state = double.get("state?project=shop")
    assert [one["can_ip_forward"] for one in state["instances"]] == [True, True]


def test_build_of_a_new_region_has_as_many_zones_as_asked(double):
    assert double.post("build", region="asia-east9", zones=2)["zones"] == ["asia-east9-a", "asia-east9-b"]


def test_build_adds_to_what_is_there(project, double):
    built = double.post("build", nodes=["node-4"])
    assert built["nodes"][0]["ip"] == "10.0.0.5"
    assert len(double.get("state")["instances"]) == 4


def test_build_is_all_or_nothing(double):
    with pytest.raises(urllib.error.HTTPError):
        double.post("build", project="shop", nodes=2, internal=[{"name": "a", "address": "10.0.0.2"}])
    state = double.get("state")
    assert state["instances"] == [] and state["addresses"] == []
    status, _ = double.raw("GET", f"/compute/v1/projects/shop/zones/{ZONE_A}/instances")
    assert status == 404


def test_build_is_not_refused_for_a_quota(double):
    double.post("quota", metric="STATIC_ADDRESSES", limit=1)
    assert len(double.post("build", external=3)["external"]) == 3


def test_reset_repeats_with_its_seed(double):
    def run(seed):
        double.post("reset", seed=seed)
        return double.post("build", nodes=2, external=1)

    assert run(7) == run(7)
    assert run(7)["number"] != run(8)["number"]


def test_many_clients_at_once(project, double):
    """Calls are serial: no address is given twice."""
    threads = [threading.Thread(target=_insert, args=(double, f"many-{number}")) for number in range(16)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    double.post("finish")
    found = [item["address"] for item in listed(project)["items"]]
    assert len(found) == len(set(found)) == 3 + 16


def _insert(double, name):
    status, _ = double.raw("POST", f"/compute/v1/projects/egret/regions/{REGION}/addresses", {"name": name})
    assert status == 200
