# The rules are the network's: with Shared VPC they are made in the host project.

locals {
  firewall_project = var.host_project != null ? var.host_project : var.project

  egress_ranges = concat([for address in google_compute_address.pool : "${address.address}/32"], var.egress_ranges)
}

resource "google_compute_firewall" "tunnel" {
  count = var.network == null ? 0 : 1

  project                 = local.firewall_project
  name                    = "${local.name}-tunnel"
  network                 = var.network
  description             = "Egret's tunnel and its agents' messages, between all nodes"
  direction               = "INGRESS"
  source_tags             = length(var.node_network_tags) == 0 ? null : var.node_network_tags
  target_tags             = length(var.node_network_tags) == 0 ? null : var.node_network_tags
  source_service_accounts = length(var.node_service_accounts) == 0 ? null : var.node_service_accounts
  target_service_accounts = length(var.node_service_accounts) == 0 ? null : var.node_service_accounts

  allow {
    protocol = "udp"
    ports    = [tostring(var.tunnel_port), tostring(var.peers_port)]
  }
}

# The firewall lets answers in by what it has seen leave. The gateway that an address has moved to has sent nothing: this
# rule is what the address's connections need, and errors about them too. What no connection of a claim waits for is
# dropped by Egret (docs/operations.md, no_block and not_established). The gateway's own addresses are not among the
# destinations: kubelet and SSH stay closed.
resource "google_compute_firewall" "answers" {
  count = var.network == null || length(local.egress_ranges) == 0 ? 0 : 1

  project                 = local.firewall_project
  name                    = "${local.name}-answers"
  network                 = var.network
  description             = "Answers to Egret's egress addresses, after they have moved too"
  direction               = "INGRESS"
  source_ranges           = ["0.0.0.0/0"]
  destination_ranges      = local.egress_ranges
  target_tags             = length(var.gateway_network_tags) == 0 ? null : var.gateway_network_tags
  target_service_accounts = length(var.gateway_service_accounts) == 0 ? null : var.gateway_service_accounts

  allow {
    protocol = "tcp"
  }

  allow {
    protocol = "udp"
  }

  # Destination unreachable, with it "fragmentation needed".
  allow {
    protocol = "icmp"
  }
}
