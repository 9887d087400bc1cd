"""What a step asks and compares. A difference is noted, and the step goes on where it can."""

import time
from dataclasses import dataclass
from typing import Any, Callable

from botocore.exceptions import BotoCoreError, ClientError
from botocore.parsers import ResponseParserError

OK = "OK"
# Something answered that is not EC2.
STRANGE = "(no answer of EC2's)"
# IAM's answers: EC2 was not asked.
_DENIED = ("UnauthorizedOperation", "AccessDenied", "AuthFailure", "OptInRequired")


@dataclass(frozen=True)
class Difference:
    what: str
    expected: str
    got: str

    def __str__(self) -> str:
        return f"{self.what}: expected {self.expected}, got {self.got}"


class Unanswered(Exception):
    """The question could not be put: no rights, no connection, no time."""


class Pointless(Exception):
    """After the difference that was noted, the rest of the step says nothing."""


@dataclass(frozen=True)
class Answer:
    """`code` is `OK` or EC2's error code; `fields` is empty where it refused."""

    code: str
    text: str
    status: int
    fields: dict[str, Any]

    def __str__(self) -> str:
        return f"{self.code}: {self.text}" if self.text else self.code


def ask(call: Callable[..., Any], **parameters: Any) -> Answer:
    """Makes a call. Raises `Unanswered` where no EC2 answered it."""
    try:
        fields = call(**parameters)
    except ClientError as error:
        told = error.response.get("Error", {})
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode", 0)
        return Answer(str(told.get("Code")), str(told.get("Message", "")), status, {})
    except ResponseParserError as error:
        return Answer(STRANGE, str(error)[:80], 0, {})
    except BotoCoreError as error:
        raise Unanswered(f"{type(error).__name__}: {error}") from error
    return Answer(OK, "", fields.get("ResponseMetadata", {}).get("HTTPStatusCode", 0), fields)


class Check:
    """`patience`: for how many seconds a read may lag behind a call. `settle`: for how many nothing
    may happen where nothing should."""

    def __init__(
        self,
        patience: float,
        settle: float,
        clock: Callable[[], float] = time.monotonic,
        sleep: Callable[[float], None] = time.sleep,
    ) -> None:
        self.differences: list[Difference] = []
        # What it answered, for the step's line.
        self.answers: list[str] = []
        self._patience, self._settle = patience, settle
        self._clock, self._sleep = clock, sleep

    def note(self, text: str) -> None:
        if text not in self.answers:
            self.answers.append(text)

    def equal(self, what: str, expected: Any, got: Any) -> bool:
        if expected != got:
            self.differences.append(Difference(what, str(expected), str(got)))
        return expected == got

    def answered(self, what: str, call: Callable[..., Any], **parameters: Any) -> dict[str, Any]:
        """The call succeeds; else the step ends, since it rests on it."""
        answer = self._asked(call, parameters, OK)
        if not self.equal(what, OK, str(answer)):
            raise Pointless
        return answer.fields

    def refused(
        self,
        what: str,
        code: str,
        call: Callable[..., Any],
        *,
        text: str = "",
        status: int = 400,
        **parameters: Any,
    ) -> None:
        """The call is refused with exactly this code, and `text` somewhere in the message."""
        answer = self._asked(call, parameters, code)
        self.note(answer.code)
        wanted = f"{code}: …{text}…" if text else code
        if answer.code != code or text not in answer.text:
            self.equal(what, wanted, str(answer))
        elif answer.status != status:
            self.equal(f"{what}: HTTP status", status, answer.status)

    def _asked(self, call: Callable[..., Any], parameters: dict[str, Any], expected: str) -> Answer:
        answer = ask(call, **parameters)
        if answer.code in _DENIED and answer.code != expected:
            raise Unanswered(f"{answer}: compare the rights with policy.json")
        return answer

    def shows(self, what: str, expected: Any, read: Callable[[], Any]) -> float:
        """A read shows `expected`, at last; the seconds that it took."""
        begin = self._clock()
        pause = 0.05
        while True:
            got = read()
            took = self._clock() - begin
            if got == expected:
                return took
            if took >= self._patience:
                self.equal(f"{what}, after {took:.0f} s", expected, got)
                return took
            self._sleep(pause)
            pause = min(pause * 1.5, 1.0)

    def stays(self, what: str, expected: Any, read: Callable[[], Any], seconds: float | None = None) -> None:
        """Reads go on showing `expected` (for `settle` or these seconds): what was refused has changed nothing."""
        begin, settle = self._clock(), self._settle if seconds is None else seconds
        while True:
            got = read()
            if not self.equal(what, expected, got) or self._clock() - begin >= settle:
                return
            self._sleep(min(1.0, settle))
