"""Launch with addresses that are free, terminate with everything given back, stop with all kept.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_RunInstances.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_InstanceNetworkInterfaceSpecification.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/terminating-instances.html
https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Stop_Start.html
"""

from typing import Any

from moto.ec2.models.instance_types import INSTANCE_TYPES
from moto.ec2.models.instances import Instance, InstanceBackend

from .. import ledger
from ..errors import refuse
from . import interfaces, ipv6_addresses

_run = InstanceBackend.run_instances


def run(
    self: Any,
    image_id: str,
    count: int,
    user_data: Any,
    security_group_names: list[str],
    **kwargs: Any,
) -> Any:
    kind = kwargs.get("instance_type")
    if not kwargs.get("is_instance_type_default") and kind not in INSTANCE_TYPES:
        raise refuse("InvalidParameterValue", f"Invalid value '{kind}' for InstanceType.")
    specs = kwargs.get("nics") or []
    if not specs and not kwargs.get("subnet_id"):
        kwargs["subnet_id"] = _default_subnet(self, kwargs.get("placement"))
    if specs and not any("SubnetId" in s or "NetworkInterfaceId" in s for s in specs):
        for spec in specs:
            spec["SubnetId"] = _default_subnet(self, kwargs.get("placement"))
    if specs and not any(int(spec.get("DeviceIndex", -1)) == 0 for spec in specs):
        raise refuse(
            "InvalidParameterCombination", "A network interface with device index 0 is missing"
        )
    _check_existing(self, specs)
    tags = (kwargs.get("tags") or {}).get("network-interface", {})
    reservation = _run(self, image_id, count, user_data, security_group_names, **kwargs)
    existing = {int(s["DeviceIndex"]) for s in specs if s.get("NetworkInterfaceId")}
    kept = {
        int(s["DeviceIndex"])
        for s in specs
        if str(s.get("DeleteOnTermination", "true")).lower() == "false"
    }
    for instance in reservation.instances:
        for spec in specs:
            if not spec.get("NetworkInterfaceId"):
                _add_secondaries(instance.nics[int(spec["DeviceIndex"])], spec)
        for index, eni in instance.nics.items():
            if index not in existing:
                # moto tags instances and volumes only.
                eni.add_tags(tags)
            eni.delete_on_termination = index not in existing | kept
            ledger.check_limits(instance.instance_type, eni)
    return reservation


def _add_secondaries(eni: Any, spec: dict[str, Any]) -> None:
    """moto takes the primary address of a specification and leaves the rest."""
    wanted = [item["PrivateIpAddress"] for item in spec.get("PrivateIpAddresses", [])]
    for address in wanted:
        if address != eni.private_ip_address:
            ledger.check_free(eni.subnet, address)
            eni.private_ip_addresses.append({"Primary": False, "PrivateIpAddress": address})
    for _ in range(int(spec.get("SecondaryPrivateIpAddressCount") or 0)):
        address = ledger.pick(eni.subnet)
        eni.private_ip_addresses.append({"Primary": False, "PrivateIpAddress": address})
    wanted = [item["Ipv6Address"] for item in spec.get("Ipv6Addresses", [])]
    count = int(spec.get("Ipv6AddressCount") or 0)
    eni.ipv6_addresses += ipv6_addresses.at_creation(eni.subnet, wanted, count)


def _default_subnet(backend: Any, zone: str | None) -> str:
    """https://docs.aws.amazon.com/vpc/latest/userguide/default-subnet.html"""
    subnets = backend.get_default_subnets()
    subnet = subnets.get(zone) if zone else next(iter(subnets.values()), None)
    if subnet is None:
        raise refuse("MissingInput", "No subnets found for the default VPC. Please specify a subnet.")
    return subnet.id


def _check_existing(backend: Any, specs: list[dict[str, Any]]) -> None:
    for spec in specs:
        eni_id = spec.get("NetworkInterfaceId")
        if eni_id and backend.get_network_interface(eni_id).instance is not None:
            raise refuse(
                "InvalidNetworkInterface.InUse", f"Interface: [{eni_id}] is currently in use."
            )


_terminate = Instance.terminate


def terminate(self: Any) -> Any:
    for eni in list(self.nics.values()):
        self.detach_eni(eni)
        if eni.delete_on_termination:
            interfaces.remove(eni)
    return _terminate(self)


def _primary(instance: Any) -> Any | None:
    return instance.nics.get(0)


def _private_dns(instance: Any) -> str:
    primary = _primary(instance)
    if primary is None:
        return ""
    region = instance.ec2_backend.region_name
    domain = "ec2.internal" if region == "us-east-1" else f"{region}.compute.internal"
    return f"ip-{primary.private_ip_address.replace('.', '-')}.{domain}"


def _private_ip(instance: Any) -> str | None:
    primary = _primary(instance)
    return primary.private_ip_address if primary else None


def _public_ip(instance: Any) -> str | None:
    primary = _primary(instance)
    return primary.public_ip if primary else None


_start = InstanceBackend.start_instances
_stop = InstanceBackend.stop_instances


def start(self: Any, instance_ids: list[str]) -> Any:
    _check_not_terminated(self, instance_ids, "started")
    return _start(self, instance_ids)


def stop(self: Any, instance_ids: list[str]) -> Any:
    _check_not_terminated(self, instance_ids, "stopped")
    return _stop(self, instance_ids)


def _check_not_terminated(backend: Any, instance_ids: list[str], verb: str) -> None:
    for instance in backend.get_multi_instances_by_id(instance_ids):
        if instance.state == "terminated":
            raise refuse(
                "IncorrectInstanceState",
                f"This instance '{instance.id}' is not in a state from which it can be {verb}.",
            )


_subnet_id = Instance.subnet_id


def _subnet(instance: Any) -> str | None:
    """A terminated instance is described without a subnet and without interfaces."""
    return None if instance.state == "terminated" else _subnet_id.__get__(instance)


def apply() -> None:
    Instance.subnet_id = property(_subnet)
    InstanceBackend.run_instances = run
    InstanceBackend.start_instances = start
    InstanceBackend.stop_instances = stop
    Instance.terminate = terminate
    Instance.private_ip = Instance.private_ip_address = property(_private_ip)
    Instance.public_ip = Instance.public_ip_address = property(_public_ip)
    Instance.private_dns_name = property(_private_dns)
