"""How long reads lag behind changes."""

import statistics
import time

from ..step import step
from .elastic import onto
from .private import ONE, TWO, assign, put

# The provider believes an answer more than a read for so long (README of providers/aws), in seconds.
BELIEVED = 60
ROUNDS = 5


def _told(samples):
    return f"{statistics.median(samples):.2f} s, {max(samples):.2f} s at most"


@step(
    "seconds-until-shown",
    f"a moved address and an associated Elastic IP show within {BELIEVED} s; the seconds are measured",
    "Eventual consistency",
    inferred=f"the {BELIEVED} s, which the provider allows for",
)
def seconds_until_shown(bed, check):
    elastic = bed.elastic[0]
    gateways = [bed.left, bed.right]
    calls, arrivals, departures, associations = [], [], [], []
    put(bed, bed.left.interface, ONE)
    put(bed, bed.right.interface, TWO)
    for number in range(ROUNDS):
        source, target = gateways[number % 2].interface, gateways[1 - number % 2].interface
        begin = time.monotonic()
        check.answered("move", bed.ec2.assign_private_ip_addresses,
                       **assign(target, ONE, AllowReassignment=True))  # fmt: skip
        calls.append(time.monotonic() - begin)
        arrivals.append(check.shows("target", True, lambda at=target: ONE in bed.secondaries(at)))
        departures.append(arrivals[-1] + check.shows("source", False, lambda at=source: ONE in bed.secondaries(at)))
        check.answered("associate", bed.ec2.associate_address, **onto(elastic, target, ONE))
        associations.append(check.shows("Elastic IP", (target, ONE), lambda at=target: bed.target(elastic)))
        bed.ec2.disassociate_address(AssociationId=bed.address(elastic)["AssociationId"])
        check.shows("Elastic IP", None, lambda: bed.target(elastic))
    check.note(f"the call takes {_told(calls)}")
    check.note(f"the new interface shows it after {_told(arrivals)}")
    check.note(f"the old one no more after {_told(departures)}")
    check.note(f"the Elastic IP after {_told(associations)}")
    worst = max(arrivals + departures + associations)
    check.equal(f"within {BELIEVED} s", True, worst <= BELIEVED)
