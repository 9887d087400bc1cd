resource "google_container_node_pool" "gateway" {
  count = var.gateway_node_pool == null ? 0 : 1

  project        = var.project
  cluster        = var.cluster_name
  location       = var.gke_location
  name           = var.gateway_node_pool.name
  node_locations = var.gateway_node_pool.node_locations
  node_count     = var.gateway_node_pool.nodes_per_zone

  node_config {
    machine_type    = var.gateway_node_pool.machine_type
    image_type      = "COS_CONTAINERD"
    service_account = var.gateway_node_pool.service_account
    # What a node may do is up to its account's roles.
    oauth_scopes = ["https://www.googleapis.com/auth/cloud-platform"]
    labels       = var.gateway_node_labels
    tags         = distinct(concat(var.node_network_tags, var.gateway_network_tags))

    dynamic "taint" {
      for_each = var.gateway_node_pool.taints

      content {
        key    = taint.value.key
        value  = taint.value.value
        effect = taint.value.effect
      }
    }

    workload_metadata_config {
      mode = var.gateway_node_pool.workload_metadata
    }

    metadata = {
      "disable-legacy-endpoints" = "true"
    }
  }

  management {
    auto_repair  = true
    auto_upgrade = true
  }

  # A new gateway is there before an old one leaves.
  upgrade_settings {
    max_surge       = 1
    max_unavailable = 0
  }
}
