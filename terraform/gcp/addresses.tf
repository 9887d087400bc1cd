resource "google_compute_address" "pool" {
  for_each = local.addresses

  project      = var.project
  region       = var.region
  name         = each.value.name
  description  = "Egret in ${var.cluster_name}, pool ${each.value.pool}"
  address_type = each.value.type
  network_tier = each.value.network_tier
  subnetwork   = each.value.subnetwork
  labels       = each.value.labels
}
