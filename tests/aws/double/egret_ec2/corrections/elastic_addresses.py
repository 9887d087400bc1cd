"""Elastic IPs: one per private address, associated with exactly the address that was named.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AssociateAddress.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_DisassociateAddress.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_ReleaseAddress.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_AllocateAddress.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/elastic-ip-addresses-eip.html (quota of five)
"""

import ipaddress
from typing import Any

from moto.core.responses import ActionResult, EmptyResult
from moto.ec2.models.elastic_ip_addresses import ElasticAddress, ElasticAddressBackend
from moto.ec2.responses import EC2Response
from moto.ec2.utils import random_eip_association_id

from .. import ledger
from ..errors import refuse

DEFAULT_QUOTA = 5
# Elastic IPs per region; the control API changes it.
quota = DEFAULT_QUOTA
# Where Elastic IPs come from. moto's own come from 127/8, which no packet can be sent from.
pool = ipaddress.ip_network("203.0.113.0/24")


def at(eni: Any, private: str) -> Any | None:
    """The Elastic IP of a private address."""
    for eip in eni.ec2_backend.addresses:
        if eip.eni is eni and target(eip) == private:
            return eip
    return None


def target(eip: Any) -> str | None:
    if eip.eni is None:
        return None
    return eip.__dict__.get("egret_private_ip") or eip.eni.private_ip_address


def follow(source: Any, private: str, destination: Any) -> None:
    """A secondary address moves and its Elastic IP with it (API_AssignPrivateIpAddresses)."""
    eip = at(source, private)
    if eip is not None:
        eip.eni = destination


def drop(eni: Any, private: str | None = None) -> None:
    """Disassociates the Elastic IP of one private address, or all of a network interface."""
    for eip in eni.ec2_backend.addresses:
        if eip.eni is eni and private in (None, target(eip)):
            _free(eip)


def _free(eip: Any) -> None:
    eip.eni = None
    eip.instance = None
    eip.association_id = None
    eip.egret_private_ip = None


def associate(
    self: Any,
    instance: Any = None,
    eni: Any = None,
    address: str | None = None,
    allocation_id: str | None = None,
    reassociate: bool = True,
    private: str | None = None,
) -> Any:
    if address:
        eip = self.address_by_ip([address])[0]
    else:
        eip = self.address_by_allocation([allocation_id])[0]
    if eni is None:
        eni = _only_interface(instance)
    private = private or eni.private_ip_address
    if private not in ledger.addresses(eni):
        raise refuse(
            "InvalidParameterValue",
            f"Private IP address {private} is not assigned to interface {eni.id}",
        )
    if eip.eni is eni and target(eip) == private:
        return eip
    if eip.eni is not None and not reassociate:
        raise refuse(
            "Resource.AlreadyAssociated",
            f"resource {eip.allocation_id} is already associated with associate-id "
            f"{eip.association_id}",
        )
    drop(eni, private)
    eip.eni = eni
    eip.egret_private_ip = private
    eip.association_id = random_eip_association_id()
    return eip


def _only_interface(instance: Any) -> Any:
    if instance.state not in ("pending", "running", "stopping", "stopped") or not instance.nics:
        raise refuse(
            "InvalidInstanceID",
            f"The instance '{instance.id}' is not in a valid state for this operation.",
        )
    if len(instance.nics) > 1:
        raise refuse(
            "InvalidInstanceID",
            f"There are multiple interfaces attached to instance '{instance.id}'. "
            "Please specify an interface ID for the operation instead.",
        )
    return next(iter(instance.nics.values()))


def _associate_action(self: Any) -> ActionResult:
    backend = self.ec2_backend
    instance_id = self._get_param("InstanceId")
    eni_id = self._get_param("NetworkInterfaceId")
    public_ip = self._get_param("PublicIp")
    allocation_id = self._get_param("AllocationId")
    if not public_ip and not allocation_id:
        raise refuse("MissingParameter", "The request must contain the parameter AllocationId")
    if public_ip and allocation_id:
        raise refuse(
            "InvalidParameterCombination", "You may specify public IP or allocation id, but not both"
        )
    if not instance_id and not eni_id:
        raise refuse(
            "MissingParameter", "Either public IP or allocation id needs an instance or interface"
        )
    if instance_id and eni_id:
        raise refuse(
            "InvalidParameterCombination",
            "You may specify the instance ID or the network interface ID, but not both",
        )
    self.error_on_dryrun()
    eip = backend.associate_address(
        instance=backend.get_instance(instance_id) if instance_id else None,
        eni=backend.get_network_interface(eni_id) if eni_id else None,
        address=public_ip,
        allocation_id=allocation_id,
        # "Reassociation is automatic, but you can specify false".
        reassociate=self._get_bool_param("AllowReassociation", True),
        private=self._get_param("PrivateIpAddress"),
    )
    return ActionResult({"AssociationId": eip.association_id})


def disassociate(self: Any, address: str | None = None, association_id: str | None = None) -> None:
    if address:
        eip = self.address_by_ip([address])[0]
    else:
        eip = self.address_by_association([association_id])[0]
    _free(eip)


def release(self: Any, address: str | None = None, allocation_id: str | None = None) -> None:
    if address:
        eip = self.address_by_ip([address])[0]
    else:
        eip = self.address_by_allocation([allocation_id])[0]
    if eip.eni is not None:
        raise refuse("InvalidIPAddress.InUse", f"Address {eip.public_ip} is in use.")
    self.addresses.remove(eip)


def allocate(self: Any, domain: str, address: str | None = None, tags: Any = None) -> Any:
    """`address` recovers a released Elastic IP: it must be one of the pool and free."""
    if len(self.addresses) >= quota:
        raise refuse("AddressLimitExceeded", "The maximum number of addresses has been reached.")
    used = {eip.public_ip for eip in self.addresses}
    if address:
        if address in used or ledger.parsed(address) not in pool:
            raise refuse("InvalidAddress.NotFound", f"Address '{address}' not found.")
    else:
        address = next((str(ip) for ip in pool.hosts() if str(ip) not in used), None)
        if address is None:
            raise refuse("InsufficientAddressCapacity", "No Elastic IP is left in the pool.")
    eip = ElasticAddress(self, domain="vpc", address=address, tags=tags)
    self.addresses.append(eip)
    return eip


def apply() -> None:
    ElasticAddressBackend.associate_address = associate
    ElasticAddressBackend.disassociate_address = disassociate
    ElasticAddressBackend.release_address = release
    ElasticAddressBackend.allocate_address = allocate
    EC2Response.associate_address = _associate_action
    ElasticAddress.private_ip_address = property(target)
    ElasticAddress.instance_id = property(
        lambda eip: eip.eni.instance.id if eip.eni and eip.eni.instance else None
    )
    ElasticAddress.network_interface_id = property(lambda eip: eip.eni.id if eip.eni else None)
    ElasticAddress.network_border_group = property(lambda eip: eip.ec2_backend.region_name)
    ElasticAddress.public_ipv4_pool = "amazon"
