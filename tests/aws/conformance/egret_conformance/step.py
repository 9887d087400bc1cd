"""A step: what is expected of EC2, what says so, and the calls that ask."""

from dataclasses import dataclass
from enum import Enum
from typing import Any, Callable, Iterable


class Where(Enum):
    """Whom a step asks."""

    ANYWHERE = "both"
    # No double delivers packets.
    ACCOUNT = "needs an account"
    # In an account it would hinder others.
    DOUBLE = "the double only"


@dataclass(frozen=True)
class Step:
    name: str
    # A sentence about EC2.
    expects: str
    # The page that says so, or comes closest (`pages.address_of`).
    page: str
    # What no page says; empty: all of it is documented.
    inferred: str
    where: Where
    # The double needs a correction of moto for it.
    corrected: bool
    run: Callable[[Any, Any], None]

    @property
    def basis(self) -> str:
        return f"inferred, near {self.page}" if self.inferred else f"documented, {self.page}"


class Catalogue:
    """Steps in the order in which they are asked."""

    def __init__(self) -> None:
        self._steps: dict[str, Step] = {}

    def step(
        self,
        name: str,
        expects: str,
        page: str,
        *,
        inferred: str = "",
        where: Where = Where.ANYWHERE,
        corrected: bool = True,
    ) -> Callable[[Callable[[Any, Any], None]], Callable[[Any, Any], None]]:
        """Registers the function below it, which gets the bed and the check."""

        def register(run: Callable[[Any, Any], None]) -> Callable[[Any, Any], None]:
            if name in self._steps:
                raise ValueError(f"two steps are called {name}")
            self._steps[name] = Step(name, expects, page, inferred, where, corrected, run)
            return run

        return register

    def __iter__(self) -> Any:
        return iter(self._steps.values())

    def chosen(self, names: Iterable[str]) -> list[Step]:
        """Those of these names (all, where there are none); `KeyError` names one that is not there."""
        wanted = set(names)
        unknown = wanted - self._steps.keys()
        if unknown:
            raise KeyError(sorted(unknown)[0])
        return [step for step in self if not wanted or step.name in wanted]


CATALOGUE = Catalogue()
step = CATALOGUE.step
