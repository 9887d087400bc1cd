"""What a test asked the double to do wrong. Guarded by the server's lock.

https://docs.aws.amazon.com/ec2/latest/devguide/eventual-consistency.html
https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-throttling.html
"""

import fnmatch
import random
import time
from dataclasses import dataclass, field
from typing import Any

from .snapshot import Snapshot

# Older changes than this many are never shown.
_HISTORY = 256


def _applies(actions: list[str], action: str) -> bool:
    return not actions or any(fnmatch.fnmatchcase(action, pattern) for pattern in actions)


@dataclass
class Throttle:
    left: int
    code: str
    actions: list[str]


# Actions with a bucket of their own: tokens that it holds, tokens added a second.
_UNCATEGORIZED = {
    "AssignIpv6Addresses": (100, 5),
    "AssignPrivateIpAddresses": (100, 5),
    "UnassignPrivateIpAddresses": (100, 5),
}
_NON_MUTATING = (100, 20)
_MUTATING = (50, 5)


class Buckets:
    """A bucket of tokens for each action, `scale` times what the page documents; full at first."""

    def __init__(self, scale: float) -> None:
        self.scale = scale
        self.levels: dict[str, tuple[float, float]] = {}

    def take(self, action: str, now: float) -> bool:
        """Whether there was a token for this call."""
        usual = _NON_MUTATING if action.startswith("Describe") else _MUTATING
        most, refill = (self.scale * number for number in _UNCATEGORIZED.get(action, usual))
        level, since = self.levels.get(action, (most, now))
        level = min(most, level + (now - since) * refill)
        taken = level >= 1
        self.levels[action] = (level - taken, now)
        return taken


@dataclass
class Fault:
    """`after`: the call takes effect first. `cut`: no answer, the connection is closed. `every`: of
    the calls that could fail, each that many-th does; it does not wear out `left`."""

    action: str
    code: str
    message: str
    left: int
    after: bool
    cut: bool
    every: int = 0
    seen: int = 0

    def strikes(self) -> bool:
        """Counts a call that could fail."""
        if self.every > 0:
            self.seen += 1
            return self.seen % self.every == 0
        if self.left > 0:
            self.left -= 1
            return True
        return False


@dataclass
class Delay:
    action: str
    milliseconds: int
    # None: until it is taken back.
    left: int | None


@dataclass
class Change:
    time: float
    # How many descriptions still show what was before it; None: time decides.
    reads: int | None
    before: Snapshot


@dataclass
class Lag:
    """Every change stays hidden from descriptions for `seconds`, or from the next `reads` of them.

    `probability`: of each description that could be stale to be so; when `torn`, of each thing in
    it, so that a moved address is seen on both interfaces, or on none.
    """

    seconds: float = 0.0
    reads: int = 0
    probability: float = 1.0
    actions: list[str] = field(default_factory=list)
    torn: bool = False

    @property
    def on(self) -> bool:
        return self.seconds > 0 or self.reads > 0


class Faults:
    def __init__(self, seed: int) -> None:
        self.random = random.Random(seed)
        self.lag = Lag()
        self.changes: list[Change] = []
        self.throttles: list[Throttle] = []
        # None: nothing is limited.
        self.buckets: Buckets | None = None
        self.faults: list[Fault] = []
        self.delays: list[Delay] = []
        # Patterns like "ec2:Describe*"; None: everything is allowed.
        self.allowed: list[str] | None = None

    def refused(self, action: str) -> bool:
        return self.allowed is not None and not _applies(self.allowed or [""], f"ec2:{action}")

    def throttled(self, action: str) -> str | None:
        """The code of the refusal that this call gets, if any; counts it."""
        for throttle in self.throttles:
            if throttle.left > 0 and _applies(throttle.actions, action):
                throttle.left -= 1
                return throttle.code
        if self.buckets is not None and not self.buckets.take(action, time.monotonic()):
            return "RequestLimitExceeded"
        return None

    def fault(self, action: str, after: bool) -> Fault | None:
        for fault in self.faults:
            if fault.after == after and _applies([fault.action], action) and fault.strikes():
                return fault
        return None

    def delay(self, action: str) -> float:
        """Seconds."""
        total = 0
        for delay in self.delays:
            if delay.left != 0 and _applies([delay.action], action):
                total += delay.milliseconds
                if delay.left is not None:
                    delay.left -= 1
        return total / 1000

    def set_lag(self, lag: Lag) -> None:
        """What changed until now shows at once."""
        self.lag = lag
        self.changes.clear()

    def changed(self, before: Snapshot, now: float) -> None:
        if self.lag.on:
            self.changes.append(Change(now, self.lag.reads or None, before))
            del self.changes[:-_HISTORY]

    def past(self, action: str, now: float) -> Snapshot | None:
        """What a description shows instead of the present, if anything."""
        if not self.lag.on or not _applies(self.lag.actions, action):
            return None
        self.changes = [
            change
            for change in self.changes
            if (change.reads or 0) > 0 or now - change.time < self.lag.seconds
        ]
        if not self.changes:
            return None
        for change in self.changes:
            if change.reads is not None:
                change.reads -= 1
        if not self.lag.torn and not self.stale():
            return None
        return self.changes[0].before

    def stale(self) -> bool:
        return self.random.random() < self.lag.probability

    def shown(self) -> dict[str, Any]:
        return {
            "lag": vars(self.lag),
            "buckets": self.buckets and {"scale": self.buckets.scale},
            "throttles": [vars(one) for one in self.throttles if one.left],
            "faults": [vars(one) for one in self.faults if one.left],
            "delays": [vars(one) for one in self.delays if one.left != 0],
            "allow": self.allowed,
        }
