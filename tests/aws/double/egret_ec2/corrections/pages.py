"""Pages: MaxResults and NextToken, in the calls that have them.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html#api-pagination
Bounds of MaxResults are those of the action's page, as botocore's model carries them.
DescribeAddresses has no pages.
"""

import base64
from typing import Any, Callable

from moto.core.responses import ActionResult
from moto.core.utils import get_value
from moto.ec2.responses import EC2Response

from .. import reference
from ..errors import refuse

# method, action, list in the answer, parameter that excludes MaxResults, key of an item
_PAGED = (
    ("describe_network_interfaces", "DescribeNetworkInterfaces", "NetworkInterfaces", "NetworkInterfaceIds", "id"),
    ("describe_instances", "DescribeInstances", "Reservations", "InstanceIds", "id"),
    ("describe_subnets", "DescribeSubnets", "Subnets", "SubnetIds", "id"),
    ("describe_vpcs", "DescribeVpcs", "Vpcs", "VpcIds", "id"),
    ("describe_instance_types", "DescribeInstanceTypes", "InstanceTypes", "InstanceTypes", "InstanceType"),
)  # fmt: skip


def _token(key: str) -> str:
    return base64.urlsafe_b64encode(f"egret:{key}".encode()).decode()


def _after(token: str) -> str:
    try:
        text = base64.urlsafe_b64decode(token.encode()).decode()
    except ValueError:
        text = ""
    if not text.startswith("egret:"):
        raise refuse("InvalidNextToken", "The specified NextToken is not valid.")
    return text[len("egret:") :]


def _page(
    original: Callable[[Any], ActionResult], action: str, name: str, ids: str, key: str
) -> Callable[[Any], ActionResult]:
    bounds = reference.members(action)["MaxResults"].metadata

    def paged(self: Any) -> ActionResult:
        most = self._get_param("MaxResults")
        token = self._get_param("NextToken")
        if most is not None:
            most = int(most)
            if self._get_param(ids):
                raise refuse(
                    "InvalidParameterCombination",
                    f"The parameter {ids} cannot be used with the parameter maxResults",
                )
            if not bounds.get("min", 5) <= most <= bounds.get("max", 1000):
                raise refuse(
                    "InvalidParameterValue",
                    f"Value ( {most} ) for parameter maxResults is invalid. Expecting a value "
                    f"between {bounds.get('min', 5)} and {bounds.get('max', 1000)}.",
                )
        result = original(self).result
        items = sorted(result[name], key=lambda item: get_value(item, key))
        if token:
            after = _after(token)
            items = [item for item in items if get_value(item, key) > after]
        rest = bool(most) and len(items) > most
        items = items[:most] if most else items
        return ActionResult(
            {
                name: items,
                "NextToken": _token(get_value(items[-1], key)) if rest else None,
            }
        )

    paged.__name__ = original.__name__
    return paged


def apply() -> None:
    for method, action, name, ids, key in _PAGED:
        original = getattr(EC2Response, method)
        setattr(EC2Response, method, _page(original, action, name, ids, key))
