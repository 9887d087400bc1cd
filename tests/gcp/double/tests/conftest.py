"""Every test has a new project on one server, and google-api-python-client as a client that knows
nothing of the double."""

import functools
import json
import subprocess
import sys
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Iterator

import pytest
from google.auth.credentials import AnonymousCredentials
from googleapiclient.discovery import build
from googleapiclient.errors import HttpError

ROOT = Path(__file__).resolve().parent.parent
REGION = "europe-west3"
ZONE_A, ZONE_B = f"{REGION}-a", f"{REGION}-b"
SCOPES = {"zone": "zoneOperations", "region": "regionOperations", "global": "globalOperations"}


@dataclass
class Double:
    url: str

    def control(self, verb: str, path: str, /, **fields: Any) -> dict[str, Any]:
        data = json.dumps(fields).encode() if verb == "POST" else None
        request = urllib.request.Request(f"{self.url}/egret/{path}", data=data, method=verb)
        with urllib.request.urlopen(request, timeout=40) as answer:
            return json.load(answer)

    def post(self, path: str, /, **fields: Any) -> dict[str, Any]:
        return self.control("POST", path, **fields)

    def get(self, path: str) -> dict[str, Any]:
        return self.control("GET", path)

    def raw(self, verb: str, path: str, body: Any = None, **headers: str) -> tuple[int, Any]:
        """Status and JSON of a request that no client library would send."""
        data = body if isinstance(body, bytes) or body is None else json.dumps(body).encode()
        request = urllib.request.Request(self.url + path, data=data, method=verb, headers=headers)
        try:
            with urllib.request.urlopen(request, timeout=40) as answer:
                return answer.status, json.load(answer)
        except urllib.error.HTTPError as error:
            return error.code, json.load(error)


@functools.cache
def _client(url: str) -> Any:
    return build(
        "compute",
        "v1",
        client_options={"api_endpoint": url + "/compute/v1/"},
        credentials=AnonymousCredentials(),
        static_discovery=True,
        cache_discovery=False,
    )


@pytest.fixture(scope="session")
def server() -> Iterator[Double]:
    command = [sys.executable, "-m", "egret_gce", "--listen", "127.0.0.1:0", "--until-eof"]
    process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    line = process.stdout.readline()
    assert line.startswith("listening on http://"), f"the double did not start: {line!r}"
    yield Double(line.split()[-1])
    process.stdin.close()
    assert process.wait(timeout=10) == 0


@pytest.fixture
def double(server: Double) -> Double:
    server.post("reset")
    return server


@pytest.fixture
def compute(double: Double) -> Any:
    return _client(double.url)


class OperationFailed(Exception):
    def __init__(self, operation: dict[str, Any]) -> None:
        super().__init__(operation["error"])
        self.operation = operation
        self.code = operation["error"]["errors"][0]["code"]
        self.message = operation["error"]["errors"][0]["message"]


@dataclass
class Project:
    """Nodes in two zones, a network with a range for pods, and the client to change it."""

    compute: Any
    built: dict[str, Any]
    nodes: dict[str, dict[str, Any]] = field(init=False)

    def __post_init__(self) -> None:
        self.nodes = {node["name"]: node for node in self.built["nodes"]}

    @property
    def name(self) -> str:
        return self.built["project"]

    @property
    def network(self) -> str:
        return self.built["network"]["url"]

    @property
    def subnetwork(self) -> str:
        return self.built["subnetworks"][0]["url"]

    def __getattr__(self, resource: str) -> "Resource":
        return Resource(self, resource)

    def external(self, index: int = 0) -> str:
        return self.built["external"][index]["url"]

    def wait(self, operation: dict[str, Any]) -> dict[str, Any]:
        """Raises what it failed with."""
        for scope in ("zone", "region"):
            if scope in operation:
                place = {scope: operation[scope].rpartition("/")[2]}
                break
        else:
            scope, place = "global", {}
        waits = getattr(self.compute, SCOPES[scope])()
        done = waits.wait(project=self.name, operation=operation["name"], **place).execute()
        assert done["status"] == "DONE"
        if "error" in done:
            raise OperationFailed(done)
        return done

    # What most tests need.

    def group(self, name: str = "neg-a", zone: str = ZONE_A, nodes: tuple[str, ...] = ()) -> str:
        body = {
            "name": name,
            "networkEndpointType": "GCE_VM_IP",
            "network": self.network,
            "subnetwork": self.subnetwork,
        }
        self.networkEndpointGroups.do("insert", zone=zone, body=body)
        if nodes:
            self.attach(name, zone, *nodes)
        found = self.networkEndpointGroups.get(zone=zone, networkEndpointGroup=name)
        return found["selfLink"]

    def attach(self, group: str, zone: str, *nodes: str) -> None:
        body = {"networkEndpoints": [{"instance": node} for node in nodes]}
        self.networkEndpointGroups.do("attachNetworkEndpoints", zone=zone, networkEndpointGroup=group, body=body)

    def service_body(self, *groups: str, scheme: str = "EXTERNAL", **more: Any) -> dict[str, Any]:
        body = {
            "name": "svc",
            "loadBalancingScheme": scheme,
            "protocol": "UNSPECIFIED",
            "network": self.network,
            "haPolicy": {"fastIPMove": "GARP_RA"},
            "connectionDraining": {"drainingTimeoutSec": 0},
            "backends": [{"group": group} for group in groups],
        }
        return {key: value for key, value in (body | more).items() if value is not None}

    def service(self, *groups: str, scheme: str = "EXTERNAL", **more: Any) -> dict[str, Any]:
        body = self.service_body(*groups, scheme=scheme, **more)
        self.regionBackendServices.do("insert", region=REGION, body=body)
        return self.get_service(body["name"])

    def get_service(self, name: str = "svc") -> dict[str, Any]:
        return self.regionBackendServices.get(region=REGION, backendService=name)

    def patch_service(self, name: str = "svc", /, **body: Any) -> None:
        """With the present fingerprint, unless another one is given."""
        body = {"fingerprint": self.get_service(name)["fingerprint"]} | body
        self.regionBackendServices.do("patch", region=REGION, backendService=name, body=body)

    def rule(self, name: str = "rule", **body: Any) -> dict[str, Any]:
        given = {"name": name, "IPProtocol": "L3_DEFAULT", "allPorts": True} | body
        given = {key: value for key, value in given.items() if value is not None}
        self.forwardingRules.do("insert", region=REGION, body=given)
        return self.forwardingRules.get(region=REGION, forwardingRule=name)

    def target(self, name: str, node: str) -> str:
        zone = self.nodes[node]["zone"]
        body = {"name": name, "instance": self.nodes[node]["url"], "natPolicy": "NO_NAT"}
        self.targetInstances.do("insert", zone=zone, body=body)
        return self.targetInstances.get(zone=zone, targetInstance=name)["selfLink"]


@dataclass
class Resource:
    """`project.addresses.get(region=…)`; `do` also waits for the operation."""

    project: Project
    name: str

    def __getattr__(self, method: str) -> Any:
        def call(**given: Any) -> dict[str, Any]:
            bound = getattr(getattr(self.project.compute, self.name)(), method)
            return bound(project=self.project.name, **given).execute()

        return call

    def do(self, method: str, **given: Any) -> dict[str, Any]:
        return self.project.wait(getattr(self, method)(**given))


@pytest.fixture
def project(double: Double, compute: Any) -> Project:
    built = double.post(
        "build",
        zones=2,
        nodes=[
            {"name": "node-1", "zone": ZONE_A},
            {"name": "node-2", "zone": ZONE_B},
            {"name": "node-3", "zone": ZONE_A},
        ],
        external=[{"name": "egress-1", "labels": {"pool": "shop"}}, {"name": "egress-2"}],
        internal=[{"name": "inside-1", "address": "10.0.0.100"}],
    )
    # Short, and not nothing: what waits for no operation is found out.
    double.post("latency", milliseconds=3)
    return Project(compute, built)


def refused(status: int, reason: str, text: str = "") -> Any:
    """`with refused(412, "conditionNotMet"):` the call inside is refused with exactly that."""
    return _Refused(status, reason, text)


class _Refused:
    def __init__(self, status: int, reason: str, text: str) -> None:
        self._status, self._reason, self._text = status, reason, text

    def __enter__(self) -> "_Refused":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        assert isinstance(error, HttpError), f"expected {self._status} {self._reason}, got {error!r}"
        body = json.loads(error.content)["error"]
        assert (error.resp.status, body["errors"][0]["reason"]) == (self._status, self._reason), body
        assert "status" not in body, "the legacy body has none"
        assert self._text in body["message"], body["message"]
        self.message = body["message"]
        return True


def fails(code: str, status: int, text: str = "") -> Any:
    """The call inside is accepted, and its operation ends with that error."""
    return _Fails(code, status, text)


class _Fails:
    def __init__(self, code: str, status: int, text: str) -> None:
        self._code, self._status, self._text = code, status, text

    def __enter__(self) -> "_Fails":
        return self

    def __exit__(self, kind: Any, error: Any, trace: Any) -> bool:
        assert isinstance(error, OperationFailed), f"expected {self._code}, got {error!r}"
        assert error.code == self._code, error.operation
        assert error.operation["httpErrorStatusCode"] == self._status, error.operation
        assert self._text in error.message, error.message
        self.operation = error.operation
        return True
