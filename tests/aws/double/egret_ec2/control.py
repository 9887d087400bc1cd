"""The control API, JSON over HTTP; README.md lists the calls."""

import json
import time
from collections import Counter
from typing import TYPE_CHECKING, Any
from urllib.parse import parse_qs

from . import state
from .corrections import elastic_addresses
from .faults import Buckets, Delay, Fault, Faults, Lag, Throttle

if TYPE_CHECKING:
    from .server import Answer, Server

# The longest that GET /egret/state?after=… waits.
_LONGEST_WAIT = 30.0


class BadRequest(Exception):
    """The text names the field and what it must be."""


class Control:
    def __init__(self, server: "Server") -> None:
        self._server = server

    def answer(self, environ: dict[str, Any], path: str, body: bytes) -> "Answer":
        method = environ["REQUEST_METHOD"]
        name = path.removeprefix("/egret").strip("/").replace("/", "_")
        handler = getattr(self, f"_{method.lower()}_{name}", None)
        if handler is None:
            return _json(404, {"error": f"no {method} {path}; see README.md"})
        try:
            if method == "GET":
                given = {k: v[0] for k, v in parse_qs(environ.get("QUERY_STRING", "")).items()}
            else:
                given = json.loads(body or b"{}")
                if not isinstance(given, dict):
                    raise BadRequest("the body must be a JSON object")
            with self._server.lock:
                fields = _Fields(given)
                result = handler(fields)
                fields.finish()
        except (BadRequest, json.JSONDecodeError) as error:
            return _json(400, {"error": str(error)})
        return _json(200, result if result is not None else self._server.faults.shown())

    def _post_reset(self, fields: "_Fields") -> dict[str, Any]:
        seed = fields.number("seed", 1)
        fields.finish()
        self._server.reset(int(seed))
        return {"version": self._server.version}

    def _post_quota(self, fields: "_Fields") -> None:
        elastic_addresses.quota = int(fields.number("addresses", elastic_addresses.DEFAULT_QUOTA))

    def _post_lag(self, fields: "_Fields") -> None:
        lag = Lag(
            seconds=fields.number("seconds", 0),
            reads=int(fields.number("reads", 0)),
            probability=fields.number("probability", 1),
            actions=fields.texts("actions"),
            torn=fields.flag("torn"),
        )
        fields.finish()
        if lag.seconds and lag.reads:
            raise BadRequest("seconds and reads: give one of the two")
        self._server.faults.set_lag(lag)

    def _post_throttle(self, fields: "_Fields") -> None:
        throttle = Throttle(
            left=int(fields.number("next", 1)),
            code=fields.text("code", "RequestLimitExceeded"),
            actions=fields.texts("actions"),
        )
        fields.finish()
        self._server.faults.throttles.append(throttle)

    def _post_buckets(self, fields: "_Fields") -> None:
        scale = fields.number("scale", 1)
        fields.finish()
        if scale < 0:
            raise BadRequest("scale: must be 0 (no limits) or more")
        self._server.faults.buckets = Buckets(scale) if scale else None

    def _post_fail(self, fields: "_Fields") -> None:
        fault = Fault(
            action=fields.text("action", "*"),
            code=fields.text("code", "InternalError"),
            message=fields.text("message", ""),
            left=int(fields.number("times", 1)),
            after=fields.flag("after"),
            cut=fields.flag("cut"),
            every=int(fields.number("every", 0)),
        )
        fields.finish()
        self._server.faults.faults.append(fault)

    def _post_delay(self, fields: "_Fields") -> None:
        times = fields.number("times", -1)
        delay = Delay(
            action=fields.text("action", "*"),
            milliseconds=int(fields.number("milliseconds", 0)),
            left=None if times < 0 else int(times),
        )
        fields.finish()
        kept = [one for one in self._server.faults.delays if one.action != delay.action]
        self._server.faults.delays = kept + [delay]

    def _post_policy(self, fields: "_Fields") -> None:
        allowed = fields.take("allow", None)
        if allowed is not None and not _are_texts(allowed):
            raise BadRequest('allow: must be a list like ["ec2:DescribeInstances"], or null')
        fields.finish()
        self._server.faults.allowed = allowed

    def _post_clear(self, fields: "_Fields") -> None:
        """No fault any more; the account and the calls stay."""
        fields.finish()
        self._server.faults = Faults(self._server.seed)

    def _post_calls_reset(self, fields: "_Fields") -> dict[str, Any]:
        fields.finish()
        self._server.calls = []
        return {}

    def _get_faults(self, fields: "_Fields") -> None:
        """Answers what is still asked for, as every POST does."""

    def _get_calls(self, fields: "_Fields") -> dict[str, Any]:
        calls = self._server.calls
        action = fields.text("action", "")
        if action:
            calls = [call for call in calls if call["action"] == action]
        return {
            "total": len(calls),
            "by_action": dict(Counter(call["action"] for call in calls)),
            "by_result": dict(Counter(call["result"] for call in calls)),
            "calls": calls,
            "now": round(time.monotonic() - self._server.began, 6),
        }

    def _get_state(self, fields: "_Fields") -> dict[str, Any]:
        region = fields.text("region", "") or None
        after = fields.text("after", "")
        wait = min(float(fields.text("timeout", "10")), _LONGEST_WAIT)
        if after:
            seen = int(after)
            self._server.news.wait_for(lambda: self._server.version != seen, timeout=wait)
        return {"version": self._server.version, **state.shown(region)}


class _Fields:
    """Fields of a request, taken one by one; what is left over was misspelt."""

    def __init__(self, given: dict[str, Any]) -> None:
        self._given = dict(given)

    def take(self, name: str, default: Any) -> Any:
        return self._given.pop(name, default)

    def number(self, name: str, default: float) -> float:
        value = self.take(name, default)
        if isinstance(value, bool) or not isinstance(value, (int, float)):
            raise BadRequest(f"{name}: must be a number")
        return value

    def text(self, name: str, default: str) -> str:
        value = self.take(name, default)
        if not isinstance(value, str):
            raise BadRequest(f"{name}: must be a text")
        return value

    def flag(self, name: str) -> bool:
        value = self.take(name, False)
        if not isinstance(value, bool):
            raise BadRequest(f"{name}: must be true or false")
        return value

    def texts(self, name: str) -> list[str]:
        value = self.take(name, [])
        if not _are_texts(value):
            raise BadRequest(f"{name}: must be a list of texts")
        return value

    def finish(self) -> None:
        if self._given:
            raise BadRequest(f"unknown fields: {', '.join(sorted(self._given))}")


def _are_texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _json(status: int, content: Any) -> "Answer":
    return status, [("Content-Type", "application/json")], json.dumps(content).encode()
