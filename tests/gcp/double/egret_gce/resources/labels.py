"""Labels: shown with a fingerprint, and set with it."""

import re
from typing import Any

from .. import errors
from ..calls import Call
from ..cloud import Cloud, Resource, fingerprint
from ..registry import change

_KEY = re.compile(r"[a-z][-_a-z0-9]{0,62}")
_VALUE = re.compile(r"[-_a-z0-9]{0,63}")
_MOST = 64


def shown(stored: Resource) -> Resource:
    return {"labelFingerprint": fingerprint(stored.get("labels", {}))}


def check(labels: dict[str, Any] | None, field: str = "resource.labels") -> None:
    for key, value in (labels or {}).items():
        if not _KEY.fullmatch(key) or not _VALUE.fullmatch(value):
            why = "Keys begin with a lower-case letter; both have lower-case letters, digits, - and _, at most 63."
            raise errors.invalid(field, f"{key}={value}", why)
    if len(labels or {}) > _MOST:
        raise errors.invalid(field, str(len(labels or {})), f"There may be at most {_MOST} labels.")


@change("addresses.setLabels")
@change("forwardingRules.setLabels")
def set_labels(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    resource = cloud.get(path)
    if call.body.get("labelFingerprint") != shown(resource)["labelFingerprint"]:
        raise errors.stale("labelFingerprint")
    labels = call.body.get("labels") or {}
    check(labels)
    resource.pop("labels", None)
    cloud.put(path, resource | ({"labels": labels} if labels else {}))
