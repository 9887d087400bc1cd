"""Operations of a zone, a region and a project, to read. Waiting is `engine.Engine.wait`."""

from .. import listing
from ..calls import Call
from ..cloud import Cloud, Resource
from ..registry import read


@read("zoneOperations.get")
@read("regionOperations.get")
@read("globalOperations.get")
def get(cloud: Cloud, call: Call) -> Resource:
    return cloud.operations.get(path_of(call)).shown()


@read("zoneOperations.list")
@read("regionOperations.list")
@read("globalOperations.list")
def list_(cloud: Cloud, call: Call) -> Resource:
    found = [
        operation.shown() for operation in cloud.operations.by_path.values() if operation.call.scope == call.scope
    ]
    return listing.page(call, found, listing.kind_of(call))


def path_of(call: Call) -> str:
    return f"{call.scope}/operations/{call.parameters['operation']}"
