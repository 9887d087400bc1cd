# What goes into the cluster. Rendered, not applied: this module needs no access to it.

locals {
  helm_values = {
    controller = {
      serviceAccount = {
        # Pod Identity and instance roles need no annotation.
        annotations = var.irsa_oidc_provider_arn == null ? {} : { "eks.amazonaws.com/role-arn" = local.irsa_role_arn }
      }
    }
    cluster = {
      podCIDRs = var.pod_cidrs
    }
  }

  egress_pools = {
    for name, pool in var.pools : name => yamlencode({
      apiVersion = "egret.dev/v1alpha1"
      kind       = "EgressPool"
      metadata   = { name = name }
      spec = merge(
        {
          provider = "AWS"
          aws = {
            elasticIPTags = merge(local.elastic_ip_tags, { "egret.dev/pool" = name })
            interfaceTags = local.interface_tags
          }
          gateways = { nodeSelector = { matchLabels = var.gateway_node_labels } }
        },
        # {} selects all namespaces, an absent selector none.
        pool.allowed_namespace_labels == null ? {} : {
          allowedNamespaces = length(pool.allowed_namespace_labels) == 0 ? {} : { matchLabels = pool.allowed_namespace_labels }
        },
      )
    })
  }
}
