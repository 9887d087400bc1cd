"""GET /egret/state: what a router of the VPC needs. Always the present, never lagging."""

from typing import Any

from moto.ec2.models import ec2_backends

from . import ledger
from .corrections import elastic_addresses


def backends(region: str | None = None) -> list[Any]:
    """The regions that a call has touched."""
    found = []
    for account in list(ec2_backends.values()):
        for name, backend in list(account.items()):
            if region in (None, name):
                found.append(backend)
    return found


def shown(region: str | None = None) -> dict[str, Any]:
    enis: list[dict[str, Any]] = []
    eips: list[dict[str, Any]] = []
    for backend in backends(region):
        enis += [_interface(eni) for eni in backend.enis.values()]
        eips += [_address(eip) for eip in backend.addresses]
    return {"enis": enis, "eips": eips}


def _interface(eni: Any) -> dict[str, Any]:
    instance = eni.instance
    return {
        "id": eni.id,
        "mac": eni.mac_address,
        "region": eni.ec2_backend.region_name,
        "vpc": eni.vpc_id,
        "subnet": eni.subnet.id,
        "cidr": eni.subnet.cidr_block,
        "zone": eni.availability_zone,
        "status": eni.status,
        "source_dest_check": eni.source_dest_check,
        "instance": instance.id if instance else None,
        "instance_state": instance.state if instance else None,
        "device_index": eni.device_index if instance else None,
        "private": [
            {
                "ip": item["PrivateIpAddress"],
                "primary": item["Primary"],
                "public": item.get("Association", {}).get("PublicIp"),
                "allocation": item.get("Association", {}).get("AllocationId"),
                "association": item.get("Association", {}).get("AssociationId"),
            }
            for item in eni.network_interface_private_ip_address_list
        ],
        "prefixes": ledger.prefixes(eni),
        "ipv6": list(eni.ipv6_addresses),
        "ipv6_prefixes": ledger.ipv6_prefixes(eni),
    }


def _address(eip: Any) -> dict[str, Any]:
    return {
        "public_ip": eip.public_ip,
        "region": eip.ec2_backend.region_name,
        "allocation": eip.allocation_id,
        "association": eip.association_id,
        "eni": eip.eni.id if eip.eni else None,
        "private_ip": elastic_addresses.target(eip),
        "instance": eip.instance_id,
        "tags": dict(eip.ec2_backend.tags.get(eip.id, {})),
    }
