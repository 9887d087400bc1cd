"""The discovery document of compute v1, from the installed google-api-python-client."""

import functools
import importlib.util
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

BASE = "/compute/v1/"


@dataclass(frozen=True)
class Method:
    id: str
    verb: str
    segments: tuple[str, ...]
    parameters: dict[str, Any]
    request: str | None
    response: str | None
    # A token needs one of them.
    scopes: frozenset[str]

    @property
    def resource(self) -> str:
        return self.id.split(".")[1]

    @property
    def name(self) -> str:
        return self.id.split(".")[2]

    @property
    def lists(self) -> bool:
        return "pageToken" in self.parameters

    def match(self, segments: list[str]) -> dict[str, str] | None:
        """The path's parameters, if the path is one of this method."""
        found = {}
        for want, have in zip(self.segments, segments):
            if want.startswith("{"):
                found[want.strip("{}")] = have
            elif want != have:
                return None
        return found


@functools.cache
def document() -> dict[str, Any]:
    # The package itself is not imported: that takes a second, and the server needs the file only.
    found = importlib.util.find_spec("googleapiclient")
    if found is None or not found.submodule_search_locations:
        raise SystemExit("google-api-python-client is not installed: run tests/setup.sh gcp")
    root = Path(found.submodule_search_locations[0])
    with open(root / "discovery_cache" / "documents" / "compute.v1.json", encoding="utf-8") as file:
        return json.load(file)


def schemas() -> dict[str, Any]:
    return document()["schemas"]


@functools.cache
def methods() -> dict[str, Method]:
    found = {}
    for resource in document()["resources"].values():
        for method in resource["methods"].values():
            found[method["id"]] = Method(
                id=method["id"],
                verb=method["httpMethod"],
                segments=tuple(method["path"].split("/")),
                parameters=method.get("parameters", {}),
                request=method.get("request", {}).get("$ref"),
                response=method.get("response", {}).get("$ref"),
                scopes=frozenset(method["scopes"]),
            )
    return found


@functools.cache
def _routes() -> dict[tuple[str, int], list[Method]]:
    routes: dict[tuple[str, int], list[Method]] = {}
    for method in methods().values():
        routes.setdefault((method.verb, len(method.segments)), []).append(method)
    for group in routes.values():
        # `backendServices/listUsable` is a method, not a service of that name.
        group.sort(key=lambda method: sum(part.startswith("{") for part in method.segments))
    return routes


def find(verb: str, path: str) -> tuple[Method, dict[str, str]] | None:
    """The method that a path below BASE is of, with the path's parameters."""
    segments = path.split("/")
    for method in _routes().get((verb, len(segments)), ()):
        parameters = method.match(segments)
        if parameters is not None:
            return method, parameters
    return None
