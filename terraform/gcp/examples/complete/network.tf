# One subnetwork: it spans the zones of the region, and so does an address. Nodes have public addresses of their own here,
# to need no Cloud NAT.

resource "google_project_service" "this" {
  for_each = toset([
    "artifactregistry.googleapis.com",
    "cloudresourcemanager.googleapis.com",
    "compute.googleapis.com",
    "container.googleapis.com",
    "iam.googleapis.com",
    "sts.googleapis.com",
  ])

  service            = each.value
  disable_on_destroy = false
}

resource "google_compute_network" "this" {
  name                    = var.name
  auto_create_subnetworks = false

  depends_on = [google_project_service.this]
}

resource "google_compute_subnetwork" "nodes" {
  name          = "${var.name}-nodes"
  network       = google_compute_network.this.id
  region        = var.region
  ip_cidr_range = "10.80.0.0/20"

  secondary_ip_range {
    range_name    = "pods"
    ip_cidr_range = "10.96.0.0/14"
  }

  secondary_ip_range {
    range_name    = "services"
    ip_cidr_range = "10.100.0.0/20"
  }
}

# Workers and gateways are in two zones.
data "google_compute_zones" "available" {
  region = var.region

  depends_on = [google_project_service.this]
}

locals {
  zones = slice(data.google_compute_zones.available.names, 0, 2)
  # All nodes have the first one, gateways both.
  node_tag    = "${var.name}-node"
  gateway_tag = "${var.name}-gateway"
}
