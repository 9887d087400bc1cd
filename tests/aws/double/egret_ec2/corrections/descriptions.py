"""DescribeNetworkInterfaces, DescribeAddresses and DescribeInstances with the filters of their pages.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeNetworkInterfaces.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeAddresses.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DescribeInstances.html
"""

import copy
from typing import Any, Callable

from moto.core.responses import ActionResult
from moto.ec2.responses import EC2Response

from .. import ledger
from ..errors import refuse
from . import filters
from .filters import Values


def _associations(eni: Any) -> list[dict[str, Any]]:
    items = eni.network_interface_private_ip_address_list
    return [item["Association"] for item in items if "Association" in item]


def _of_associations(key: str) -> Values:
    return lambda eni: [association.get(key) for association in _associations(eni)]


def _of_attachment(key: str) -> Values:
    return lambda eni: [getattr(eni.attachment, key, None)]


def _attribute(name: str) -> Values:
    return lambda thing: [getattr(thing, name, None)]


_INTERFACE: dict[str, Values] = {
    "addresses.association.owner-id": _of_associations("IpOwnerId"),
    "addresses.association.public-ip": _of_associations("PublicIp"),
    "addresses.primary": lambda eni: [item["Primary"] for item in eni.private_ip_addresses],
    "addresses.private-ip-address": ledger.addresses,
    "association.allocation-id": _of_associations("AllocationId"),
    "association.association-id": _of_associations("AssociationId"),
    "association.ip-owner-id": _of_associations("IpOwnerId"),
    "association.public-dns-name": _of_associations("PublicDnsName"),
    "association.public-ip": _of_associations("PublicIp"),
    "attachment.attachment-id": _attribute("attachment_id"),
    "attachment.delete-on-termination": _of_attachment("delete_on_termination"),
    "attachment.device-index": _of_attachment("device_index"),
    "attachment.instance-id": _of_attachment("instance_id"),
    "attachment.instance-owner-id": _of_attachment("instance_owner_id"),
    "attachment.status": _of_attachment("status"),
    "availability-zone": _attribute("availability_zone"),
    "availability-zone-id": lambda eni: [eni.subnet.availability_zone_id],
    "description": _attribute("description"),
    "group-id": lambda eni: [group.id for group in eni.group_set],
    "interface-type": _attribute("interface_type"),
    "ipv6-addresses.ipv6-address": lambda eni: eni.ipv6_addresses,
    "mac-address": _attribute("mac_address"),
    "network-interface-id": _attribute("id"),
    "owner-id": _attribute("owner_id"),
    "private-dns-name": _attribute("private_dns_name"),
    "private-ip-address": ledger.addresses,
    "requester-id": _attribute("requester_id"),
    "requester-managed": _attribute("requester_managed"),
    "source-dest-check": _attribute("source_dest_check"),
    "status": _attribute("status"),
    "subnet-id": _attribute("subnet_id"),
    "vpc-id": _attribute("vpc_id"),
}

_ADDRESS: dict[str, Values] = {
    "allocation-id": _attribute("allocation_id"),
    "association-id": _attribute("association_id"),
    "instance-id": _attribute("instance_id"),
    "network-border-group": _attribute("network_border_group"),
    "network-interface-id": _attribute("network_interface_id"),
    "network-interface-owner-id": _attribute("network_interface_owner_id"),
    "private-ip-address": _attribute("private_ip_address"),
    "public-ip": _attribute("public_ip"),
}

_INSTANCE: dict[str, Values] = {
    "architecture": _attribute("architecture"),
    "availability-zone": _attribute("availability_zone"),
    "client-token": _attribute("client_token"),
    "dns-name": _attribute("public_dns_name"),
    "hypervisor": _attribute("hypervisor"),
    "image-id": _attribute("image_id"),
    "instance-id": _attribute("id"),
    "instance-lifecycle": _attribute("lifecycle"),
    "instance-state-code": _attribute("state_code"),
    "instance-state-name": _attribute("state"),
    "instance-type": _attribute("instance_type"),
    "instance.group-id": lambda instance: [group.id for group in instance.security_groups],
    "instance.group-name": lambda instance: [group.name for group in instance.security_groups],
    "ip-address": _attribute("public_ip"),
    "ipv6-address": lambda instance: [
        address for eni in instance.nics.values() for address in eni.ipv6_addresses
    ],
    "key-name": _attribute("key_name"),
    "launch-index": _attribute("ami_launch_index"),
    "owner-id": _attribute("owner_id"),
    "private-dns-name": _attribute("private_dns_name"),
    # Only the primary one; secondaries have network-interface.addresses.private-ip-address.
    "private-ip-address": _attribute("private_ip"),
    "root-device-name": _attribute("root_device_name"),
    "root-device-type": _attribute("root_device_type"),
    "source-dest-check": _attribute("source_dest_check"),
    "subnet-id": _attribute("subnet_id"),
    "tenancy": lambda instance: [instance.placement.tenancy],
    "virtualization-type": _attribute("virtualization_type"),
    "vpc-id": _attribute("vpc_id"),
}


def _of_interfaces(values: Values) -> Values:
    return lambda instance: [item for eni in instance.nics.values() for item in values(eni)]


for _name, _values in _INTERFACE.items():
    _INSTANCE[f"network-interface.{_name}"] = _of_interfaces(_values)
for _name, _key in (("allocation", "AllocationId"), ("association", "AssociationId")):
    _INSTANCE[f"network-interface.addresses.association.{_name}-id"] = _of_interfaces(
        _of_associations(_key)
    )
_INSTANCE["network-interface.addresses.association.ip-owner-id"] = _of_interfaces(
    _of_associations("IpOwnerId")
)
_INSTANCE["network-interface.ipv4-prefixes.ipv4-prefix"] = _of_interfaces(ledger.prefixes)


def _named(
    things: list[Any], ids: list[str], key: Callable[[Any], str], code: str, text: str
) -> list[Any]:
    """Those that the request names, all when it names none; refused when one is missing."""
    if not ids:
        return things
    found = {key(thing): thing for thing in things}
    missing = [one for one in ids if one not in found]
    if missing:
        raise refuse(code, text.format(", ".join(missing)))
    return [found[one] for one in dict.fromkeys(ids)]


def network_interfaces(self: Any) -> ActionResult:
    self.error_on_dryrun()
    enis = _named(
        list(self.ec2_backend.enis.values()),
        self._get_param("NetworkInterfaceIds", []),
        lambda eni: eni.id,
        "InvalidNetworkInterfaceID.NotFound",
        "The networkInterface ID '{}' does not exist",
    )
    wanted = self._filters_from_querystring()
    enis = filters.chosen(enis, wanted, _INTERFACE)
    return ActionResult({"NetworkInterfaces": enis})


def addresses(self: Any) -> ActionResult:
    self.error_on_dryrun()
    eips = _named(
        list(self.ec2_backend.addresses),
        self._get_param("AllocationIds", []),
        lambda eip: eip.allocation_id,
        "InvalidAllocationID.NotFound",
        "The allocation ID '{}' does not exist",
    )
    eips = _named(
        eips,
        self._get_param("PublicIps", []),
        lambda eip: eip.public_ip,
        "InvalidAddress.NotFound",
        "Address '{}' not found.",
    )
    wanted = self._filters_from_querystring()
    eips = filters.chosen(eips, wanted, _ADDRESS)
    return ActionResult({"Addresses": eips})


def instances(self: Any) -> ActionResult:
    self.error_on_dryrun()
    reservations = list(self.ec2_backend.reservations.values())
    chosen = _named(
        [instance for reservation in reservations for instance in reservation.instances],
        self._get_param("InstanceIds", []),
        lambda instance: instance.id,
        "InvalidInstanceID.NotFound",
        "The instance ID '{}' does not exist",
    )
    reservation_of = {
        instance.id: reservation.id
        for reservation in reservations
        for instance in reservation.instances
    }
    known = {**_INSTANCE, "reservation-id": lambda instance: [reservation_of[instance.id]]}
    wanted = self._filters_from_querystring()
    chosen = filters.chosen(chosen, wanted, known)
    result = []
    for reservation in reservations:
        part = [instance for instance in reservation.instances if instance in chosen]
        if part:
            described = copy.copy(reservation)
            described.instances = part
            result.append(described)
    return ActionResult({"Reservations": result})


def apply() -> None:
    EC2Response.describe_network_interfaces = network_interfaces
    EC2Response.describe_addresses = addresses
    EC2Response.describe_instances = instances
