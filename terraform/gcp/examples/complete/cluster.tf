# An account for the nodes, with what GKE needs of it and the right to pull the image. Not Egret's rights: those belong to
# the controller's token.
resource "google_service_account" "nodes" {
  account_id   = "${var.name}-nodes"
  display_name = "Nodes of ${var.name}"

  depends_on = [google_project_service.this]
}

resource "google_project_iam_member" "nodes" {
  for_each = toset(["roles/container.defaultNodeServiceAccount", "roles/artifactregistry.reader"])

  project = var.project
  role    = each.value
  member  = "serviceAccount:${google_service_account.nodes.email}"
}

resource "google_container_cluster" "this" {
  name               = var.name
  location           = var.region
  node_locations     = local.zones
  network            = google_compute_network.this.id
  subnetwork         = google_compute_subnetwork.nodes.id
  min_master_version = var.kubernetes_version

  # The node pools are resources of their own.
  remove_default_node_pool = true
  initial_node_count       = 1
  deletion_protection      = false

  # Dataplane V1. Google supports no programs of others on Dataplane V2, and Autopilot no privileged agents.
  datapath_provider = "LEGACY_DATAPATH"

  ip_allocation_policy {
    cluster_secondary_range_name  = "pods"
    services_secondary_range_name = "services"
  }

  release_channel {
    channel = "REGULAR"
  }

  # For pods that are not on the host's network; Egret's controller is, and has an identity pool of its own.
  workload_identity_config {
    workload_pool = "${var.project}.svc.id.goog"
  }

  # The default pool lives for a minute, but is made with this account.
  node_config {
    service_account = google_service_account.nodes.email
  }

  lifecycle {
    # It would be made anew for the pool that is gone.
    ignore_changes = [node_config]
  }

  depends_on = [google_project_iam_member.nodes]
}

resource "google_container_node_pool" "workers" {
  name       = "workers"
  cluster    = google_container_cluster.this.name
  location   = var.region
  node_count = 1

  node_config {
    machine_type    = var.worker_machine_type
    image_type      = "COS_CONTAINERD"
    service_account = google_service_account.nodes.email
    oauth_scopes    = ["https://www.googleapis.com/auth/cloud-platform"]
    tags            = [local.node_tag]

    workload_metadata_config {
      mode = "GKE_METADATA"
    }
  }
}

resource "google_artifact_registry_repository" "egret" {
  location      = var.region
  repository_id = var.name
  format        = "DOCKER"

  depends_on = [google_project_service.this]
}
