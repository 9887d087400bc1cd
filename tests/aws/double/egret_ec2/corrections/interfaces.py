"""Network interfaces: created with addresses that are free, described per address, deleted whole.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_CreateNetworkInterface.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DeleteNetworkInterface.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_NetworkInterfacePrivateIpAddress.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceNetworkInterfaceAssociation.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ModifyNetworkInterfaceAttribute.html
"""

from typing import Any

from moto.core.responses import ActionResult
from moto.ec2.models.elastic_network_interfaces import NetworkInterface, NetworkInterfaceBackend
from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.responses import EC2Response
from moto.ec2.utils import generate_dns_from_ip

from .. import ledger
from ..errors import refuse
from . import elastic_addresses, ipv6_addresses


def _association(eni: Any, private: str) -> dict[str, Any] | None:
    eip = elastic_addresses.at(eni, private)
    if eip is not None:
        public = eip.public_ip
    elif private == eni.private_ip_address and eni.__dict__.get("egret_automatic_ip"):
        public = eni.__dict__["egret_automatic_ip"]
    else:
        return None
    return {
        "AllocationId": eip.allocation_id if eip else None,
        "AssociationId": eip.association_id if eip else None,
        "IpOwnerId": eni.owner_id if eip else "amazon",
        "PublicDnsName": generate_dns_from_ip(public),
        "PublicIp": public,
    }


def _described_addresses(eni: Any) -> list[dict[str, Any]]:
    items = []
    for item in sorted(eni.private_ip_addresses, key=lambda item: not item["Primary"]):
        private = item["PrivateIpAddress"]
        described = {**item, "PrivateDnsName": item.get("PrivateDnsName")}
        described["Association"] = _association(eni, private)
        items.append({key: value for key, value in described.items() if value is not None})
    return items


def _public_ip(eni: Any) -> str | None:
    association = _association(eni, eni.private_ip_address)
    return association["PublicIp"] if association else None


def _set_automatic(eni: Any, value: str | None) -> None:
    """moto sets `public_ip` for addresses assigned at launch; Elastic IPs come from associations."""
    eni.__dict__["egret_automatic_ip"] = value


_create = NetworkInterfaceBackend.create_network_interface


def create(
    self: Any,
    subnet: Any,
    private_ip_address: Any = None,
    private_ip_addresses: Any = None,
    group_ids: Any = None,
    description: str | None = None,
    tags: Any = None,
    delete_on_termination: bool | None = False,
    **kwargs: Any,
) -> Any:
    if isinstance(subnet, str):
        subnet = self.get_subnet(subnet)
    primary, others = _wanted(private_ip_address, private_ip_addresses or [])
    for address in [primary, *others]:
        if address:
            ledger.check_free(subnet, address)
    taken = {address for address in [primary, *others] if address}
    count = int(kwargs.pop("secondary_ips_count", None) or 0)
    ipv6 = ipv6_addresses.at_creation(
        subnet, kwargs.pop("ipv6_addresses", None) or [], kwargs.pop("ipv6_address_count", None) or 0
    )
    primary = primary or ledger.pick(subnet, taken)
    taken.add(primary)
    for _ in range(count):
        others.append(ledger.pick(subnet, taken))
        taken.add(others[-1])
    items = [{"Primary": True, "PrivateIpAddress": primary}]
    items += [{"Primary": False, "PrivateIpAddress": address} for address in others]
    return _create(
        self,
        subnet,
        primary,
        items,
        group_ids=group_ids,
        description=description,
        tags=tags,
        delete_on_termination=delete_on_termination,
        ipv6_addresses=ipv6,
        **kwargs,
    )


def _wanted(single: Any, many: list[Any]) -> tuple[str | None, list[str]]:
    """The primary address (None: EC2 chooses) and the secondaries that a request names."""
    if isinstance(single, list):
        single = single[0] if single else None
    primary, others = single, []
    for item in many:
        if isinstance(item, dict):
            address, first = item.get("PrivateIpAddress"), item.get("Primary") in (True, "true")
        else:
            address, first = item, False
        if not address or address == primary:
            continue
        if first and primary:
            raise refuse(
                "InvalidParameterCombination", "Only one private IP address can be the primary one"
            )
        if first:
            primary = address
        else:
            others.append(address)
    if len(set(others)) != len(others):
        raise refuse("InvalidParameterValue", "The same private IP address is given twice")
    return primary, others


def delete(self: Any, eni_id: str) -> None:
    eni = self.get_network_interface(eni_id)
    if eni.instance is not None:
        raise refuse(
            "InvalidNetworkInterface.InUse", f"Interface: [{eni_id}] is currently in use."
        )
    remove(eni)


def remove(eni: Any) -> None:
    """The interface goes, its Elastic IPs are disassociated, its addresses are free."""
    elastic_addresses.drop(eni)
    eni.ec2_backend.enis.pop(eni.id, None)


_attach = NetworkInterfaceBackend.attach_network_interface


def attach(self: Any, eni_id: str, instance_id: str, device_index: Any) -> Any:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AttachNetworkInterface.html"""
    eni = self.get_network_interface(eni_id)
    instance = self.get_instance(instance_id)
    if eni.instance is not None:
        raise refuse(
            "InvalidNetworkInterface.InUse", f"Interface: [{eni_id}] is currently in use."
        )
    if instance.state == "terminated":
        raise refuse(
            "IncorrectInstanceState", f"Instance '{instance_id}' is not 'running' or 'stopped'."
        )
    if eni.availability_zone != instance.availability_zone:
        raise refuse(
            "InvalidParameterCombination",
            f"The instance and interface {eni_id} are not in the same availability zone",
        )
    if int(device_index) in instance.nics:
        raise refuse(
            "InvalidParameterValue",
            f"Instance '{instance_id}' already has an interface attached at device index "
            f"'{device_index}'.",
        )
    known = INSTANCE_TYPES.get(instance.instance_type)
    if known and len(instance.nics) >= known["NetworkInfo"]["MaximumNetworkInterfaces"]:
        raise refuse(
            "AttachmentLimitExceeded",
            f"Interface count {len(instance.nics) + 1} exceeds the limit for "
            f"{instance.instance_type}",
        )
    ledger.check_limits(instance.instance_type, eni)
    # An interface attached by call outlives its instance unless it is told otherwise.
    eni.delete_on_termination = False
    return _attach(self, eni_id, instance_id, device_index)


_detach = NetworkInterfaceBackend.detach_network_interface


def detach(self: Any, attachment_id: str) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DetachNetworkInterface.html"""
    for eni in self.enis.values():
        if eni.attachment_id == attachment_id and eni.device_index == 0:
            raise refuse(
                "OperationNotPermitted",
                "The network interface at device index 0 cannot be detached.",
            )
    _detach(self, attachment_id)


_modify_action = EC2Response.modify_network_interface_attribute


def _modify(self: Any) -> ActionResult:
    result = _modify_action(self)
    attachment = self._get_param("Attachment", None)
    if attachment and "DeleteOnTermination" in attachment:
        eni = self.ec2_backend.get_network_interface(self._get_param("NetworkInterfaceId"))
        if attachment.get("AttachmentId") != eni.attachment_id:
            raise refuse(
                "InvalidAttachmentID.NotFound",
                f"The attachment '{attachment.get('AttachmentId')}' does not exist.",
            )
        eni.delete_on_termination = str(attachment["DeleteOnTermination"]).lower() == "true"
    return result


def apply() -> None:
    NetworkInterfaceBackend.create_network_interface = create
    NetworkInterfaceBackend.delete_network_interface = delete
    NetworkInterfaceBackend.attach_network_interface = attach
    NetworkInterfaceBackend.detach_network_interface = detach
    EC2Response.modify_network_interface_attribute = _modify
    NetworkInterface.public_ip = property(_public_ip, _set_automatic)
    NetworkInterface.association = property(lambda eni: _association(eni, eni.private_ip_address))
    NetworkInterface.instance_private_ip_address_list = property(_described_addresses)
    NetworkInterface.network_interface_private_ip_address_list = property(_described_addresses)
    NetworkInterface.ipv4_prefixes = property(
        lambda eni: [{"Ipv4Prefix": prefix} for prefix in ledger.prefixes(eni)]
    )
    NetworkInterface.ipv6_prefixes = property(
        lambda eni: [{"Ipv6Prefix": prefix} for prefix in ledger.ipv6_prefixes(eni)]
    )
