resource "google_project_iam_custom_role" "controller" {
  project     = var.project
  role_id     = local.role_ids.controller
  title       = "Egret in ${var.cluster_name}"
  description = "What Egret's controller does in Compute Engine for the cluster ${var.cluster_name}"
  permissions = local.role_permissions
}

resource "google_project_iam_member" "controller" {
  for_each = local.principals

  project = var.project
  role    = google_project_iam_custom_role.controller.id
  member  = each.value

  depends_on = [google_iam_workload_identity_pool.cluster]
}

resource "google_project_iam_custom_role" "network" {
  count = var.host_project == null ? 0 : 1

  project     = var.host_project
  role_id     = local.role_ids.network
  title       = "Egret in ${var.cluster_name}, network"
  description = "What Egret's controller does with the Shared VPC for the cluster ${var.cluster_name} of ${var.project}"
  permissions = local.network_role_permissions
}

resource "google_project_iam_member" "network" {
  for_each = { for key, principal in local.principals : key => principal if var.host_project != null }

  project = google_project_iam_custom_role.network[0].project
  role    = google_project_iam_custom_role.network[0].id
  member  = each.value

  depends_on = [google_iam_workload_identity_pool.cluster]
}
