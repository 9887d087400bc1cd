"""The projects and their resources: JSON objects by path, as they were given or set since.

What follows from other resources (the users of an address, the size of a group) is not stored; the
`view` of a collection adds it. A stored object is changed only within the trial that put it.
"""

import base64
import copy
import datetime
import hashlib
import json
import random
import re
from contextlib import contextmanager
from typing import Any, Callable, Iterator

from . import discovery, errors
from .quotas import Quotas

ORIGIN = "https://www.googleapis.com" + discovery.BASE
FIRST_PROJECT = "egret"
_REGIONS = {
    "europe-west3": ("a", "b", "c"),
    "us-central1": ("a", "b", "c", "f"),
}
_URL = re.compile(r"https?://[^/]+/compute/(?:v1|beta|alpha)/(projects/.+)")

Resource = dict[str, Any]
# What a collection shows of a stored resource.
VIEWS: dict[str, Callable[["Cloud", str, Resource], Resource]] = {}


def view(collection: str) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        VIEWS[collection] = function
        return function

    return register


def url(path: str) -> str:
    return ORIGIN + path


def name_of(path: str) -> str:
    return path.rpartition("/")[2]


def region_of(path: str) -> str:
    """The region of a regional or zonal resource."""
    parts = path.split("/")
    return parts[3] if parts[2] == "regions" else parts[3].rpartition("-")[0]


def scope_of(path: str) -> str:
    return path.rsplit("/", 2)[0]


def fingerprint(value: Any) -> str:
    digest = hashlib.sha256(json.dumps(value, sort_keys=True).encode()).digest()
    return base64.urlsafe_b64encode(digest[:8]).decode()


def timestamp() -> str:
    return datetime.datetime.now(datetime.timezone.utc).isoformat(timespec="milliseconds")


class Cloud:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.projects: dict[str, int] = {}
        # Shared VPC: of a service project its host, whose networks it uses too.
        self.hosts: dict[str, str] = {}
        self.regions = {name: [f"{name}-{letter}" for letter in letters] for name, letters in _REGIONS.items()}
        self.quotas = Quotas()
        self.resources: dict[str, Resource] = {}
        # Paths that an unfinished operation makes, changes or deletes: its kind.
        self.pending: dict[str, str] = {}
        # `operations.Operations`; that module needs this one.
        self.operations: Any = None
        self._before: dict[str, Resource | None] | None = None
        self._ids = self.random.randrange(10**18, 9 * 10**18)
        self.add_project(FIRST_PROJECT)

    def add_project(self, name: str) -> None:
        self.projects.setdefault(name, self.random.randrange(10**11, 10**12))

    def new_id(self) -> str:
        self._ids += self.random.randrange(1, 1000)
        return str(self._ids)

    @contextmanager
    def trial(self, keep: bool) -> Iterator[None]:
        """What the block changes is undone if it raises, or unless `keep`."""
        self._before = {}
        kept = False
        try:
            yield
            kept = keep
        finally:
            before, self._before = self._before, None
            if not kept:
                for path, resource in before.items():
                    self._set(path, resource)

    def put(self, path: str, resource: Resource) -> None:
        self._change(path, resource)

    def remove(self, path: str) -> None:
        self._change(path, None)

    def _change(self, path: str, resource: Resource | None) -> None:
        assert self._before is not None, f"{path} is changed outside of a trial"
        self._before.setdefault(path, self.resources.get(path))
        self._set(path, resource)

    def _set(self, path: str, resource: Resource | None) -> None:
        if resource is None:
            self.resources.pop(path, None)
        else:
            self.resources[path] = resource

    def get(self, path: str) -> Resource:
        """A copy, to change and put. Of names only; see `find` for ids."""
        if path not in self.resources:
            raise errors.not_ready(path) if path in self.pending else errors.not_found(path)
        if self.pending.get(path) == "delete":
            raise errors.not_ready(path)
        return copy.deepcopy(self.resources[path])

    def find(self, path: str) -> str:
        """The path with the resource's name in it, where it may have the id."""
        name = name_of(path)
        if name.isdigit():
            for other in self.paths(scope_of(path), path.split("/")[-2]):
                if self.resources[other]["id"] == name:
                    return other
        return path

    def paths(self, scope: str, collection: str) -> list[str]:
        """`scope` may be a project, for the resources of all its scopes."""
        part = f"/{collection}/"
        return sorted(path for path in self.resources if path.startswith(scope + "/") and part in path)

    def shown(self, path: str) -> Resource:
        collection = path.split("/")[-2]
        stored = copy.deepcopy(self.resources[path])
        common = {"selfLink": url(path), "name": name_of(path)}
        kind = path.split("/")[2]
        if kind in ("regions", "zones"):
            common[kind[:-1]] = url("/".join(path.split("/")[:4]))
        return VIEWS[collection](self, path, common | stored)

    def reference(
        self, text: str, field: str, project: str, collection: str, full: bool = False, own: bool = False
    ) -> str:
        """The path that a URL or partial URL means; that something is there is not said. It is of
        `project`; of networks and subnetworks its host's are as good, but with `own`."""
        match = _URL.fullmatch(text)
        path = match[1] if match else text
        if full and not match:
            raise errors.invalid(field, text, "It must be a full URL, not a partial one.")
        if re.match(r"(?:zones|regions)/|global/", path):
            path = f"projects/{project}/{path}"
        if not re.fullmatch(rf"projects/[^/]+/(?:global|(?:zones|regions)/[^/]+)/{collection}/[^/]+", path):
            raise errors.invalid(field, text, f"It must be a URL of one of {collection}.")
        shared = not own and collection in ("networks", "subnetworks")
        if path.split("/")[1] not in (project, self.hosts.get(project) if shared else project):
            raise errors.invalid(field, text, "Cross-project references for this resource are not allowed.")
        return path

    def instance(self, zone: str, text: str, field: str) -> str:
        """The path of an instance, of its name in the zone or of its URL."""
        if "/" not in text:
            text = f"{zone}/instances/{text}"
        return self.reference(text, field, zone.split("/")[1], "instances")

    def check_scope(self, project: str, zone: str | None, region: str | None) -> None:
        if project not in self.projects:
            raise errors.ApiError(404, "notFound", f"Failed to find project {project}")
        if zone is not None and zone not in self.regions.get(zone.rpartition("-")[0], ()):
            raise errors.invalid("zone", zone, "Unknown zone.")
        if region is not None and region not in self.regions:
            raise errors.invalid("region", region, "Unknown region.")


def made(body: Resource, call_id: str, kind: str, drop: tuple[str, ...] = ()) -> Resource:
    """What is stored of an insert's body: no nulls, and nothing that only the server says."""
    ignored = {"kind", "id", "creationTimestamp", "selfLink", "zone", "region", "fingerprint", *drop}
    kept = {
        name: copy.deepcopy(value) for name, value in body.items() if value is not None and name not in ignored
    }
    return kept | {"kind": f"compute#{kind}", "id": call_id, "creationTimestamp": timestamp()}


def check_name(body: Resource) -> None:
    """Not every schema has the pattern of names."""
    name = body.get("name")
    if not name:
        raise errors.required("resource.name")
    if not re.fullmatch(r"[a-z](?:[-a-z0-9]{0,61}[a-z0-9])?", name):
        raise errors.invalid("resource.name", name, "It must be a name of RFC 1035, in lower case.")
