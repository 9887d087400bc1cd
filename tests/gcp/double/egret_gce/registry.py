"""Which function carries out which method."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Callable

if TYPE_CHECKING:
    from .calls import Call
    from .cloud import Cloud

Read = Callable[["Cloud", "Call"], dict[str, Any]]
READS: dict[str, Read] = {}


@dataclass(frozen=True)
class Change:
    run: Callable[["Cloud", "Call"], None]
    # May be under way more than once for the same resource.
    shared: bool


CHANGES: dict[str, Change] = {}


def read(method: str) -> Callable[[Read], Read]:
    def register(function: Read) -> Read:
        READS[f"compute.{method}"] = function
        return function

    return register


def change(method: str, shared: bool = False) -> Callable[[Any], Any]:
    def register(function: Any) -> Any:
        CHANGES[f"compute.{method}"] = Change(function, shared)
        return function

    return register
