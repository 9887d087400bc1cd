# The Elastic IPs of the pools, and what the cluster is told of them.

locals {
  # pool-0, pool-1 …: more of them are appended, fewer release the last ones.
  elastic_ips = merge([
    for name, pool in var.pools : {
      for index in range(pool.elastic_ips) : "${name}-${index}" => {
        pool                 = name
        public_ipv4_pool     = pool.public_ipv4_pool
        network_border_group = pool.network_border_group
        tags = merge(var.tags, local.elastic_ip_tags, {
          Name             = "${local.name}-${name}-${index}"
          "egret.dev/pool" = name
        })
      }
    } if var.create
  ]...)

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
