"""Filters of Describe* calls: values with wildcards, any of the values, all of the filters.

https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/API_Filter.html
"""

import re
from typing import Any, Callable, Iterable

from ..errors import refuse

LACKING = "The filter '{}' is EC2's, but this double lacks it"

Values = Callable[[Any], Iterable[Any]]

def matches(pattern: str, value: str) -> bool:
    """`*` is any text, `?` any character, a backslash makes either a plain one."""
    expression, plain = "", False
    for character in pattern:
        if plain:
            expression, plain = expression + re.escape(character), False
        elif character == "\\":
            plain = True
        else:
            expression += {"*": ".*", "?": "."}.get(character, re.escape(character))
    return re.fullmatch(expression, value, re.DOTALL) is not None


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def tags_of(thing: Any) -> dict[str, str]:
    return thing.ec2_backend.tags.get(thing.id, {}) if thing.id else {}


def chosen(
    things: list[Any], wanted: dict[str, list[str]], known: dict[str, Values]
) -> list[Any]:
    """Those of `things` that every filter lets through."""
    for name, patterns in wanted.items():
        values = _values(name, known)
        things = [
            thing
            for thing in things
            if any(
                matches(str(pattern), _text(value))
                for value in values(thing)
                if value is not None
                for pattern in patterns
            )
        ]
    return things


def _values(name: str, known: dict[str, Values]) -> Values:
    if name.startswith("tag:"):
        key = name[len("tag:") :]
        return lambda thing: [tags_of(thing).get(key)]
    if name == "tag-key":
        return tags_of
    if name in known:
        return known[name]
    # A name that the page lacks was refused before (`requests.check`).
    raise refuse("InvalidParameterValue", LACKING.format(name))
