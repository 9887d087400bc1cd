"""The steps, in the order in which they are asked: what ends an instance comes last."""

from . import private, prefixes, elastic, ipv6, interfaces, requests, reads, packets, instances  # noqa: F401
