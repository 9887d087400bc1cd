"""What descriptions are made of, as it was at one moment.

A snapshot keeps, for each object, a copy of its attributes with containers copied and other objects
by reference. It serves two purposes: a refused call is undone with it, and a lagging Describe* is
answered from it.
"""

from collections import OrderedDict, defaultdict
from contextlib import contextmanager
from typing import Any, Callable, Iterator

_BACKEND_ATTRIBUTES = ("enis", "addresses", "reservations", "tags", "subnets", "nat_gateways")


def _copied(value: Any) -> Any:
    kind = type(value)
    if kind in (dict, OrderedDict):
        return kind((key, _copied(item)) for key, item in value.items())
    if kind is defaultdict:
        copied = defaultdict(value.default_factory)
        copied.update((key, _copied(item)) for key, item in value.items())
        return copied
    if kind is list:
        return [_copied(item) for item in value]
    if kind is set:
        return set(value)
    return value


def _objects(backend: Any) -> Iterator[Any]:
    yield from backend.enis.values()
    yield from backend.addresses
    for zones in backend.subnets.values():
        yield from zones.values()
    for reservation in backend.reservations.values():
        yield reservation
        for instance in reservation.instances:
            yield instance
            yield instance._state


class Snapshot:
    def __init__(self, backend: Any) -> None:
        self._backend = backend
        self._attributes = {
            name: _copied(getattr(backend, name))
            for name in _BACKEND_ATTRIBUTES
            if hasattr(backend, name)
        }
        self._objects = [(thing, _copied(thing.__dict__)) for thing in _objects(backend)]

    def restore(self) -> None:
        """Makes the present as it was. The snapshot must not be used again afterwards."""
        self._put(self._attributes, self._objects)

    @contextmanager
    def shown(self, stale: Callable[[], bool] | None = None) -> Iterator[None]:
        """Within the block the backend is as it was; afterwards it is as it is.

        With `stale` each object is as it was or as it is, as that says for it.
        """
        attributes = {name: getattr(self._backend, name) for name in self._attributes}
        objects = [pair for pair in self._objects if stale is None or stale()]
        present = [(thing, dict(thing.__dict__)) for thing, _ in objects]
        self._put({} if stale else self._attributes, objects)
        try:
            yield
        finally:
            self._put(attributes, present)

    def _put(self, attributes: dict[str, Any], objects: list[tuple[Any, dict[str, Any]]]) -> None:
        self._backend.__dict__.update(attributes)
        for thing, values in objects:
            thing.__dict__.clear()
            thing.__dict__.update(values)
