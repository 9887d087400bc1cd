"""GET /egret/state: what a VPC's fabric needs to know. Always the present: what operations that are
under way will do is not in it."""

from ipaddress import IPv4Address, IPv4Network
from typing import Any

from . import addressing
from .addressing import path_of
from .cloud import Cloud, Resource, name_of, region_of, url
from .resources import ha_policy


def shown(cloud: Cloud, project: str = "") -> dict[str, Any]:
    scopes = [f"projects/{name}" for name in cloud.projects if project in ("", name)]
    found: dict[str, Any] = {}
    for key, collection, describe in (
        ("instances", "instances", _instance),
        ("forwarding_rules", "forwardingRules", _rule),
        ("backend_services", "backendServices", _service),
        ("addresses", "addresses", _address),
        ("firewalls", "firewalls", _firewall),
    ):
        found[key] = [
            {"path": path, "project": path.split("/")[1], "name": name_of(path)} | describe(cloud, path)
            for scope in scopes
            for path in cloud.paths(scope, collection)
        ]
    return found


def mac(address: str) -> str:
    """As Compute Engine makes it of the interface's address."""
    return "42:01:" + ":".join(f"{byte:02x}" for byte in IPv4Address(address).packed)


def _instance(cloud: Cloud, path: str) -> Resource:
    resource = cloud.resources[path]
    return {
        "id": resource["id"],
        "zone": path.split("/")[3],
        "region": region_of(path),
        "status": resource["status"],
        "can_ip_forward": resource["canIpForward"],
        "tags": resource.get("tags", {}).get("items", []),
        "interfaces": [_interface(cloud, nic) for nic in resource["networkInterfaces"]],
    }


def _interface(cloud: Cloud, nic: Resource) -> Resource:
    subnetwork = cloud.resources[path_of(nic["subnetwork"])]
    access = nic.get("accessConfigs", [])
    return {
        "name": nic["name"],
        "mac": mac(nic["networkIP"]),
        "ip": nic["networkIP"],
        "external_ip": access[0]["natIP"] if access else None,
        "network": path_of(nic["network"]),
        "subnetwork": path_of(nic["subnetwork"]),
        "cidr": subnetwork["ipCidrRange"],
        "gateway": str(IPv4Network(subnetwork["ipCidrRange"])[1]),
        "aliases": [
            {"cidr": alias["ipCidrRange"], "range": alias.get("subnetworkRangeName")}
            for alias in nic.get("aliasIpRanges", ())
        ],
    }


def _rule(cloud: Cloud, path: str) -> Resource:
    rule = cloud.resources[path]
    shown = {
        "region": region_of(path),
        "address": rule["IPAddress"],
        "scheme": rule["loadBalancingScheme"],
        "protocol": rule["IPProtocol"],
        "all_ports": rule.get("allPorts", False),
        "ports": rule.get("ports") or ([rule["portRange"]] if rule.get("portRange") else []),
        "network": path_of(rule["network"]) if "network" in rule else None,
        "subnetwork": path_of(rule["subnetwork"]) if "subnetwork" in rule else None,
        "global_access": rule.get("allowGlobalAccess", False),
        "labels": rule.get("labels", {}),
    }
    if "backendService" in rule:
        service = path_of(rule["backendService"])
        return shown | {"kind": "backend_service", "target": service} | _behind(cloud, service)
    target = path_of(rule["target"])
    instance = path_of(cloud.resources[target]["instance"])
    # Nobody is delivered to once it was deleted; one of the same name would be.
    there = instance in cloud.resources
    return shown | {"kind": "target_instance", "target": target, "instance": instance if there else None}


def _behind(cloud: Cloud, path: str) -> Resource:
    service = cloud.resources[path]
    found = ha_policy.endpoints(cloud, service)
    leader = ha_policy.leader(cloud, service)
    policy = service.get("haPolicy")
    return {
        "ha_policy": policy is not None,
        "fast_ip_move": policy["fastIPMove"] if policy else "DISABLED",
        "endpoints": [
            {"group": group, "instance": path_of(one["instance"]), "ip": one["ipAddress"]} for group, one in found
        ],
        "leader": leader
        and {
            "group": leader.group,
            "instance": leader.instance,
            # False after the instance was deleted.
            "attached": (leader.group, url(leader.instance)) in [(g, one["instance"]) for g, one in found],
        },
    }


def _service(cloud: Cloud, path: str) -> Resource:
    service = cloud.resources[path]
    return {
        "region": region_of(path),
        "scheme": service["loadBalancingScheme"],
        "network": path_of(service["network"]) if "network" in service else None,
    } | _behind(cloud, path)


def _address(cloud: Cloud, path: str) -> Resource:
    resource = cloud.resources[path]
    return {
        "region": region_of(path),
        "address": resource["address"],
        "type": resource["addressType"],
        "subnetwork": path_of(resource["subnetwork"]) if "subnetwork" in resource else None,
        "users": addressing.users(cloud, resource),
        "labels": resource.get("labels", {}),
    }


def _firewall(cloud: Cloud, path: str) -> Resource:
    resource = cloud.resources[path]
    names = {
        "direction": "direction",
        "priority": "priority",
        "disabled": "disabled",
        "allowed": "allowed",
        "denied": "denied",
        "sourceRanges": "source_ranges",
        "destinationRanges": "destination_ranges",
        "sourceTags": "source_tags",
        "targetTags": "target_tags",
    }
    found = {short: resource.get(name, []) for name, short in names.items()}
    return found | {"network": path_of(resource["network"])}
