"""A request, and what EC2 refuses before it looks at anything: missing parameters, malformed ids.

https://docs.aws.amazon.com/AWSEC2/latest/APIReference/Query-Requests.html
https://docs.aws.amazon.com/AWSEC2/latest/APIReference/errors-overview.html
"""

import re
from collections import Counter
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qsl

from . import reference
from .errors import refuse

_FILTERS = 50
_VALUES = 200
_VERSION = "2016-11-15"
_SHORT_OR_LONG = "(?:[0-9a-f]{8}|[0-9a-f]{17})"
# parameter of the query (without .N), form, code, text, actions (none named: all)
_IDS = (
    ("InstanceId", f"i-{_SHORT_OR_LONG}", "InvalidInstanceID.Malformed", 'Invalid id: "{}"', ()),
    ("NetworkInterfaceId", f"eni-{_SHORT_OR_LONG}", "InvalidNetworkInterfaceId.Malformed", 'Invalid id: "{}"', ()),
    ("VpcId", f"vpc-{_SHORT_OR_LONG}", "InvalidVpcID.Malformed", 'Invalid id: "{}"', ()),
    ("AttachmentId", f"eni-attach-{_SHORT_OR_LONG}", "InvalidNetworkInterfaceAttachmentId.Malformed",
     'Invalid id: "{}"', ("DetachNetworkInterface",)),
    # The page has no *.Malformed code for these: EC2 does not find them.
    ("SubnetId", f"subnet-{_SHORT_OR_LONG}", "InvalidSubnetID.NotFound", "The subnet ID '{}' does not exist", ()),
    ("AllocationId", f"eipalloc-{_SHORT_OR_LONG}", "InvalidAllocationID.NotFound",
     "The allocation ID '{}' does not exist", ()),
    ("AssociationId", f"eipassoc-{_SHORT_OR_LONG}", "InvalidAssociationID.NotFound",
     "The association ID '{}' does not exist", ("DisassociateAddress",)),
)  # fmt: skip


@dataclass(frozen=True)
class Request:
    action: str
    region: str
    # As sent, without Action, Version and what signs it: "PrivateIpAddress.1" and the like.
    parameters: dict[str, str]

    @property
    def describes(self) -> bool:
        return self.action.startswith(("Describe", "Get", "List", "Search"))

    @property
    def dry_run(self) -> bool:
        return self.parameters.get("DryRun", "false").lower() == "true"


def parsed(body: bytes, query: str, authorization: str) -> Request | None:
    """None: this is no call of EC2's query API. Unsigned calls tell their service by the version."""
    fields = dict(parse_qsl(query, keep_blank_values=True))
    fields.update(parse_qsl(body.decode(errors="replace"), keep_blank_values=True))
    scope = authorization.split("Credential=")[-1].split(",")[0].split("/")
    signed = len(scope) == 5
    ours = scope[3] == "ec2" if signed else fields.get("Version") == _VERSION
    if "Action" not in fields or not ours:
        return None
    action = fields.pop("Action")
    parameters = {
        name: value
        for name, value in fields.items()
        if name not in ("Version", "AWSAccessKeyId", "Signature") and not name.startswith("X-Amz-")
    }
    return Request(action, scope[2] if signed else "us-east-1", parameters)


def check(request: Request) -> None:
    model = reference.operation(request.action)
    if model is None:
        raise refuse("InvalidAction", f"The action {request.action} is not valid for this web service.")
    _check_required(request, model)
    _check_filters(request)
    for name, value in request.parameters.items():
        bare = re.sub(r"\.\d+$", "", name)
        for parameter, form, code, text, actions in _IDS:
            if bare != parameter or (actions and request.action not in actions):
                continue
            if not re.fullmatch(form, value):
                raise refuse(code, text.format(value))


def _check_required(request: Request, model: Any) -> None:
    shape = model.input_shape
    for member in shape.required_members if shape else ():
        serialization = shape.members[member].serialization
        # botocore's ec2 serializer: queryName, else the capitalized locationName, else the member.
        name = serialization.get("queryName")
        if name is None:
            location = serialization.get("name", member)
            name = location[0].upper() + location[1:]
        sent = any(key == name or key.startswith(f"{name}.") for key in request.parameters)
        if not sent:
            raise refuse(
                "MissingParameter",
                f"The request must contain the parameter {name[0].lower() + name[1:]}",
            )


def _check_filters(request: Request) -> None:
    """https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/Using_Filtering.html for the most of each."""
    values = Counter(
        name.split(".Value.")[0] for name in request.parameters if re.match(r"Filter\.\d+\.Value\.", name)
    )
    if len(values) > _FILTERS or any(count > _VALUES for count in values.values()):
        raise refuse(
            "FilterLimitExceeded",
            f"A request has at most {_FILTERS} filters with {_VALUES} values each.",
        )
    documented = reference.filters(request.action) if request.describes else frozenset()
    for name, value in request.parameters.items():
        if not documented or not re.fullmatch(r"Filter\.\d+\.Name", name):
            continue
        if value not in documented and not value.startswith("tag:"):
            raise refuse("InvalidParameterValue", f"The filter '{value}' is invalid")
