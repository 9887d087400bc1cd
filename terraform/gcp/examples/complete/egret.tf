module "egret" {
  source = "../.."

  project      = var.project
  region       = var.region
  cluster_name = google_container_cluster.this.name
  gke_location = google_container_cluster.this.location

  pools = {
    public = {
      addresses                = var.addresses
      allowed_namespace_labels = { egress = "public" }
    }
  }

  network              = google_compute_network.this.name
  node_network_tags    = [local.node_tag]
  gateway_network_tags = [local.gateway_tag]

  gateway_node_pool = {
    service_account = google_service_account.nodes.email
    machine_type    = var.gateway_machine_type
  }
}
