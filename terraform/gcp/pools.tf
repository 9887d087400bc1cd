# The addresses of the pools, and what the cluster is told of them.

locals {
  address_labels = { "egret-cluster" = var.cluster_name }

  # pool-0, pool-1 …: more of them are appended, fewer release the last ones.
  addresses = merge([
    for name, pool in var.pools : {
      for index in range(pool.addresses) : "${name}-${index}" => {
        name         = "${local.name}-${name}-${index}"
        pool         = name
        type         = pool.type
        subnetwork   = pool.subnetwork
        network_tier = pool.network_tier
        labels       = merge(var.labels, local.address_labels, { "egret-pool" = name })
      }
    }
  ]...)

  egress_pools = {
    for name, pool in var.pools : name => yamlencode({
      apiVersion = "egret.dev/v1alpha1"
      kind       = "EgressPool"
      metadata   = { name = name }
      spec = merge(
        {
          provider = "GCP"
          gcp      = { mode = pool.mode, addressLabels = merge(local.address_labels, { "egret-pool" = name }) }
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
