output "role_id" {
  description = "The role of the controller, to bind to a principal of your own: projects/PROJECT/roles/ROLE."
  value       = google_project_iam_custom_role.controller.id
}

output "network_role_id" {
  description = "The role in the host project; null without host_project."
  value       = one(google_project_iam_custom_role.network[*].id)
}

output "principals" {
  description = "Who has the roles."
  value       = values(local.principals)
}

output "workload_identity_audience" {
  description = "The audience of the controller's token; null without identity = workload_identity."
  value       = local.federated ? local.audience : null
}

output "credentials_json" {
  description = "Credentials for GOOGLE_APPLICATION_CREDENTIALS, without a secret in them; empty without identity = workload_identity. The chart writes the same from helm_values."
  value       = local.credentials_json
}

output "addresses" {
  description = "The addresses of every pool, in order: what partners put on their lists."
  value = {
    for name in keys(var.pools) : name => [
      for key, address in local.addresses : google_compute_address.pool[key].address if address.pool == name
    ]
  }
}

output "address_labels" {
  description = "Labels of the module's addresses. Give them to an address made elsewhere, with egret-pool=POOL, and the pool finds it."
  value       = local.address_labels
}

output "helm_values" {
  description = "Values of the chart deploy/helm/egret, as YAML: helm install … --values FILE."
  value       = yamlencode(local.helm_values)
}

output "egress_pools" {
  description = "The manifest of an EgressPool for each of pools, as YAML: kubectl apply -f FILE."
  value       = local.egress_pools
}
