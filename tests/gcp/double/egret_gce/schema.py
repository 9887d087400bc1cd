"""Is a JSON value one of a schema of the discovery document?"""

import base64
import binascii
import math
import re
from typing import Any

from . import discovery

_INTEGERS: dict[str, tuple[float, float]] = {"int32": (-(2**31), 2**31 - 1), "uint32": (0, 2**32 - 1)}
_DIGITS = {"int64": r"-?[0-9]{1,19}", "uint64": r"[0-9]{1,20}"}


class Mismatch(Exception):
    """`field` is not what its schema says; `why` is a sentence."""

    def __init__(self, field: str, value: Any, why: str) -> None:
        super().__init__(f"{field}: {why}")
        self.field, self.value, self.why = field, value, why


def check(name: str, value: Any, where: str, nulls: bool) -> None:
    """`nulls`: null stands for an absent field, as in requests."""
    _check({"$ref": name}, value, where, nulls)


def parameter(spec: dict[str, Any], text: str, where: str) -> Any:
    """The value of a query's or path's parameter."""
    kind = spec.get("type")
    value: Any = text
    if kind == "integer":
        if not re.fullmatch(r"-?[0-9]{1,19}", text):
            raise Mismatch(where, text, "It must be a whole number.")
        value = int(text)
    elif kind == "boolean":
        # gcloud sends Python's True.
        if text.lower() not in ("true", "false"):
            raise Mismatch(where, text, "It must be true or false.")
        value = text.lower() == "true"
    _check(spec, value, where, nulls=False)
    return value


def _check(spec: dict[str, Any], value: Any, where: str, nulls: bool) -> None:
    if "$ref" in spec:
        spec = discovery.schemas()[spec["$ref"]]
    if value is None and nulls:
        return
    kind = spec.get("type", "any")
    if kind == "object":
        _object(spec, value, where, nulls)
    elif kind == "array":
        if not isinstance(value, list):
            raise Mismatch(where, value, "It must be a list.")
        for index, item in enumerate(value):
            _check(spec["items"], item, f"{where}[{index}]", nulls=False)
    elif kind == "string":
        _string(spec, value, where)
    elif kind == "boolean":
        if not isinstance(value, bool):
            raise Mismatch(where, value, "It must be true or false.")
    elif kind in ("integer", "number"):
        _number(spec, value, where)
    elif kind != "any":
        raise AssertionError(f"{where}: the discovery document has a type {kind}")


def _object(spec: dict[str, Any], value: Any, where: str, nulls: bool) -> None:
    if not isinstance(value, dict):
        raise Mismatch(where, value, "It must be an object.")
    properties, more = spec.get("properties", {}), spec.get("additionalProperties")
    for name, item in value.items():
        if name in properties:
            _check(properties[name], item, f"{where}.{name}", nulls)
        elif more is not None:
            _check(more, item, f"{where}.{name}", nulls=False)
        else:
            raise Mismatch(f"{where}.{name}", item, "There is no field of this name.")


def _string(spec: dict[str, Any], value: Any, where: str) -> None:
    if not isinstance(value, str):
        raise Mismatch(where, value, "It must be a text.")
    if "enum" in spec and value not in spec["enum"]:
        raise Mismatch(where, value, f"It must be one of {', '.join(spec['enum'])}.")
    if "pattern" in spec and not re.fullmatch(spec["pattern"], value):
        raise Mismatch(where, value, f"It must match the pattern {spec['pattern']}.")
    format_ = spec.get("format")
    if format_ in _DIGITS and not re.fullmatch(_DIGITS[format_], value):
        raise Mismatch(where, value, "It must be a whole number, as a text.")
    if format_ == "byte":
        try:
            base64.b64decode(value, altchars=b"-_", validate=True)
        except (binascii.Error, ValueError):
            raise Mismatch(where, value, "It must be base64.") from None


def _number(spec: dict[str, Any], value: Any, where: str) -> None:
    whole = spec["type"] == "integer"
    if isinstance(value, bool) or not isinstance(value, int if whole else (int, float)):
        raise Mismatch(where, value, f"It must be a {'whole ' if whole else ''}number.")
    low, high = _INTEGERS.get(spec.get("format", ""), (-math.inf, math.inf))
    low = float(spec.get("minimum", low))
    high = float(spec.get("maximum", high))
    if not low <= value <= high:
        raise Mismatch(where, value, f"It must be from {low:.0f} to {high:.0f}.")
