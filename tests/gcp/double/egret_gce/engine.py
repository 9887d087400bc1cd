"""Carries out calls: reads at once, changes by operations that take their time.

A change is tried when it is called and undone again, so that a refusal is the call's; it is done for
good when its operation's time is over, and if it does not fit any more by then, that is the
operation's error. Until then nobody sees it: a client that does not wait for operations is found out.
"""

import logging
import threading
import time
import traceback
from typing import Any

from . import calls, errors, permissions, registry, schema
from .calls import Call
from .cloud import Cloud, Resource, timestamp
from .errors import ApiError
from .faults import Fault, Faults
from .identity import Identity
from .operations import DEFAULT_LATENCY, Operation, Operations
from .resources import operations as operation_paths

log = logging.getLogger("egret_gce")
DEFAULT_SEED = 1
# https://cloud.google.com/compute/docs/reference/rest/v1/zoneOperations/wait
LONGEST_WAIT = 120.0
_WAITS = ("compute.zoneOperations.wait", "compute.regionOperations.wait", "compute.globalOperations.wait")
SERVED = {*registry.READS, *registry.CHANGES, *_WAITS}


class Engine:
    """Threads: one for each connection, and one that finishes operations. All hold `lock`."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        # Waited on by operations' waits, by the finisher, and by GET /egret/state?after=….
        self.news = threading.Condition(self.lock)
        self.version = 0
        with self.lock:
            self.reset(DEFAULT_SEED)
        threading.Thread(target=self._finisher, daemon=True).start()

    def reset(self, seed: int) -> None:
        """As new: one project, empty. Lock held."""
        self.seed = seed
        self.faults = Faults()
        self.identity = Identity(seed)
        self.cloud = Cloud(seed)
        self.cloud.operations = Operations()
        self.calls: list[dict[str, Any]] = []
        self.began = time.monotonic()
        self.changed()

    def changed(self) -> None:
        """Lock held."""
        self.version += 1
        self.news.notify_all()

    def check(self, call: Call) -> None:
        """What every call is looked at for, before what it asks."""
        calls.check(call)
        self.cloud.check_scope(call.project, call.parameters.get("zone"), _region(call))
        if call.method.id not in SERVED:
            raise errors.not_modelled(call.method.id)

    def permitted(self, call: Call, log_entry: dict[str, Any]) -> None:
        needed = permissions.needed(self.cloud, call)
        log_entry["permissions"] = sorted({permission for permission, _ in needed})
        for permission, path in needed:
            if self.faults.denied(permission, path.split("/")[1]):
                raise errors.forbidden(permission, path)

    def carry_out(self, call: Call) -> Resource:
        """Lock held; a wait lets go of it."""
        if call.method.id in _WAITS:
            answer = self._wait(call)
        elif call.method.id in registry.READS:
            answer = registry.READS[call.method.id](self.cloud, call)
        else:
            answer = self._accept(call)
        return self.checked(call, answer)

    def checked(self, call: Call, answer: Resource) -> Resource:
        """The double's own fault if the answer is not what the discovery document promises."""
        assert call.method.response is not None
        try:
            schema.check(call.method.response, answer, "response", nulls=False)
        except schema.Mismatch as error:
            log.error("%s: %s", call.method.id, error)
            message = f"The double's answer is wrong. {error}"
            raise ApiError(500, "internalError", message) from None
        return answer

    def _wait(self, call: Call) -> Resource:
        operations = self.cloud.operations
        operation = operations.get(operation_paths.path_of(call))
        # After a reset it would never be done.
        self.news.wait_for(lambda: operation.done or operations is not self.cloud.operations, timeout=LONGEST_WAIT)
        return operation.shown()

    def _accept(self, call: Call) -> Resource:
        repeated = self.cloud.operations.repeated(call)
        if repeated is not None:
            return repeated.shown()
        change = registry.CHANGES[call.method.id]
        self._check_target(call, change.shared)
        if call.method.name == "insert":
            call.new_id = self.cloud.new_id()
        try:
            with self.cloud.trial(keep=False):
                change.run(self.cloud, call)
        except ApiError as error:
            if not error.late:
                raise
        fault = self.faults.of_operation(call.method.id)
        latency = self.faults.latency(call.method.id, DEFAULT_LATENCY)
        operation = self.cloud.operations.begin(self.cloud, call, latency, fault)
        if latency == 0:
            self.finish(operation)
        else:
            if not change.shared:
                self.cloud.pending[self.cloud.find(call.target)] = call.method.name
            # The finisher has a new one to wait for.
            self.news.notify_all()
        return operation.shown()

    def _check_target(self, call: Call, shared: bool) -> None:
        path = self.cloud.find(call.target)
        under_way = self.cloud.pending.get(path)
        if call.method.name == "insert":
            if path in self.cloud.resources or under_way:
                raise errors.already_exists(path)
        elif under_way and not (shared and under_way not in ("insert", "delete")):
            if "fingerprint" in call.body or "labelFingerprint" in call.body:
                raise errors.stale("The fingerprint, while another change is under way,")
            raise errors.not_ready(path)

    def finish(self, operation: Operation) -> None:
        """Lock held."""
        call = operation.call
        self.cloud.pending.pop(self.cloud.find(call.target), None)
        fault = operation.fault
        if fault is None or fault.after:
            operation.error = self.apply(call)
        if fault is not None:
            operation.error = asked_for(fault)
        operation.ended = timestamp()
        self.changed()

    def apply(self, call: Call) -> ApiError | None:
        """Lock held."""
        try:
            with self.cloud.trial(keep=True):
                registry.CHANGES[call.method.id].run(self.cloud, call)
        except ApiError as error:
            return error
        except Exception:
            log.error("%s: %s", call.method.id, traceback.format_exc())
            return ApiError(500, "internalError", f"The double failed: {traceback.format_exc(limit=-1)}")
        return None

    def finish_all(self) -> None:
        """Lock held."""
        while (operation := self.cloud.operations.next()) is not None:
            self.finish(operation)

    def _finisher(self) -> None:
        with self.lock:
            while True:
                operation = self.cloud.operations.next()
                if operation is None:
                    self.news.wait()
                elif (left := operation.due - time.monotonic()) > 0:
                    self.news.wait(left)
                else:
                    self.finish(operation)


def asked_for(fault: Fault) -> ApiError:
    reason = fault.reason or errors.REASONS.get(fault.code, "internalError")
    return ApiError(fault.code, reason, fault.message or f"The test asked for {fault.code} {reason}.")


def _region(call: Call) -> str | None:
    # regions.get tells by itself that a region is not there.
    return None if call.method.resource == "regions" else call.parameters.get("region")
