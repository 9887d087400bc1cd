"""Addresses that EC2 chooses, and addresses asked for at launch.

https://docs.aws.amazon.com/vpc/latest/userguide/subnet-sizing.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Subnet.html (AvailableIpAddressCount)
"""

from typing import Any

from moto.ec2.models.subnets import Subnet

from .. import ledger


def _choose(self: Any, instance: Any) -> str:
    return ledger.pick(self)


def _request(self: Any, ip: str, instance: Any) -> None:
    ledger.check_free(self, ip)


def _release(self: Any, ip: str) -> None:
    """Nothing to do: an address is free when no network interface has it."""


def _available(self: Any) -> int:
    used = 0
    for eni in ledger.interfaces_of(self):
        used += len(ledger.addresses(eni)) + 16 * len(ledger.prefixes(eni))
    return self.cidr.num_addresses - 5 - used


def apply() -> None:
    Subnet.get_available_subnet_ip = _choose
    Subnet.request_ip = _request
    Subnet.del_subnet_ip = _release
    Subnet.available_ip_address_count = property(_available)
