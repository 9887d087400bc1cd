"""Fields of a request to the control API, taken one by one; what is left over was misspelt."""

from typing import Any


class BadRequest(Exception):
    """The text names the field and what it must be."""


class Fields:
    def __init__(self, given: Any, where: str = "") -> None:
        if not isinstance(given, dict):
            raise BadRequest(f"{where or 'the body'}: must be a JSON object")
        self._given = dict(given)
        self._where = f"{where}." if where else ""

    def wrong(self, name: str, what: str) -> BadRequest:
        return BadRequest(f"{self._where}{name}: must be {what}")

    def take(self, name: str, default: Any) -> Any:
        return self._given.pop(name, default)

    def number(self, name: str, default: float) -> float:
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise self.wrong(name, "a number")
        return value

    def count(self, name: str, default: int) -> int:
        value = self.number(name, default)
        if value != int(value) or value < 0:
            raise self.wrong(name, "a whole number, not negative")
        return int(value)

    def text(self, name: str, default: str) -> str:
        value = self.take(name, default)
        if not isinstance(value, str):
            raise self.wrong(name, "a text")
        return value

    def flag(self, name: str, default: bool = False) -> bool:
        value = self.take(name, default)
        if not isinstance(value, bool):
            raise self.wrong(name, "true or false")
        return value

    def texts(self, name: str, default: list[str]) -> list[str]:
        value = self.take(name, default)
        if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
            raise self.wrong(name, "a list of texts")
        return value

    def mapping(self, name: str) -> dict[str, str]:
        value = self.take(name, {})
        if not isinstance(value, dict) or not all(isinstance(item, str) for item in value.values()):
            raise self.wrong(name, "an object of texts")
        return value

    def things(self, name: str, default: Any, prefix: str) -> list["Fields"]:
        """A number of things, a list of their names, or a list of objects with a name."""
        value = self.take(name, default)
        if isinstance(value, int) and not isinstance(value, bool) and value >= 0:
            value = [f"{prefix}-{number}" for number in range(1, value + 1)]
        if not isinstance(value, list):
            raise self.wrong(name, "a number, a list of names, or a list of objects")
        return [
            Fields({"name": item} if isinstance(item, str) else item, f"{self._where}{name}[{index}]")
            for index, item in enumerate(value)
        ]

    def finish(self) -> None:
        if self._given:
            names = ", ".join(f"{self._where}{name}" for name in sorted(self._given))
            raise BadRequest(f"unknown fields: {names}")
