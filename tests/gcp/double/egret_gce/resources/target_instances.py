"""Target instances: one instance that forwarding rules send everything to."""

from .. import errors, listing
from ..calls import Call
from ..cloud import Cloud, Resource, check_name, made, url, view
from ..registry import change

listing.readable("targetInstances", "targetInstances", "get", "list", "aggregatedList")


@view("targetInstances")
def _view(cloud: Cloud, path: str, shown: Resource) -> Resource:
    return shown


@change("targetInstances.insert")
def insert(cloud: Cloud, call: Call) -> None:
    body = call.body
    check_name(body)
    if not body.get("instance"):
        raise errors.required("resource.instance")
    instance = cloud.reference(body["instance"], "resource.instance", call.project, "instances")
    nics = cloud.get(instance)["networkInterfaces"]
    if not instance.startswith(call.scope + "/"):
        raise errors.invalid("resource.instance", body["instance"], "It is of another zone.")
    region = call.parameters["zone"].rpartition("-")[0]
    cloud.quotas.check(cloud, call.project, region, "TARGET_INSTANCES")
    resource = made(body, call.new_id, "targetInstance", drop=("securityPolicy",))
    resource |= {"instance": url(instance), "natPolicy": "NO_NAT"}
    if body.get("network"):
        vpc = url(cloud.reference(body["network"], "resource.network", call.project, "networks"))
        if vpc not in [nic["network"] for nic in nics]:
            raise errors.invalid("resource.network", body["network"], "The instance is not in this network.")
        resource["network"] = vpc
    cloud.put(call.target, resource)


@change("targetInstances.delete")
def delete(cloud: Cloud, call: Call) -> None:
    path = cloud.find(call.target)
    cloud.get(path)
    for rule in cloud.paths(f"projects/{call.project}", "forwardingRules"):
        if cloud.resources[rule].get("target") == url(path):
            raise errors.in_use(path, rule)
    cloud.remove(path)
