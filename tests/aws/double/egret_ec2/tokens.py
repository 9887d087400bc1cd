"""Client tokens: the same call again is answered as the first one, and does nothing.

https://docs.aws.amazon.com/ec2/latest/devguide/ec2-api-idempotency.html
"""

from typing import Any

from . import reference
from .errors import refuse
from .requests import Request

_NAME = "ClientToken"


class Tokens:
    def __init__(self) -> None:
        # Action, region and token: the parameters, and the answer.
        self._answers: dict[tuple[str, str, str], tuple[dict[str, str], Any]] = {}

    def earlier(self, request: Request) -> Any | None:
        """The answer to a call that has been made already; refused where its parameters were others."""
        key = _key(request)
        if key is None or key not in self._answers:
            return None
        parameters, answer = self._answers[key]
        if parameters != request.parameters:
            raise refuse(
                "IdempotentParameterMismatch",
                "The client token that was given has been used with other parameters before.",
            )
        return answer

    def keep(self, request: Request, answer: Any) -> None:
        """`answer` is what a call that took effect was told."""
        key = _key(request)
        if key is not None:
            self._answers[key] = (request.parameters, answer)


def _key(request: Request) -> tuple[str, str, str] | None:
    """None: the call has no token, or none that makes it idempotent."""
    token = request.parameters.get(_NAME)
    if not token or request.dry_run or _NAME not in reference.members(request.action):
        return None
    return request.action, request.region, token
