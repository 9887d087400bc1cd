"""Operations: accepted, unfinished for a while, then done or failed, and listed from then on."""

import time
from dataclasses import dataclass, field
from typing import Any

from . import errors
from .calls import Call
from .cloud import Cloud, name_of, timestamp, url
from .errors import ApiError
from .faults import Fault

DEFAULT_LATENCY = 0.05
# A call's request, for saying whether a request id is used for another one.
Sent = tuple[str, str, str]


@dataclass
class Operation:
    call: Call
    path: str
    id: str
    began: float
    latency: float
    target_id: str | None
    fault: Fault | None = None
    inserted: str = field(default_factory=timestamp)
    ended: str | None = None
    error: ApiError | None = None

    @property
    def done(self) -> bool:
        return self.ended is not None

    @property
    def due(self) -> float:
        return self.began + self.latency

    def shown(self) -> dict[str, Any]:
        # A quarter of its time it is PENDING.
        begun = self.done or time.monotonic() - self.began > self.latency / 4
        answer = {
            "kind": "compute#operation",
            "id": self.id,
            "name": name_of(self.path),
            "operationType": self.call.method.name,
            "targetLink": url(self.call.target),
            "status": "DONE" if self.done else "RUNNING" if begun else "PENDING",
            "progress": 100 if self.done else 50 if begun else 0,
            "user": self.call.principal or "anonymous",
            "insertTime": self.inserted,
            "selfLink": url(self.path),
        }
        if self.target_id:
            answer["targetId"] = self.target_id
        if begun:
            answer["startTime"] = self.inserted
        if self.ended:
            answer["endTime"] = self.ended
        if self.call.request_id:
            answer["clientOperationId"] = self.call.request_id
        scope = self.path.split("/")[2:4]
        if scope[0] != "global":
            answer[scope[0][:-1]] = url("/".join(self.path.split("/")[:4]))
        if self.error:
            answer |= self.error.of_operation()
        return answer


class Operations:
    def __init__(self) -> None:
        self.by_path: dict[str, Operation] = {}
        self.unfinished: list[Operation] = []
        self._by_request: dict[tuple[str, str], Operation] = {}

    def repeated(self, call: Call) -> Operation | None:
        """The operation of the same request, if its id was used before."""
        if call.request_id is None:
            return None
        found = self._by_request.get((call.project, call.request_id))
        if found is not None and _request(found.call) != _request(call):
            why = f"It was used for another request, {found.call.method.id} of {found.call.target}."
            raise errors.invalid("requestId", call.request_id, why)
        return found

    def begin(self, cloud: Cloud, call: Call, latency: float, fault: Fault | None) -> Operation:
        id_ = cloud.new_id()
        path = f"{call.scope}/operations/operation-{id_}"
        stored = cloud.resources.get(call.target)
        target_id = call.new_id or (stored["id"] if stored else None)
        operation = Operation(call, path, id_, time.monotonic(), latency, target_id, fault)
        self.by_path[path] = operation
        self.unfinished.append(operation)
        if call.request_id:
            self._by_request[call.project, call.request_id] = operation
        return operation

    def next(self) -> Operation | None:
        self.unfinished = [operation for operation in self.unfinished if not operation.done]
        return min(self.unfinished, key=lambda operation: operation.due, default=None)

    def get(self, path: str) -> Operation:
        if path in self.by_path:
            return self.by_path[path]
        for found in self.by_path.values():
            if path == f"{found.call.scope}/operations/{found.id}":
                return found
        raise errors.not_found(path)


def _request(call: Call) -> Sent:
    return call.method.id, call.target, repr(call.body)
