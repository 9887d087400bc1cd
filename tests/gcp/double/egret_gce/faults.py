"""What a test asked to go wrong. Methods are patterns: `compute.instances.*`."""

import fnmatch
from dataclasses import dataclass
from typing import Any


def applies(pattern: str, method: str) -> bool:
    return fnmatch.fnmatchcase(method, pattern)


@dataclass
class Fault:
    method: str
    code: int
    reason: str
    message: str
    left: int
    every: int
    after: bool
    cut: bool
    operation: bool
    seen: int = 0

    def strikes(self) -> bool:
        """Counts the call."""
        self.seen += 1
        if self.every:
            return self.seen % self.every == 0
        if self.left <= 0:
            return False
        self.left -= 1
        return True


@dataclass
class Throttle:
    method: str
    left: int
    code: int
    reason: str


@dataclass
class Wait:
    """`left`: for so many calls; None: for all."""

    method: str
    milliseconds: float
    left: int | None

    def takes(self, method: str) -> bool:
        if self.left == 0 or not applies(self.method, method):
            return False
        if self.left is not None:
            self.left -= 1
        return True


class Faults:
    def __init__(self) -> None:
        self.throttles: list[Throttle] = []
        self.faults: list[Fault] = []
        self.delays: list[Wait] = []
        self.latencies: list[Wait] = []
        # Patterns of permissions; None: everything is allowed.
        self.allowed: list[str] | None = None
        # In place of these, on the resources of a project.
        self.allowed_in: dict[str, list[str]] = {}

    def denied(self, permission: str, project: str) -> bool:
        allowed = self.allowed_in.get(project, self.allowed)
        return allowed is not None and not any(applies(pattern, permission) for pattern in allowed)

    def throttled(self, method: str) -> Throttle | None:
        for throttle in self.throttles:
            if throttle.left > 0 and applies(throttle.method, method):
                throttle.left -= 1
                return throttle
        return None

    def fault(self, method: str, after: bool) -> Fault | None:
        """Of a call: before it is looked at, or after it took effect."""
        return self._first(method, lambda fault: not fault.operation and fault.after == after)

    def of_operation(self, method: str) -> Fault | None:
        return self._first(method, lambda fault: fault.operation)

    def _first(self, method: str, fits: Any) -> Fault | None:
        for fault in self.faults:
            if fits(fault) and applies(fault.method, method) and fault.strikes():
                return fault
        return None

    def delay(self, method: str) -> float:
        """Seconds before a call begins."""
        return sum(wait.milliseconds for wait in self.delays if wait.takes(method)) / 1000

    def latency(self, method: str, default: float) -> float:
        """Seconds that a call's operation takes; the newest that fits says it."""
        for wait in reversed(self.latencies):
            if wait.takes(method):
                return wait.milliseconds / 1000
        return default

    def shown(self) -> dict[str, Any]:
        return {
            "throttles": [vars(one) for one in self.throttles if one.left],
            "faults": [vars(one) for one in self.faults if one.left or one.every],
            "delays": [vars(one) for one in self.delays if one.left != 0],
            "latencies": [vars(one) for one in self.latencies if one.left != 0],
            "allow": self.allowed,
            "allow_in": self.allowed_in,
        }
