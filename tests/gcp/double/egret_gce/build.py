"""POST /egret/build: a project with a network, nodes and addresses, in one call."""

from ipaddress import IPv4Network
from typing import Any

from . import discovery, schema, state
from .calls import Call
from .cloud import FIRST_PROJECT, name_of, region_of, url
from .engine import Engine
from .errors import ApiError
from .fields import BadRequest, Fields

_DEFAULT_SUBNETWORKS = [{"name": "nodes", "cidr": "10.0.0.0/24", "secondary": {"pods": "10.100.0.0/16"}}]
_POD_PREFIX = 24


def built(engine: Engine, fields: Fields) -> dict[str, Any]:
    """All of it or nothing; raises BadRequest or ApiError. Lock held."""
    cloud = engine.cloud
    before = dict(cloud.resources), dict(cloud.projects), dict(cloud.regions), dict(cloud.hosts)
    cloud.quotas.enforced = False
    try:
        return _Builder(engine, fields).result()
    except (BadRequest, ApiError):
        cloud.resources, cloud.projects, cloud.regions, cloud.hosts = before
        raise
    finally:
        cloud.quotas.enforced = True


class _Builder:
    def __init__(self, engine: Engine, fields: Fields) -> None:
        self._engine = engine
        self._cloud = engine.cloud
        self._fields = fields
        self._project = fields.text("project", FIRST_PROJECT)
        # Of the network and its subnetworks.
        self._host = fields.text("host_project", "") or self._project
        self._region = fields.text("region", "europe-west3")
        self._zones = self._take_zones()
        self._network = fields.text("network", "net")
        self._subnetworks: dict[str, dict[str, Any]] = {}

    def result(self) -> dict[str, Any]:
        cloud = self._cloud
        cloud.add_project(self._project)
        if self._host != self._project:
            self._share()
        if self._region not in cloud.regions:
            cloud.regions[self._region] = self._zones
        if not set(self._zones) <= set(cloud.regions[self._region]):
            raise self._fields.wrong("zones", f"of {', '.join(cloud.regions[self._region])}")
        body = {"name": self._network, "autoCreateSubnetworks": False}
        network = self._make("networks", {"project": self._host}, body, keep=True)
        subnetworks = [
            self._subnetwork(one) for one in self._fields.things("subnetworks", _DEFAULT_SUBNETWORKS, "")
        ]
        if not subnetworks:
            raise self._fields.wrong("subnetworks", "at least one")
        tags, forwards = self._fields.texts("tags", []), self._fields.flag("can_ip_forward")
        outside = self._fields.flag("external_ips")
        nodes = [
            self._node(one, self._zones[index % len(self._zones)], tags, forwards, outside)
            for index, one in enumerate(self._fields.things("nodes", 0, "node"))
        ]
        external = [self._address(one, "EXTERNAL") for one in self._fields.things("external", 0, "external")]
        internal = [self._address(one, "INTERNAL") for one in self._fields.things("internal", 0, "internal")]
        self._fields.finish()
        identity = self._engine.identity
        identity.project, identity.number = self._project, cloud.projects[self._project]
        identity.zone = self._zones[0]
        return {
            "project": self._project,
            "host_project": self._host if self._host != self._project else None,
            "number": str(cloud.projects[self._project]),
            "region": self._region,
            "zones": self._zones,
            "network": {"name": name_of(network), "url": url(network)},
            "subnetworks": subnetworks,
            "nodes": nodes,
            "external": external,
            "internal": internal,
        }

    def _share(self) -> None:
        """vpc/docs/shared-vpc: a service project has one host, and no project is both."""
        hosts = self._cloud.hosts
        if hosts.get(self._project, self._host) != self._host:
            raise self._fields.wrong("host_project", f"{hosts[self._project]}, of which {self._project} is already")
        if self._host in hosts or self._project in hosts.values():
            raise BadRequest("host_project: a project is either a host or a service project, not both")
        self._cloud.add_project(self._host)
        hosts[self._project] = self._host

    def _take_zones(self) -> list[str]:
        given = self._fields.take("zones", None)
        known = self._cloud.regions.get(self._region)
        if given is None or (isinstance(given, int) and not isinstance(given, bool)):
            if known is None:
                known = [f"{self._region}-{letter}" for letter in "abcdef"]
            count = len(known) if given is None else given
            if not 1 <= count <= len(known):
                raise self._fields.wrong("zones", f"from 1 to {len(known)}, or a list of names")
            return known[:count]
        zones = Fields({"zones": given}).texts("zones", [])
        if not zones or any(zone.rpartition("-")[0] != self._region for zone in zones):
            raise self._fields.wrong("zones", f"a list of names like {self._region}-a")
        return zones

    def _make(self, resource: str, scope: dict[str, str], body: dict[str, Any], keep: bool = False) -> str:
        """The path. `keep`: one that is there already will do."""
        method = discovery.methods()[f"compute.{resource}.insert"]
        call = Call(method, {"project": self._project} | scope, body, new_id=self._cloud.new_id())
        if call.target in self._cloud.resources:
            if keep:
                return call.target
            raise BadRequest(f"{call.target} is there already")
        try:
            schema.check(str(method.request), body, resource, nulls=True)
        except schema.Mismatch as error:
            raise BadRequest(str(error)) from None
        refusal = self._engine.apply(call)
        if refusal is not None:
            raise refusal
        return call.target

    def _subnetwork(self, given: Fields) -> dict[str, Any]:
        name, cidr = given.text("name", "nodes"), given.text("cidr", "")
        secondary = given.mapping("secondary")
        region = given.text("region", self._region)
        given.finish()
        if region not in self._cloud.regions:
            raise given.wrong("region", f"one of {', '.join(self._cloud.regions)}")
        body = {
            "name": name,
            "ipCidrRange": cidr,
            "network": f"global/networks/{self._network}",
            "secondaryIpRanges": [{"rangeName": key, "ipCidrRange": value} for key, value in secondary.items()],
        }
        path = self._make("subnetworks", {"project": self._host, "region": region}, body, keep=True)
        self._subnetworks[name] = {
            "name": name,
            "url": url(path),
            "region": region,
            "cidr": cidr,
            "gateway": str(IPv4Network(cidr)[1]),
            "secondary": secondary,
        }
        return self._subnetworks[name]

    def _chosen(self, given: Fields) -> dict[str, Any]:
        """The subnetwork of a node or address: the first one of the region."""
        name = given.text("subnetwork", "")
        here = {key: one for key, one in self._subnetworks.items() if one["region"] == self._region}
        if name and name not in here:
            raise given.wrong("subnetwork", f"one of {', '.join(here)}")
        return here[name] if name else next(iter(here.values()))

    def _node(self, given: Fields, zone: str, tags: list[str], forwards: bool, outside: bool) -> dict[str, Any]:
        subnetwork = self._chosen(given)
        zone = given.text("zone", zone)
        nic: dict[str, Any] = {"subnetwork": subnetwork["url"]}
        if ip := given.text("ip", ""):
            nic["networkIP"] = ip
        # GKE's nodes have their pods' range as the first alias.
        pods = given.text("pods", "pods" if "pods" in subnetwork["secondary"] else "")
        if pods:
            nic["aliasIpRanges"] = [{"ipCidrRange": f"/{_POD_PREFIX}", "subnetworkRangeName": pods}]
        if given.flag("external_ip", outside):
            nic["accessConfigs"] = [{"type": "ONE_TO_ONE_NAT"}]
        body = {
            "name": given.text("name", ""),
            "machineType": f"zones/{zone}/machineTypes/e2-medium",
            "canIpForward": forwards,
            "networkInterfaces": [nic],
            "tags": {"items": given.texts("tags", tags)},
            "labels": given.mapping("labels"),
        }
        given.finish()
        self._cloud.check_scope(self._project, zone, None)
        path = self._make("instances", {"zone": zone}, body)
        found = self._cloud.shown(path)["networkInterfaces"][0]
        return {
            "name": name_of(path),
            "zone": zone,
            "url": url(path),
            "id": self._cloud.resources[path]["id"],
            "provider_id": f"gce://{self._project}/{zone}/{name_of(path)}",
            "subnetwork": subnetwork["name"],
            "ip": found["networkIP"],
            "mac": state.mac(found["networkIP"]),
            "pods": found["aliasIpRanges"][0]["ipCidrRange"] if pods else None,
            "external_ip": found["accessConfigs"][0]["natIP"] if "accessConfigs" in found else None,
        }

    def _address(self, given: Fields, kind: str) -> dict[str, Any]:
        body: dict[str, Any] = {"addressType": kind, "name": given.text("name", "")}
        if kind == "INTERNAL":
            body["subnetwork"] = self._chosen(given)["url"]
            if address := given.text("address", ""):
                body["address"] = address
        body["labels"] = given.mapping("labels")
        given.finish()
        path = self._make("addresses", {"region": self._region}, body)
        resource = self._cloud.resources[path]
        return {
            "name": name_of(path),
            "url": url(path),
            "region": region_of(path),
            "address": resource["address"],
            "labels": resource.get("labels", {}),
        }
