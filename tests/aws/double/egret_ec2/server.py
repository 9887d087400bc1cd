"""The WSGI application: /egret/… is the control API, everything else is AWS.

Threads: werkzeug has one per connection. `lock` is held while a call is decided, carried out and
recorded, so calls are serial in the order in which they got it; only delays sleep outside.
"""

import io
import logging
import socket
import threading
import time
import traceback
import uuid
from typing import Any, Callable, Iterable

from moto.core import DEFAULT_ACCOUNT_ID
from moto.ec2.exceptions import EC2ClientError, FilterNotImplementedError
from moto.ec2.models import ec2_backends
from moto.moto_api._internal import mock_random, moto_api_backend
from moto.moto_server.werkzeug_app import DomainDispatcherApplication, create_backend_app

from . import corrections, errors, requests
from .control import Control
from .corrections import elastic_addresses
from .faults import Fault, Faults
from .requests import Request
from .snapshot import Snapshot
from .tokens import Tokens

log = logging.getLogger("egret_ec2")
DEFAULT_SEED = 1

# status, headers, body
Answer = tuple[int, list[tuple[str, str]], bytes]
StartResponse = Callable[..., Any]


class Server:
    def __init__(self) -> None:
        corrections.apply()
        self.lock = threading.Lock()
        # Waited on by GET /egret/state?after=…; notified after every change.
        self.news = threading.Condition(self.lock)
        self._moto = DomainDispatcherApplication(create_backend_app)
        self._ec2 = create_backend_app("ec2")
        self._control = Control(self)
        self.version = 0
        with self.lock:
            self.reset(DEFAULT_SEED)

    def reset(self, seed: int) -> None:
        """An account as new: default VPC, no instances, no faults, no calls. Lock held."""
        moto_api_backend.reset()
        mock_random.seed(seed)
        self.seed = seed
        self.faults = Faults(seed)
        self.tokens = Tokens()
        elastic_addresses.quota = elastic_addresses.DEFAULT_QUOTA
        self.calls: list[dict[str, Any]] = []
        self.began = time.monotonic()
        self.changed()

    def changed(self) -> None:
        """Lock held."""
        self.version += 1
        self.news.notify_all()

    def __call__(self, environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        length = int(environ.get("CONTENT_LENGTH") or 0)
        body = environ["wsgi.input"].read(length) if length else b""
        environ["wsgi.input"] = io.BytesIO(body)
        path = environ.get("PATH_INFO", "/")
        if path == "/egret" or path.startswith("/egret/"):
            status, headers, answer = self._control.answer(environ, path, body)
        else:
            query = environ.get("QUERY_STRING", "")
            request = requests.parsed(body, query, environ.get("HTTP_AUTHORIZATION", ""))
            if request is None:
                with self.lock:
                    return self._moto(environ, start_response)
            reply = self._call(request, environ)
            if reply is None:
                return _cut(environ)
            status, headers, answer = reply
        headers = [pair for pair in headers if pair[0].lower() != "content-length"]
        headers.append(("Content-Length", str(len(answer))))
        start_response(f"{status} {'OK' if status < 400 else 'Error'}", headers)
        return [answer]

    def _call(self, request: Request, environ: dict[str, Any]) -> Answer | None:
        """None: the connection is cut."""
        with self.lock:
            wait = self.faults.delay(request.action)
        if wait:
            time.sleep(wait)
        with self.lock:
            begin = time.monotonic()
            answer, result = self._decide(request, environ)
            self.calls.append(
                {
                    "action": request.action,
                    "region": request.region,
                    "parameters": request.parameters,
                    "result": result,
                    "time": round(begin - self.began, 6),
                    "milliseconds": round((time.monotonic() - begin) * 1000, 3),
                }
            )
            return answer

    def _decide(self, request: Request, environ: dict[str, Any]) -> tuple[Answer | None, str]:
        code = self.faults.throttled(request.action)
        if code:
            return _refusal(code, errors.message_of(code)), code
        if self.faults.refused(request.action):
            return _refusal(*_unauthorized(request.action)), "UnauthorizedOperation"
        fault = self.faults.fault(request.action, after=False)
        if fault:
            return _failed(fault)
        try:
            requests.check(request)
            earlier = self.tokens.earlier(request)
        except EC2ClientError as error:
            return _refusal(error.code, error.message), error.code
        answer, result = (earlier, "OK") if earlier else self._carry_out(request, environ)
        # A call that was refused had no effect to fail after.
        fault = self.faults.fault(request.action, after=True) if result == "OK" else None
        return _failed(fault) if fault else (answer, result)

    def _carry_out(self, request: Request, environ: dict[str, Any]) -> tuple[Answer, str]:
        backend = ec2_backends[DEFAULT_ACCOUNT_ID][request.region]
        if request.describes:
            past = self.faults.past(request.action, time.monotonic())
            if past is None:
                return self._ask(request, environ)
            with past.shown(self.faults.stale if self.faults.lag.torn else None):
                return self._ask(request, environ)
        before = Snapshot(backend)
        answer, result = self._ask(request, environ)
        if result == "OK":
            self.tokens.keep(request, answer)
            self.faults.changed(before, time.monotonic())
            self.changed()
        else:
            before.restore()
        return answer, result

    def _ask(self, request: Request, environ: dict[str, Any]) -> tuple[Answer, str]:
        """moto's answer; what it cannot do becomes an error that a client of EC2 can read."""
        seen: dict[str, Any] = {}

        def start(status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> None:
            if exc_info:
                raise exc_info[1]
            seen["status"], seen["headers"] = int(status.split()[0]), headers

        try:
            body = b"".join(self._ec2(environ, start))
        except FilterNotImplementedError as error:
            return _refusal("InvalidParameterValue", str(error)), "InvalidParameterValue"
        except Exception as error:
            log.error("%s: %s", request.action, traceback.format_exc())
            code = "UnsupportedOperation" if isinstance(error, NotImplementedError) else "InternalError"
            return _refusal(code, f"{request.action}: {type(error).__name__}: {error}"), code
        if seen["status"] >= 400:
            code = _between(body, b"<Code>", b"</Code>")
            return (errors.status_of(code), seen["headers"], body), code
        return (seen["status"], seen["headers"], body), "OK"


def _between(body: bytes, begin: bytes, end: bytes) -> str:
    return body.partition(begin)[2].partition(end)[0].decode() or "InternalError"


def _unauthorized(action: str) -> tuple[str, str]:
    """https://docs.aws.amazon.com/IAM/latest/UserGuide/troubleshoot_access-denied.html"""
    return (
        "UnauthorizedOperation",
        "You are not authorized to perform this operation. User: "
        f"arn:aws:sts::{DEFAULT_ACCOUNT_ID}:assumed-role/egret/double is not authorized to perform: "
        f"ec2:{action} because no identity-based policy allows the ec2:{action} action",
    )


def _refusal(code: str, message: str) -> Answer:
    body = errors.body_of(code, message, str(uuid.uuid4()))
    return errors.status_of(code), [("Content-Type", "text/xml;charset=UTF-8")], body


def _failed(fault: Fault) -> tuple[Answer | None, str]:
    if fault.cut:
        return None, "(connection cut)"
    return _refusal(fault.code, fault.message or errors.message_of(fault.code)), fault.code


def _cut(environ: dict[str, Any]) -> Iterable[bytes]:
    """The client sees the connection end without an answer."""
    connection = environ.get("werkzeug.socket")
    if connection is not None:
        connection.shutdown(socket.SHUT_RDWR)
    raise ConnectionAbortedError("cut on request of the test")
