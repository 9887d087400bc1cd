# What the controller may do: the calls of providers/gcp/permissions.tsv and no other. It never reserves, releases or
# labels an address, and never makes or deletes an instance.

locals {
  name = coalesce(var.name, "egret-${var.cluster_name}")

  # By the modes of pools.
  permissions_of = {
    HAPolicy = [
      "compute.addresses.list",
      "compute.addresses.use",
      "compute.addresses.useInternal",
      "compute.forwardingRules.create",
      "compute.forwardingRules.delete",
      "compute.forwardingRules.list",
      "compute.instances.get",
      "compute.instances.use",
      "compute.networkEndpointGroups.attachNetworkEndpoints",
      "compute.networkEndpointGroups.create",
      "compute.networkEndpointGroups.delete",
      "compute.networkEndpointGroups.detachNetworkEndpoints",
      "compute.networkEndpointGroups.get",
      "compute.networkEndpointGroups.list",
      "compute.networkEndpointGroups.use",
      "compute.networks.use",
      "compute.regionBackendServices.create",
      "compute.regionBackendServices.delete",
      "compute.regionBackendServices.get",
      "compute.regionBackendServices.list",
      "compute.regionBackendServices.update",
      "compute.regionBackendServices.use",
      "compute.regionOperations.get",
      "compute.regionOperations.list",
      "compute.subnetworks.get",
      "compute.subnetworks.use",
      "compute.zoneOperations.get",
      "compute.zoneOperations.list",
    ]
    TargetInstance = [
      "compute.addresses.list",
      "compute.addresses.use",
      "compute.forwardingRules.create",
      "compute.forwardingRules.delete",
      "compute.forwardingRules.list",
      "compute.forwardingRules.setTarget",
      "compute.instances.get",
      "compute.instances.use",
      "compute.networks.use",
      "compute.regionOperations.get",
      "compute.regionOperations.list",
      "compute.subnetworks.get",
      "compute.subnetworks.use",
      "compute.targetInstances.create",
      "compute.targetInstances.delete",
      "compute.targetInstances.list",
      "compute.targetInstances.use",
      "compute.zoneOperations.get",
      "compute.zoneOperations.list",
    ]
    AliasRange = [
      "compute.addresses.list",
      "compute.addresses.use",
      "compute.addresses.useInternal",
      "compute.instances.get",
      "compute.instances.updateNetworkInterface",
      "compute.subnetworks.get",
      "compute.subnetworks.use",
      "compute.zoneOperations.get",
      "compute.zoneOperations.list",
    ]
  }
  permissions = sort(distinct(flatten([for mode in var.modes : local.permissions_of[mode]])))

  # A Shared VPC's networks and subnetworks are of the host project, and so are the rights on them.
  of_network = [
    for permission in local.permissions : permission
    if startswith(permission, "compute.networks.") || startswith(permission, "compute.subnetworks.")
  ]
  network_role_permissions = var.host_project == null ? [] : local.of_network
  role_permissions = (
    var.host_project == null
    ? local.permissions
    : [for permission in local.permissions : permission if !contains(local.of_network, permission)]
  )

  # The ids of roles have no '-'.
  role_ids = {
    controller = "${replace(local.name, "-", "_")}_controller"
    network    = "${replace(local.name, "-", "_")}_network"
  }
}
