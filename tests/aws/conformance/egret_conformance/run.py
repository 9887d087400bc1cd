"""Runs steps on a bed, and says of each what EC2 answered."""

import signal
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any, Callable, Iterator

from .bed import Bed
from .check import Check, Difference, Pointless
from .step import Step, Where


@dataclass
class Outcome:
    step: Step
    # ok, differs, unanswered or not asked
    result: str
    # What it answered, or why nothing was asked.
    answers: list[str] = field(default_factory=list)
    differences: list[Difference] = field(default_factory=list)
    seconds: float = 0.0


class TimeIsUp(BaseException):
    """The run's time limit has passed."""


class Stopped(BaseException):
    """Somebody wants it to end."""


@contextmanager
def limited(seconds: int) -> Iterator[None]:
    """Raises `TimeIsUp` inside after so long, and `Stopped` on SIGTERM and SIGHUP."""

    def time_is_up(*_: Any) -> None:
        raise TimeIsUp(f"the time limit of {seconds // 60} minutes has passed")

    def stopped(number: int, _: Any) -> None:
        raise Stopped(signal.Signals(number).name)

    handlers = {signal.SIGALRM: time_is_up, signal.SIGTERM: stopped, signal.SIGHUP: stopped}
    # What is ignored stays so: nohup has a run outlive its terminal.
    heeded = {number: handler for number, handler in handlers.items() if signal.getsignal(number) != signal.SIG_IGN}
    before = {number: signal.signal(number, handler) for number, handler in heeded.items()}
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        for number, handler in before.items():
            signal.signal(number, handler)


def reason_not_to(step: Step, account: bool) -> str:
    """Empty: the step is asked."""
    if step.where is Where.ACCOUNT and not account:
        return "needs an account"
    if step.where is Where.DOUBLE and account:
        return "listed only: it would hinder others in the account"
    return ""


def ask_all(
    steps: list[Step], bed: Bed, check: Callable[[], Check], tell: Callable[[Outcome], None]
) -> list[Outcome]:
    """Each step from a clear bed; `tell` hears of each at once."""
    outcomes = []
    for step in steps:
        why = reason_not_to(step, bed.account)
        outcome = Outcome(step, "not asked", [why]) if why else _asked(step, bed, check())
        outcomes.append(outcome)
        tell(outcome)
    return outcomes


def _asked(step: Step, bed: Bed, check: Check) -> Outcome:
    begin = time.monotonic()
    trouble = ""
    try:
        bed.clear()
        step.run(bed, check)
    except Pointless:
        pass
    except Exception as error:
        # A call around the question was refused, or its answer has not the shape of EC2's. The next step may
        # fare better.
        trouble = f"{type(error).__name__}: {error}"
    result = "differs" if check.differences else "unanswered" if trouble else "ok"
    answers = [*check.answers, trouble] if trouble else check.answers
    return Outcome(step, result, answers, check.differences, time.monotonic() - begin)


def line(outcome: Outcome) -> str:
    """One line for a step."""
    answers = "; ".join(outcome.answers) or "as expected"
    if outcome.result == "differs":
        answers = f"{len(outcome.differences)} differences" if len(outcome.differences) > 1 else "1 difference"
    return f"{outcome.result:<10} {outcome.step.name:<21} [{outcome.step.basis}] {answers}"


def summary(outcomes: list[Outcome]) -> list[str]:
    """The end of the report: what differs, and how many are what."""
    lines = []
    for outcome in outcomes:
        if outcome.result == "differs":
            lines.append(f"{outcome.step.name}: {outcome.step.expects} [{outcome.step.basis}]")
            if outcome.step.inferred:
                lines.append(f"  inferred: {outcome.step.inferred}")
            lines += [f"  {difference}" for difference in outcome.differences]
    counts = {name: sum(outcome.result == name for outcome in outcomes) for name in
              ("ok", "differs", "unanswered", "not asked")}  # fmt: skip
    lines.append(", ".join(f"{count} {name}" for name, count in counts.items() if count))
    return lines


def status(outcomes: list[Outcome]) -> int:
    """0: as expected; 1: there are differences; 2: something could not be asked."""
    results = {outcome.result for outcome in outcomes}
    return 1 if "differs" in results else 2 if "unanswered" in results else 0
