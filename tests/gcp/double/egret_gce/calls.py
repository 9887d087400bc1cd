"""A request to Compute Engine: read, and checked against the discovery document."""

import json
import re
import uuid
from dataclasses import dataclass, field
from typing import Any
from urllib.parse import parse_qsl, unquote

from . import discovery, errors, schema
from .discovery import Method

# How a method's resource is called in paths, where that differs.
_COLLECTIONS = {"regionBackendServices": "backendServices"}
_SCOPES = ("zone", "region")
# Descriptions of list methods recommend this parameter, which the document's parameters lack.
_UNLISTED = {"returnPartialSuccess": {"type": "boolean"}}
# The parameters of every method that change nothing here.
_EVERYWHERE = ("alt", "key", "prettyPrint", "quotaUser", "userIp", "access_token")


@dataclass
class Call:
    method: Method
    parameters: dict[str, Any]
    body: dict[str, Any]
    principal: str | None = None
    # Of the resource that an insert makes, the same when it is tried and when it is done.
    new_id: str = ""
    # What of the request the log shows.
    sent: dict[str, Any] = field(default_factory=dict)

    @property
    def project(self) -> str:
        return self.parameters["project"]

    @property
    def scope(self) -> str:
        """projects/p/zones/z, projects/p/regions/r or projects/p/global."""
        for name in _SCOPES:
            if name in self.parameters:
                return f"projects/{self.project}/{name}s/{self.parameters[name]}"
        return f"projects/{self.project}/global"

    @property
    def collection(self) -> str:
        return _COLLECTIONS.get(self.method.resource, self.method.resource)

    @property
    def request_id(self) -> str | None:
        return self.parameters.get("requestId")

    @property
    def target(self) -> str:
        """The path of the resource that the call is about."""
        return f"{self.scope}/{self.collection}/{self.name}"

    @property
    def name(self) -> str:
        last = [part for part in self.method.segments if part.startswith("{")][-1].strip("{}")
        if last in ("project", *_SCOPES):
            return str(self.body.get("name", ""))
        return self.parameters[last]


def parsed(verb: str, path: str, query: str, body: bytes) -> Call:
    """Raises ApiError, with nothing but the method known where that is."""
    found = discovery.find(verb, unquote(path))
    if found is None:
        raise errors.ApiError(404, "notFound", f"Compute Engine has no {verb} {discovery.BASE}{path}")
    method, parameters = found
    return Call(method, dict(parameters), {}, sent={"query": dict(parse_qsl(query, True)), "body": body})


def check(call: Call) -> None:
    """Parameters and body become values; raises ApiError."""
    try:
        _parameters(call)
        _body(call)
    except schema.Mismatch as error:
        raise errors.invalid(error.field, error.value, error.why) from None
    _request_id(call.request_id)


def _parameters(call: Call) -> None:
    for name, text in list(call.parameters.items()):
        call.parameters[name] = schema.parameter(call.method.parameters[name], text, name)
    for name, text in call.sent["query"].items():
        if name.startswith("$") or name in _EVERYWHERE:
            continue
        spec = call.method.parameters.get(name)
        if spec is None and call.method.lists:
            spec = _UNLISTED.get(name)
        if spec is None or spec.get("location", "query") != "query":
            raise schema.Mismatch(name, text, f"{call.method.id} has no parameter of this name.")
        call.parameters[name] = schema.parameter(spec, text, name)
    for name, spec in call.method.parameters.items():
        if spec.get("required") and name not in call.parameters:
            raise errors.required(name)


def _body(call: Call) -> None:
    raw = call.sent["body"]
    if call.method.request is None:
        if raw.strip() not in (b"", b"{}"):
            raise errors.ApiError(400, "parseError", f"{call.method.id} has no body")
        call.sent["body"] = None
        return
    try:
        body = json.loads(raw or b"{}")
    except ValueError as error:
        call.sent["body"] = raw.decode(errors="replace")
        raise errors.ApiError(400, "parseError", f"Parse Error: {error}") from None
    call.sent["body"] = body
    schema.check(call.method.request, body, "resource", nulls=True)
    call.body = body
    for name, spec in discovery.schemas()[call.method.request]["properties"].items():
        if call.method.id in spec.get("annotations", {}).get("required", ()) and not body.get(name):
            raise errors.required(f"resource.{name}")


def _request_id(text: str | None) -> None:
    if text is None:
        return
    if not re.fullmatch(r"[0-9a-fA-F]{8}(-[0-9a-fA-F]{4}){3}-[0-9a-fA-F]{12}", text) or not uuid.UUID(text).int:
        raise errors.invalid("requestId", text, "It must be a UUID, and not the one of zeros.")
