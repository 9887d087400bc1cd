"""HTTP: /egret/… is the control API, /compute/v1/… Compute Engine, the rest `identity`."""

import json
import logging
import socket
import time
import traceback
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import unquote

from . import calls, discovery, errors
from .calls import Call
from .control import Control
from .engine import Engine, asked_for
from .errors import ApiError
from .identity import Answer

log = logging.getLogger("egret_gce")
_JSON = {"Content-Type": "application/json; charset=UTF-8"}


class Server:
    def __init__(self) -> None:
        # Five megabytes: not within the first call.
        discovery.methods()
        self.engine = Engine()
        self._control = Control(self.engine)

    def answer(self, verb: str, path: str, query: str, headers: Any, body: bytes) -> Answer | None:
        """None: the connection is cut."""
        if path == "/egret" or path.startswith("/egret/"):
            return self._control.answer(verb, path, query, body)
        if path.startswith(discovery.BASE):
            return self._compute(verb, path.removeprefix(discovery.BASE), query, headers, body)
        with self.engine.lock:
            target = f"{path}?{query}" if query else path
            reply = self.engine.identity.answer(verb, unquote(target), headers, body)
        if reply is not None:
            return reply
        return 404, _JSON, errors.ApiError(404, "notFound", f"There is no {path}").body()

    def _compute(self, verb: str, path: str, query: str, headers: Any, body: bytes) -> Answer | None:
        try:
            call = calls.parsed(verb, path, query, body)
        except ApiError as error:
            return error.status, _JSON, error.body()
        engine = self.engine
        with engine.lock:
            delay = engine.faults.delay(call.method.id)
        if delay:
            time.sleep(delay)
        with engine.lock:
            begin = time.monotonic()
            entry: dict[str, Any] = {
                "method": call.method.id,
                "verb": verb,
                "path": path,
                "project": call.project,
                "principal": None,
                "permissions": [],
            }
            engine.calls.append(entry)
            answer, result = self._decide(call, entry, headers.get("Authorization", ""))
            entry |= {
                "parameters": {k: v for k, v in call.sent["query"].items() if not k.startswith("$")},
                "body": call.sent["body"] if not isinstance(call.sent["body"], bytes) else None,
                "status": answer[0] if answer else 0,
                "result": result,
                "time": round(begin - engine.began, 6),
                "milliseconds": round((time.monotonic() - begin) * 1000, 3),
            }
            return answer

    def _decide(self, call: Call, entry: dict[str, Any], authorization: str) -> tuple[Answer | None, str]:
        engine = self.engine
        method = call.method.id
        try:
            call.principal = entry["principal"] = engine.identity.principal(authorization, call.method.scopes)
            throttle = engine.faults.throttled(method)
            if throttle:
                raise ApiError(throttle.code, throttle.reason, "Rate Limit Exceeded")
            self._strike(method, after=False)
            engine.check(call)
            engine.permitted(call, entry)
            content = engine.carry_out(call)
            if content.get("kind") == "compute#operation":
                entry["operation"] = content["name"]
            # A call that was refused had no effect to fail after.
            self._strike(method, after=True)
        except _Cut:
            return None, "(connection cut)"
        except ApiError as error:
            return (error.status, _JSON, error.body()), error.reason
        except Exception as error:
            log.error("%s: %s", method, traceback.format_exc())
            failed = ApiError(500, "internalError", f"The double failed: {type(error).__name__}: {error}")
            return (failed.status, _JSON, failed.body()), failed.reason
        return (200, _JSON, json.dumps(content).encode()), "OK"

    def _strike(self, method: str, after: bool) -> None:
        fault = self.engine.faults.fault(method, after)
        if fault and fault.cut:
            raise _Cut
        if fault:
            raise asked_for(fault)


class _Cut(Exception):
    """The client sees the connection end without an answer."""


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    disable_nagle_algorithm = True
    # One write for head and body.
    wbufsize = -1
    application: Server

    def _serve(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length else b""
        path, _, query = self.path.partition("?")
        reply = self.application.answer(self.command, path, query, self.headers, body)
        if reply is None:
            self.close_connection = True
            self.connection.shutdown(socket.SHUT_RDWR)
            return
        status, headers, content = reply
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        self.wfile.write(content)

    do_GET = do_POST = do_PATCH = do_PUT = do_DELETE = _serve

    def log_message(self, format: str, *args: object) -> None:
        """GET /egret/calls has them."""


class Listener(ThreadingHTTPServer):
    daemon_threads = True
    request_queue_size = 128

    def __init__(self, address: tuple[str, int]) -> None:
        handler = type("Bound", (Handler,), {"application": Server()})
        super().__init__(address, handler)

    def handle_error(self, request: Any, client_address: Any) -> None:
        """A client that went away is no error of the double."""
