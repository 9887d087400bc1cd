# Rendered, not applied: the module needs no access to the cluster.

locals {
  helm_values = {
    controller = {
      gcp = {
        workloadIdentity = {
          # Of the projected token and of the credentials; empty: the node's account.
          audience = local.federated ? local.audience : ""
        }
      }
      # Helm keeps its default beside these: that is a label that no node has, or one of the gateways'.
      avoidNodeLabels = var.gateway_node_labels
    }
    network = {
      tunnelPort = var.tunnel_port
      peersPort  = var.peers_port
    }
    resourceQuota = {
      # GKE admits critical pods outside kube-system only under a quota.
      enabled = var.gke_location != null
    }
  }
}
