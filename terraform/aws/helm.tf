# Rendered, not applied: the module needs no access to the cluster.

locals {
  helm_values = {
    controller = {
      aws = {
        region = local.region
        # Both: an interface that another cluster tagged for its own Egret is not this one's.
        interfaceTags = local.interface_tags
      }
      # Helm keeps its default beside these: that is a label that no node has, or one of the gateways'.
      avoidNodeLabels = var.gateway_node_labels
      serviceAccount = {
        # Pod Identity and instance roles need no annotation.
        annotations = var.irsa_oidc_provider_arn == null ? {} : { "eks.amazonaws.com/role-arn" = local.irsa_role_arn }
      }
    }
    cluster = {
      podCIDRs = var.pod_cidrs
    }
    network = {
      tunnelPort = var.tunnel_port
      peersPort  = var.peers_port
    }
  }
}
