"""The filter of list methods: the two languages of its description in the discovery document.

AIP-160: `labels.pool=egress AND (status=RESERVED OR status=IN_USE)`; terms beside each other are
joined by AND, and OR binds tighter than AND. Regular expressions: `name eq 'a.*'`.
"""

import operator
import re
from typing import Any, Callable

from . import errors

Wanted = Callable[[dict[str, Any]], bool]
_TOKENS = re.compile(
    r"""\s*(?:(?P<open>\()|(?P<close>\))|(?P<op><=|>=|!=|=|<|>|:)|(?P<text>"[^"]*"|'[^']*'|[^\s()=!<>:"']+))"""
)
_REGULAR = re.compile(r"\s*([A-Za-z][\w.\-]*)\s+(eq|ne)\s+(\"[^\"]*\"|'[^']*'|\S.*?)\s*")
_MISSING = object()
_ORDER = {"<": operator.lt, "<=": operator.le, ">": operator.gt, ">=": operator.ge}


def parsed(text: str) -> Wanted:
    if re.search(r"[\w)]\s+(?:eq|ne)\s", text):
        return _regular(text)
    tokens = _tokens(text)
    wanted = _Parser(text, tokens).all()
    return wanted


def _wrong(text: str) -> errors.ApiError:
    return errors.invalid("filter", text, "Invalid list filter expression.")


def _tokens(text: str) -> list[tuple[str, str]]:
    found, at = [], 0
    stripped = text.rstrip()
    while at < len(stripped):
        match = _TOKENS.match(stripped, at)
        if match is None:
            raise _wrong(text)
        found.append((str(match.lastgroup), match[str(match.lastgroup)]))
        at = match.end()
    return found


class _Parser:
    """expression: sequence (AND sequence)*; sequence: factor+; factor: term (OR term)*."""

    def __init__(self, text: str, tokens: list[tuple[str, str]]) -> None:
        self._text, self._tokens = text, tokens

    def all(self) -> Wanted:
        wanted = self._expression()
        if self._tokens:
            raise _wrong(self._text)
        return wanted

    def _next(self) -> tuple[str, str]:
        return self._tokens[0] if self._tokens else ("end", "")

    def _take(self, kind: str) -> str:
        if self._next()[0] != kind:
            raise _wrong(self._text)
        return self._tokens.pop(0)[1]

    def _expression(self) -> Wanted:
        parts = [self._factor()]
        while self._next()[0] in ("open", "text"):
            if self._next() == ("text", "AND"):
                self._take("text")
            parts.append(self._factor())
        return lambda item: all(part(item) for part in parts)

    def _factor(self) -> Wanted:
        parts = [self._term()]
        while self._next() == ("text", "OR"):
            self._take("text")
            parts.append(self._term())
        return lambda item: any(part(item) for part in parts)

    def _term(self) -> Wanted:
        if self._next() == ("text", "NOT"):
            self._take("text")
            inner = self._term()
            return lambda item: not inner(item)
        if self._next()[0] == "open":
            self._take("open")
            inner = self._expression()
            self._take("close")
            return inner
        name = self._take("text")
        if name in ("AND", "OR") or name[0] in "\"'":
            raise _wrong(self._text)
        return _comparison(name, self._take("op"), self._take("text"))


def _comparison(name: str, sign: str, literal: str) -> Wanted:
    quoted = literal[0] in "\"'"
    value = literal[1:-1] if quoted else literal

    def compare(item: dict[str, Any]) -> bool:
        have = _value(item, name)
        if sign == ":" and value == "*" and not quoted:
            return have is not _MISSING
        if sign == "!=":
            return have is _MISSING or _text(have) != value
        if have is _MISSING:
            return False
        if sign == ":":
            return value.lower() in _text(have).lower()
        if sign == "=":
            return _text(have) == value
        return _ORDER[sign](*_comparable(have, value))

    return compare


def _regular(text: str) -> Wanted:
    parts = re.findall(r"\(([^()]*)\)", text) if text.strip().startswith("(") else [text]
    wanted = []
    for part in parts:
        match = _REGULAR.fullmatch(part)
        if match is None:
            raise _wrong(text)
        literal = match[3][1:-1] if match[3][0] in "\"'" else match[3]
        try:
            wanted.append((match[1], match[2] == "eq", re.compile(literal)))
        except re.error:
            raise _wrong(text) from None

    def fits(item: dict[str, Any], name: str, equal: bool, pattern: re.Pattern[str]) -> bool:
        have = _value(item, name)
        found = have is not _MISSING and bool(pattern.fullmatch(_text(have)))
        return found == equal

    return lambda item: all(fits(item, *one) for one in wanted)


def _value(item: dict[str, Any], name: str) -> Any:
    value: Any = item
    for part in name.split("."):
        if not isinstance(value, dict) or part not in value:
            return _MISSING
        value = value[part]
    return value


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _comparable(have: Any, value: str) -> tuple[Any, Any]:
    """Two numbers, or two texts."""
    try:
        return float(have), float(value)
    except (TypeError, ValueError):
        return _text(have), value
