"""Corrections of moto towards EC2, one module per area; each names the page that it follows."""

from . import (
    descriptions,
    elastic_addresses,
    instances,
    interfaces,
    ipv6_addresses,
    pages,
    private_addresses,
    subnets,
)

_applied = False


def apply() -> None:
    """Corrects moto in this process, once."""
    global _applied
    if _applied:
        return
    for area in (
        subnets,
        interfaces,
        private_addresses,
        ipv6_addresses,
        elastic_addresses,
        instances,
        descriptions,
        pages,
    ):
        area.apply()
    _applied = True
