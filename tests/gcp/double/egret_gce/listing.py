"""get, list and aggregatedList are the same for every collection."""

import base64
import binascii
from typing import Any

from . import discovery, errors, filters
from .calls import Call
from .cloud import Cloud, Resource, url
from .registry import read

_LARGEST_PAGE = 500
_ZONAL = ("instances", "networkEndpointGroups", "targetInstances")


def readable(resource: str, collection: str, *methods: str) -> None:
    """Registers the reading methods of a collection."""
    known = {"get": get, "list": _list(collection), "aggregatedList": _aggregated(collection)}
    for method in methods:
        read(f"{resource}.{method}")(known[method])


def get(cloud: Cloud, call: Call) -> Resource:
    path = cloud.find(call.target)
    if path not in cloud.resources:
        raise errors.not_found(path)
    return cloud.shown(path)


def _list(collection: str) -> Any:
    def listed(cloud: Cloud, call: Call) -> Resource:
        found = [cloud.shown(path) for path in cloud.paths(call.scope, collection)]
        return page(call, found, kind_of(call))

    return listed


def kind_of(call: Call) -> str:
    return str(_properties(call)["kind"]["default"])


def _aggregated(collection: str) -> Any:
    def listed(cloud: Cloud, call: Call) -> Resource:
        found = [cloud.shown(path) for path in cloud.paths(f"projects/{call.project}", collection)]
        # A name may be of several zones.
        answer = page(call, found, kind_of(call), key="selfLink")
        scopes: dict[str, Any] = {}
        for region, zones in cloud.regions.items():
            places = [f"zones/{zone}" for zone in zones] if collection in _ZONAL else [f"regions/{region}"]
            scopes |= {place: {} for place in places}
        for item in answer.pop("items", []):
            place = item.get("zone") or item["region"]
            scopes["/".join(place.split("/")[-2:])].setdefault(collection, []).append(item)
        for scope, content in scopes.items():
            if not content:
                message = f"There are no results for scope '{scope}' on this page."
                content["warning"] = {"code": "NO_RESULTS_ON_PAGE", "message": message}
        return answer | {"items": scopes}

    return listed


def page(call: Call, items: list[Resource], kind: str, key: str = "name") -> Resource:
    """A page of a list. `key`: what identifies an item within it."""
    given = call.parameters
    if given.get("filter"):
        wanted = filters.parsed(given["filter"])
        items = [item for item in items if wanted(item)]
    order = given.get("orderBy") or "name"
    if order == "creationTimestamp desc":
        when = "creationTimestamp" if items and "creationTimestamp" in items[0] else "insertTime"
        items = sorted(items, key=lambda item: (item[when], item["id"]), reverse=True)
    elif order == "name":
        items = sorted(items, key=lambda item: _at(item, key))
    else:
        raise errors.invalid("orderBy", order, "It must be name or creationTimestamp desc.")
    size = given.get("maxResults", _LARGEST_PAGE)
    if size > _LARGEST_PAGE:
        raise errors.invalid("maxResults", size, f"It must be from 0 to {_LARGEST_PAGE}.")
    # None is the same as the default [infer].
    size = size or _LARGEST_PAGE
    start = _start(given.get("pageToken"), [_at(item, key) for item in items])
    answer: Resource = {"kind": kind, "id": f"{call.scope}/{call.collection}"}
    if "selfLink" in _properties(call):
        answer["selfLink"] = url("/".join(call.method.segments).format(**call.parameters))
    if items[start : start + size]:
        answer["items"] = items[start : start + size]
    if len(items) > start + size:
        last = _at(items[start + size - 1], key)
        answer["nextPageToken"] = base64.urlsafe_b64encode(last.encode()).decode()
    return answer


def _at(item: Resource, key: str) -> str:
    """`key` may be a path with dots."""
    value: Any = item
    for part in key.split("."):
        value = value[part]
    return str(value)


def _properties(call: Call) -> dict[str, Any]:
    assert call.method.response is not None
    return discovery.schemas()[call.method.response]["properties"]


def _start(token: str | None, keys: list[str]) -> int:
    if not token:
        return 0
    try:
        return keys.index(base64.urlsafe_b64decode(token).decode()) + 1
    except (ValueError, binascii.Error):
        raise errors.invalid("pageToken", token, "It is not one of this list.") from None
