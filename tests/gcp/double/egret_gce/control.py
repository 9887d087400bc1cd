"""The control API, JSON over HTTP; README.md lists the calls."""

import json
import time
from collections import Counter
from typing import Any
from urllib.parse import parse_qsl

from . import build, errors, permissions, state
from .accounts import TOKEN_URI
from .engine import Engine
from .faults import Fault, Faults, Throttle, Wait
from .fields import BadRequest, Fields
from .identity import DEFAULT_LIFETIME, Answer

# The longest that GET /egret/state?after=… waits.
_LONGEST_WAIT = 30.0


class Control:
    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def answer(self, verb: str, path: str, query: str, body: bytes) -> Answer:
        name = path.removeprefix("/egret").strip("/").replace("/", "_")
        handler = getattr(self, f"_{verb.lower()}_{name}", None)
        if handler is None:
            return _json(404, {"error": f"no {verb} {path}; see README.md"})
        try:
            given = dict(parse_qsl(query, True)) if verb == "GET" else json.loads(body or b"{}")
            with self._engine.lock:
                fields = Fields(given)
                result = handler(fields)
                fields.finish()
                if result is None:
                    result = self._shown()
        except (BadRequest, ValueError) as error:
            return _json(400, {"error": str(error)})
        except errors.ApiError as error:
            return _json(400, {"error": f"{error.reason}: {error.message}"})
        return _json(200, result)

    def _shown(self) -> dict[str, Any]:
        return self._engine.faults.shown() | {
            "quotas": self._engine.cloud.quotas.limits,
            "auth": {
                "required": self._engine.identity.required,
                "expires_in": self._engine.identity.lifetime,
            },
        }

    def _post_reset(self, fields: Fields) -> dict[str, Any]:
        seed = fields.count("seed", 1)
        fields.finish()
        self._engine.reset(seed)
        return {"version": self._engine.version}

    def _post_clear(self, fields: Fields) -> None:
        """No fault any more; the resources, quotas and calls stay."""
        fields.finish()
        self._engine.faults = Faults()

    def _post_build(self, fields: Fields) -> dict[str, Any]:
        result = build.built(self._engine, fields)
        self._engine.changed()
        return result

    def _post_fail(self, fields: Fields) -> None:
        fault = Fault(
            method=fields.text("method", "*"),
            code=fields.count("code", 500),
            reason=fields.text("reason", ""),
            message=fields.text("message", ""),
            left=fields.count("times", 1),
            every=fields.count("every", 0),
            after=fields.flag("after"),
            cut=fields.flag("cut"),
            operation=fields.flag("operation"),
        )
        fields.finish()
        if fault.code not in errors.REASONS:
            raise BadRequest(f"code: must be one of {', '.join(map(str, errors.REASONS))}")
        if fault.cut and fault.operation:
            raise BadRequest("cut and operation: give one of the two")
        self._engine.faults.faults.append(fault)

    def _post_throttle(self, fields: Fields) -> None:
        throttle = Throttle(
            method=fields.text("method", "*"),
            left=fields.count("next", 1),
            code=fields.count("code", 403),
            reason=fields.text("reason", "rateLimitExceeded"),
        )
        fields.finish()
        self._engine.faults.throttles.append(throttle)

    def _wait(self, fields: Fields) -> Wait:
        times = fields.number("times", -1)
        wait = Wait(
            method=fields.text("method", "*"),
            milliseconds=fields.number("milliseconds", 0),
            left=None if times < 0 else int(times),
        )
        fields.finish()
        return wait

    def _post_delay(self, fields: Fields) -> None:
        wait = self._wait(fields)
        kept = [one for one in self._engine.faults.delays if one.method != wait.method]
        self._engine.faults.delays = kept + [wait]

    def _post_latency(self, fields: Fields) -> None:
        self._engine.faults.latencies.append(self._wait(fields))

    def _post_finish(self, fields: Fields) -> None:
        """Every operation that is under way ends now."""
        fields.finish()
        self._engine.finish_all()

    def _post_quota(self, fields: Fields) -> None:
        limits = self._engine.cloud.quotas.limits
        metric, limit = fields.text("metric", ""), fields.number("limit", 0)
        fields.finish()
        if metric not in limits:
            raise BadRequest(f"metric: must be one of {', '.join(limits)}")
        limits[metric] = float(limit)

    def _post_policy(self, fields: Fields) -> None:
        allowed = fields.take("allow", None)
        if allowed is not None:
            allowed = Fields({"allow": allowed}).texts("allow", [])
        project = fields.text("project", "")
        fields.finish()
        faults = self._engine.faults
        if not project:
            faults.allowed = allowed
        elif project not in self._engine.cloud.projects:
            raise BadRequest(f"project: must be one of {', '.join(self._engine.cloud.projects)}")
        elif allowed is None:
            faults.allowed_in.pop(project, None)
        else:
            faults.allowed_in[project] = allowed

    def _post_auth(self, fields: Fields) -> None:
        required = fields.flag("required")
        lifetime = fields.number("expires_in", DEFAULT_LIFETIME)
        fields.finish()
        self._engine.identity.required = required
        self._engine.identity.lifetime = lifetime

    def _post_key(self, fields: Fields) -> dict[str, Any]:
        project = self._engine.identity.project
        account = fields.text("account", f"egret@{project}.iam.gserviceaccount.com")
        token_uri = fields.text("token_uri", TOKEN_URI)
        fields.finish()
        return self._engine.identity.accounts.key_file(project, account, token_uri)

    def _post_calls_reset(self, fields: Fields) -> dict[str, Any]:
        fields.finish()
        self._engine.calls = []
        return {}

    def _get_faults(self, fields: Fields) -> None:
        """Answers what is still asked for, as every POST does."""

    def _get_permissions(self, fields: Fields) -> dict[str, Any]:
        return permissions.shown()

    def _get_calls(self, fields: Fields) -> dict[str, Any]:
        # One that waits has no result yet.
        calls = [call for call in self._engine.calls if "result" in call]
        method = fields.text("method", "")
        if method:
            calls = [call for call in calls if call["method"] == method]
        return {
            "total": len(calls),
            "by_method": dict(Counter(call["method"] for call in calls)),
            "by_result": dict(Counter(call["result"] for call in calls)),
            "permissions": sorted({name for call in calls for name in call["permissions"]}),
            "calls": calls,
            "now": round(time.monotonic() - self._engine.began, 6),
        }

    def _get_state(self, fields: Fields) -> dict[str, Any]:
        after = fields.text("after", "")
        wait = min(float(fields.text("timeout", "10")), _LONGEST_WAIT)
        project = fields.text("project", "")
        fields.finish()
        if after:
            seen = int(after)
            self._engine.news.wait_for(lambda: self._engine.version != seen, timeout=wait)
        return {"version": self._engine.version, **state.shown(self._engine.cloud, project)}


def _json(status: int, content: Any) -> Answer:
    return status, {"Content-Type": "application/json"}, json.dumps(content).encode()
