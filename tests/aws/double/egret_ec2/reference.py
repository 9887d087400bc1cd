"""EC2's API model, as botocore carries it: parameters, bounds and the text of the reference."""

import re
from functools import cache
from typing import Any

from botocore.model import OperationNotFoundError
from botocore.session import get_session


@cache
def _service() -> Any:
    return get_session().get_service_model("ec2")


@cache
def operation(action: str) -> Any | None:
    """None: EC2 has no such action."""
    try:
        return _service().operation_model(action)
    except OperationNotFoundError:
        return None


def members(action: str) -> dict[str, Any]:
    """The parameters of an action that exists."""
    return operation(action).input_shape.members


@cache
def filters(action: str) -> frozenset[str]:
    """The filter names that the action's page gives, other names of them too; none: no filters."""
    parameter = members(action).get("Filters")
    text = parameter.documentation if parameter is not None else ""
    names = re.findall(r"<p>\s*<code>([a-z0-9.-]+)</code>", text)
    for first, second in re.findall(
        r"use <code>(\w+)</code>(?: or <code>([\w-]+)</code>)? as the filter name", text
    ):
        names += [first, second]
    return frozenset(names) - {"tag", ""}
