"""Operations take time, can fail, and are found again."""

import threading
import time
import uuid

import pytest
from conftest import REGION, ZONE_A, fails, refused


def insert(project, name="one", **more):
    return project.addresses.insert(region=REGION, body={"name": name}, **more)


def operation(project, started):
    return project.regionOperations.get(region=REGION, operation=started["name"])


def test_change_shows_when_its_operation_is_done(project, double):
    double.post("latency", milliseconds=60000)
    started = insert(project)
    assert (started["operationType"], started["status"], started["progress"]) == ("insert", "PENDING", 0)
    assert started["targetLink"].endswith(f"/projects/egret/regions/{REGION}/addresses/one")
    assert started["region"].endswith(REGION) and started["user"] == "anonymous"
    assert "endTime" not in started
    with refused(404, "notFound"):
        project.addresses.get(region=REGION, address="one")
    double.post("finish")
    done = operation(project, started)
    assert (done["status"], done["progress"]) == ("DONE", 100) and done["endTime"] >= done["insertTime"]
    made = project.addresses.get(region=REGION, address="one")
    assert done["targetId"] == made["id"]


def test_operation_passes_through_its_states(project, double):
    double.post("latency", milliseconds=400)
    started = insert(project)
    seen = [started["status"]]
    deadline = time.monotonic() + 20
    while seen[-1] != "DONE":
        assert time.monotonic() < deadline
        status = operation(project, started)["status"]
        if status != seen[-1]:
            seen.append(status)
    # On a machine that stalls one of the two may be missed.
    assert seen in (["PENDING", "RUNNING", "DONE"], ["PENDING", "DONE"], ["RUNNING", "DONE"])


def test_default_latency_is_fifty_milliseconds(project, double):
    double.post("clear")
    begin = time.monotonic()
    project.wait(insert(project))
    assert time.monotonic() - begin >= 0.05


def test_latency_of_nothing_answers_what_is_done(project, double):
    double.post("latency", milliseconds=0)
    started = insert(project)
    assert started["status"] == "DONE"
    assert project.addresses.get(region=REGION, address="one")["status"] == "RESERVED"


def test_latency_of_one_method_and_for_some_calls(project, double):
    double.post("latency", method="compute.addresses.*", milliseconds=60000, times=1)
    slow, quick = insert(project, "slow"), insert(project, "quick")
    project.wait(quick)
    assert operation(project, slow)["status"] != "DONE"


def test_wait_ends_with_the_operation(project, double):
    double.post("latency", milliseconds=60000)
    started = insert(project)
    ended = []
    thread = threading.Thread(target=lambda: ended.append(_wait(double, started)))
    thread.start()
    thread.join(0.2)
    assert thread.is_alive(), "it is under way"
    double.post("finish")
    thread.join(10)
    assert ended == ["DONE"]


def _wait(double, started):
    path = f"/compute/v1/projects/egret/regions/{REGION}/operations/{started['name']}/wait"
    return double.raw("POST", path)[1].get("status", "gone")


def test_operations_stay_listed_with_errors_and_filters(project, double):
    """What a client does that has crashed: it looks for the operations on its resource."""
    double.post("fail", method="compute.addresses.insert", operation=True, code=503)
    first = insert(project, "one")
    with fails("SERVICE_UNAVAILABLE", 503):
        project.wait(first)
    project.wait(insert(project, "two"))
    found = project.regionOperations.list(region=REGION)["items"]
    assert sorted(item["targetLink"].rpartition("/")[2] for item in found) == ["one", "two"]
    link = first["targetLink"]
    (mine,) = project.regionOperations.list(region=REGION, filter=f'targetLink="{link}"')["items"]
    assert mine["error"]["errors"][0]["code"] == "SERVICE_UNAVAILABLE"
    assert (mine["httpErrorStatusCode"], mine["httpErrorMessage"]) == (503, "SERVICE UNAVAILABLE")
    by_id = project.regionOperations.get(region=REGION, operation=first["id"])
    assert by_id["name"] == first["name"]


def test_operations_are_of_their_place(project):
    project.firewalls.do(
        "insert", body={"name": "all", "network": project.network, "allowed": [{"IPProtocol": "all"}]}
    )
    project.instances.do("stop", zone=ZONE_A, instance="node-1")
    assert len(project.globalOperations.list()["items"]) == 1
    assert project.zoneOperations.list(zone=ZONE_A)["items"][0]["operationType"] == "stop"
    assert "items" not in project.regionOperations.list(region=REGION)


def test_unknown_operation_is_not_found(project):
    with refused(404, "notFound"):
        project.regionOperations.get(region=REGION, operation="operation-1")
    with refused(404, "notFound"):
        project.regionOperations.wait(region=REGION, operation="operation-1")


def test_same_request_id_is_the_same_operation(project):
    given = str(uuid.uuid4())
    first = insert(project, requestId=given)
    again = insert(project, requestId=given)
    project.wait(again)
    later = insert(project, requestId=given)
    assert first["name"] == again["name"] == later["name"]
    assert later["status"] == "DONE" and later["clientOperationId"] == given
    with refused(409, "alreadyExists"):
        insert(project, requestId=str(uuid.uuid4()))


def test_request_id_of_another_request_is_refused(project):
    given = str(uuid.uuid4())
    insert(project, "one", requestId=given)
    with refused(400, "invalid", "It was used for another request"):
        insert(project, "two", requestId=given)


def test_refused_request_can_be_repeated_with_its_id(project, double):
    given = str(uuid.uuid4())
    double.post("fail", method="compute.addresses.insert", code=503)
    with refused(503, "backendError"):
        insert(project, requestId=given)
    project.wait(insert(project, requestId=given))


def test_lost_answer_is_found_by_the_request_id(project, double):
    given = str(uuid.uuid4())
    double.post("fail", method="compute.addresses.insert", after=True, cut=True)
    body = {"name": "one"}
    with pytest.raises(OSError):
        double.raw("POST", f"/compute/v1/projects/egret/regions/{REGION}/addresses?requestId={given}", body)
    project.wait(insert(project, requestId=given))
    assert len(project.regionOperations.list(region=REGION)["items"]) == 1


def test_second_insert_of_a_name_is_refused_before_the_first_is_done(project, double):
    double.post("latency", milliseconds=60000)
    insert(project)
    with refused(409, "alreadyExists"):
        insert(project)


def test_resource_that_is_not_made_yet_is_not_ready(project, double):
    double.post("latency", method="compute.networkEndpointGroups.insert", milliseconds=60000)
    body = {
        "name": "neg-a",
        "networkEndpointType": "GCE_VM_IP",
        "network": project.network,
        "subnetwork": project.subnetwork,
    }
    started = project.networkEndpointGroups.insert(zone=ZONE_A, body=body)
    with refused(400, "resourceNotReady"):
        project.regionBackendServices.insert(region=REGION, body=project.service_body(started["targetLink"]))


def test_second_change_of_a_resource_is_refused_before_the_first_is_done(project, double):
    service = project.service(project.group())
    double.post("latency", milliseconds=60000)
    body = {"fingerprint": service["fingerprint"], "description": "one"}
    project.regionBackendServices.patch(region=REGION, backendService="svc", body=body)
    with refused(412, "conditionNotMet"):
        project.regionBackendServices.patch(region=REGION, backendService="svc", body=body)
    with refused(400, "resourceNotReady"):
        project.regionBackendServices.delete(region=REGION, backendService="svc")


def test_change_that_fits_no_more_fails_in_its_operation(project, double):
    """Two attachments at once: the second finds the node attached when its turn comes."""
    project.group()
    double.post("latency", milliseconds=60000)
    body = {"networkEndpoints": [{"instance": "node-1"}]}
    started = [
        project.networkEndpointGroups.attachNetworkEndpoints(zone=ZONE_A, networkEndpointGroup="neg-a", body=body)
        for _ in range(2)
    ]
    double.post("finish")
    project.wait(started[0])
    with fails("INVALID_FIELD_VALUE", 400, "attached already"):
        project.wait(started[1])
    assert project.networkEndpointGroups.get(zone=ZONE_A, networkEndpointGroup="neg-a")["size"] == 1


def test_refused_call_changes_nothing(project, double):
    project.group()
    before = double.get("state")
    body = {"networkEndpoints": [{"instance": "node-1"}, {"instance": "node-2"}]}
    with refused(404, "notFound"):
        project.networkEndpointGroups.attachNetworkEndpoints(zone=ZONE_A, networkEndpointGroup="neg-a", body=body)
    assert double.get("state") == before
    assert project.networkEndpointGroups.get(zone=ZONE_A, networkEndpointGroup="neg-a")["size"] == 0


def test_wait_ends_with_a_reset(project, double):
    double.post("latency", milliseconds=60000)
    started = insert(project)
    ended = []
    thread = threading.Thread(target=lambda: ended.append(_wait(double, started)))
    thread.start()
    thread.join(0.2)
    double.post("reset")
    thread.join(10)
    assert ended[0] in ("PENDING", "RUNNING", "gone")


def test_resource_that_is_being_deleted_is_not_used(project, double):
    group = project.group()
    double.post("latency", milliseconds=60000)
    project.networkEndpointGroups.delete(zone=ZONE_A, networkEndpointGroup="neg-a")
    assert project.networkEndpointGroups.get(zone=ZONE_A, networkEndpointGroup="neg-a"), "until it is gone"
    with refused(400, "resourceNotReady"):
        project.regionBackendServices.insert(region=REGION, body=project.service_body(group))
