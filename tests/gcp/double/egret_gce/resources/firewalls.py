"""Firewall rules of a network."""

import re
from typing import Any

from .. import addressing, errors, listing
from ..calls import Call
from ..cloud import Cloud, Resource, check_name, made, url, view
from ..registry import change

listing.readable("firewalls", "firewalls", "get", "list")

_WITH_PORTS = ("tcp", "udp", "sctp", "6", "17", "132")
_PROTOCOLS = ("all", "tcp", "udp", "icmp", "esp", "ah", "ipip", "sctp")


@view("firewalls")
def _view(cloud: Cloud, path: str, shown: Resource) -> Resource:
    return shown


@change("firewalls.insert")
def insert(cloud: Cloud, call: Call) -> None:
    check_name(call.body)
    cloud.put(call.target, _checked(cloud, call, made(call.body, call.new_id, "firewall")))


@change("firewalls.patch")
def patch(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    resource = cloud.get(path)
    if call.body["name"] != call.name:
        raise errors.invalid("resource.name", call.body["name"], "A name cannot be changed.")
    for field in ("network", "direction"):
        given = call.body.get(field)
        if given and field == "network":
            given = url(cloud.reference(given, "resource.network", call.project, "networks", own=True))
        if given and given != resource[field]:
            raise errors.invalid(f"resource.{field}", given, "It cannot be changed.")
    for field, value in call.body.items():
        if field in ("kind", "id", "creationTimestamp", "selfLink", "name", "network"):
            continue
        resource.pop(field, None)
        if value is not None:
            resource[field] = value
    cloud.put(path, _checked(cloud, call, resource))


@change("firewalls.delete")
def delete(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    cloud.get(path)
    cloud.remove(path)


def _checked(cloud: Cloud, call: Call, resource: Resource) -> Resource:
    """With defaults."""
    given = resource.get("network", "global/networks/default")
    vpc = cloud.reference(given, "resource.network", call.project, "networks", own=True)
    cloud.get(vpc)
    resource["network"] = url(vpc)
    resource.setdefault("direction", "INGRESS")
    resource.setdefault("disabled", False)
    priority = resource.setdefault("priority", 1000)
    if not 0 <= priority <= 65535:
        raise errors.invalid("resource.priority", priority, "It must be from 0 to 65535.")
    if bool(resource.get("allowed")) == bool(resource.get("denied")):
        raise errors.invalid("resource.allowed", resource.get("allowed", []), "Give one of allowed and denied.")
    for index, rule in enumerate(resource.get("allowed") or resource["denied"]):
        _check_rule(rule, f"resource.{'allowed' if resource.get('allowed') else 'denied'}[{index}]")
    _check_sides(resource)
    return resource


def _check_sides(resource: Resource) -> None:
    if resource["direction"] == "EGRESS":
        for field in ("sourceTags", "sourceServiceAccounts"):
            if resource.get(field):
                raise errors.invalid(f"resource.{field}", resource[field], "It is not of EGRESS.")
        if not resource.get("destinationRanges"):
            resource["destinationRanges"] = ["0.0.0.0/0"]
    elif not any(resource.get(field) for field in ("sourceRanges", "sourceTags", "sourceServiceAccounts")):
        resource["sourceRanges"] = ["0.0.0.0/0"]
    for field in ("targetTags", "sourceTags"):
        for other in ("targetServiceAccounts", "sourceServiceAccounts"):
            if resource.get(field) and resource.get(other):
                raise errors.invalid(f"resource.{field}", resource[field], f"It cannot be with {other}.")
    for field in ("sourceRanges", "destinationRanges"):
        for index, block in enumerate(resource.get(field, ())):
            addressing.network(block, f"resource.{field}[{index}]")


def _check_rule(rule: dict[str, Any], field: str) -> None:
    protocol = rule.get("IPProtocol")
    if not protocol:
        raise errors.required(f"{field}.IPProtocol")
    if protocol not in _PROTOCOLS and not (protocol.isdigit() and int(protocol) < 256):
        raise errors.invalid(f"{field}.IPProtocol", protocol, "It must be a protocol's name or number.")
    for port in rule.get("ports") or ():
        if protocol not in _WITH_PORTS:
            raise errors.invalid(f"{field}.ports", port, "Only TCP, UDP and SCTP have ports.")
        match = re.fullmatch(r"([0-9]{1,5})(?:-([0-9]{1,5}))?", port)
        if not match or not int(match[1]) <= int(match[2] or match[1]) <= 65535:
            raise errors.invalid(f"{field}.ports", port, "It must be a port, or a range like 1024-65535.")
