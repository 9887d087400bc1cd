"""EC2's API model, as botocore carries it: parameters, bounds and the text of the reference."""

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
