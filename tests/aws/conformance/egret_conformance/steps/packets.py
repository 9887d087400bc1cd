"""What only packets show. probe.py runs on the two instances and writes what arrives to their consoles."""

from typing import NamedTuple

from .. import probe
from ..bed import PROBED
from ..step import Where, step
from .elastic import onto
from .private import assign, put

# Seconds: how late a console may show what has arrived; and after which nothing more is expected of it.
CONSOLE, LATE = 300, 60
# Seconds: a remap should be over after so many.
REMAP = 10
HOLDER, OTHER = PROBED


class Run(NamedTuple):
    """Numbers that arrived without a pause. `over`: a pause came after them."""

    first: int
    last: int
    count: int
    over: bool


def heard(bed, gateway, stream):
    """What arrived at a gateway's second interface."""
    console = bed.ec2.get_console_output(InstanceId=gateway.instance, Latest=True).get("Output", "")
    # A run that goes on is written again and again.
    runs = {}
    for record in probe.records(console):
        if record.get("stream") == stream:
            runs[record["first"]] = Run(record["first"], record["last"], record["count"], record["over"])
    return sorted(runs.values())


def newest(bed, gateway, stream):
    """The last number that a gateway has heard; -1: none."""
    return max((run.last for run in heard(bed, gateway, stream)), default=-1)


def lost(runs):
    """How many numbers none of the runs has, of those between the first and the last, and the longest gap."""
    runs = sorted(runs)
    reached, gap = runs[0].last, 0
    for run in runs[1:]:
        gap = max(gap, run.first - reached - 1)
        reached = max(reached, run.last)
    return max(0, reached - runs[0].first + 1 - sum(run.count for run in runs)), gap


def remap(bed, check, stream, source, target, what, call):
    """Makes a call that takes a stream from one gateway to the other, and counts what neither heard."""
    mark = newest(bed, source, stream)
    call()

    def both():
        before = [run for run in heard(bed, source, stream) if run.last >= mark]
        after = [run for run in heard(bed, target, stream) if run.last > mark]
        return before + after if after and all(run.over for run in before) else None

    missing, gap = lost(bed.wait(f"{what}: the other gateway hears it", both, CONSOLE))
    check.note(f"{what}: {missing} of {1 / probe.INTERVAL:.0f} datagrams a second lost, {gap * probe.INTERVAL:.2f} s")
    check.equal(f"{what}: over within {REMAP} s", True, gap * probe.INTERVAL <= REMAP)


def groups(bed, group, *gateways):
    for gateway in gateways:
        bed.ec2.modify_network_interface_attribute(NetworkInterfaceId=gateway.interface, Groups=[group])


@step(
    "packets-lost",
    f"when an address moves, the stream to it is at the new interface within {REMAP} s: a private address, the "
    "Elastic IP that follows it, and one that AssociateAddress moves; what is lost is counted",
    "AssignPrivateIpAddresses",
    inferred=f"the {REMAP} s: that page says that remapping is asynchronous",
    where=Where.ACCOUNT,
)
def packets_lost(bed, check):
    elastic = bed.elastic[0]
    put(bed, bed.left.interface, HOLDER)
    bed.ec2.associate_address(**onto(elastic, bed.left.interface, HOLDER))
    for stream in ("private", "public"):
        bed.wait(f"stream {stream} arrives", lambda at=stream: newest(bed, bed.left, at) >= 0, CONSOLE)
    public = newest(bed, bed.left, "public")

    def move():
        check.answered("move the private address", bed.ec2.assign_private_ip_addresses,
                       **assign(bed.right.interface, HOLDER, AllowReassignment=True))  # fmt: skip

    remap(bed, check, "private", bed.left, bed.right, "private address", move)
    # The same move, as the other stream saw it.
    runs = [run for gateway in (bed.left, bed.right) for run in heard(bed, gateway, "public") if run.last >= public]
    missing, gap = lost(runs)
    check.note(f"Elastic IP that follows: {missing} lost, {gap * probe.INTERVAL:.2f} s")
    check.equal(f"Elastic IP that follows: over within {REMAP} s", True, gap * probe.INTERVAL <= REMAP)
    put(bed, bed.left.interface, OTHER)

    def associate():
        check.answered("associate", bed.ec2.associate_address, **onto(elastic, bed.left.interface, OTHER))

    remap(bed, check, "public", bed.right, bed.left, "AssociateAddress", associate)


@step(
    "pushed-in",
    "after a move, what the far side sends first reaches a gateway that has sent nothing where its security group "
    "lets everything in (untracked flows), and not where it rests on tracking",
    "Connection tracking",
    inferred="that the new interface knows nothing of what the old one tracked",
    where=Where.ACCOUNT,
)
def pushed_in(bed, check):
    groups(bed, bed.closed_group, bed.left, bed.right)
    try:
        known = newest(bed, bed.left, "private")
        put(bed, bed.left.interface, HOLDER)
        bed.wait("the tracked stream arrives", lambda: newest(bed, bed.left, "private") > known, CONSOLE)
        silent = newest(bed, bed.right, "private")
        bed.ec2.assign_private_ip_addresses(**assign(bed.right.interface, HOLDER, AllowReassignment=True))
        bed.wait("it ends there", lambda: heard(bed, bed.left, "private")[-1].over, CONSOLE)
        check.stays("heard behind the group that tracks", silent, lambda: newest(bed, bed.right, "private"), LATE)
        groups(bed, bed.group, bed.right)
        check.shows("heard behind the open group", True, lambda: newest(bed, bed.right, "private") > silent)
        check.note("pushed in through the open group alone" if not check.differences else "see the differences")
    finally:
        groups(bed, bed.group, bed.left, bed.right)
