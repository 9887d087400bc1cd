# Whom the module serves

variable "project" {
  description = "The project of the cluster's nodes: its id, not its number. Addresses, forwarding rules and roles are made there."
  type        = string

  validation {
    condition     = can(regex("^([a-z0-9.-]+:)?[a-z][-a-z0-9]{4,28}[a-z0-9]$", var.project))
    error_message = "project: give the project's id, such as my-project-123456; its number will not do."
  }
}

variable "region" {
  description = "The region of the addresses. An address serves gateways of its region only, in any zone of it."
  type        = string

  validation {
    condition     = can(regex("^[a-z]+-[a-z]+[0-9]+$", var.region))
    error_message = "region: give a region such as europe-west3; europe-west3-a is a zone."
  }
}

variable "cluster_name" {
  description = "The cluster that Egret runs in. Addresses carry it as the label egret-cluster."
  type        = string

  validation {
    condition     = can(regex("^[a-z]([-a-z0-9]{0,38}[a-z0-9])?$", var.cluster_name))
    error_message = "cluster_name: begin with a lower-case letter, go on with lower-case letters, digits or '-', at most 40 characters."
  }
}

variable "name" {
  description = "Begin of the names of what the module makes, and the id of the identity pool. Give every cluster of a project its own. Default: egret-CLUSTER."
  type        = string
  default     = null

  validation {
    condition     = can(regex("^[a-z][-a-z0-9]{2,28}[a-z0-9]$", coalesce(var.name, "egret-${var.cluster_name}")))
    error_message = "name: give 4 to 30 lower-case letters, digits or '-', a letter first. Without it the name is egret-CLUSTER, which is too long here."
  }

  validation {
    condition     = !startswith(coalesce(var.name, "egret"), "gcp-")
    error_message = "name: begin with something else than gcp-, which Google keeps for itself in the ids of identity pools."
  }
}

variable "labels" {
  description = "Further labels of the addresses."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.labels) : can(regex("^[a-z][-_a-z0-9]{0,62}$", key)) && !startswith(key, "egret-")])
    error_message = "labels: a key begins with a lower-case letter and goes on with lower-case letters, digits, '-' or '_'; those that begin with egret- are the module's."
  }

  validation {
    condition     = alltrue([for value in values(var.labels) : can(regex("^[-_a-z0-9]{0,63}$", value))])
    error_message = "labels: a value has lower-case letters, digits, '-' and '_', at most 63."
  }
}

# Who the controller is

variable "identity" {
  description = "How the controller gets its rights. workload_identity: by the token of its service account, through an identity pool that the module makes. node: by the account of the nodes that it runs on, controller_service_accounts; every pod on the host's network of these nodes then has them. none: bind the role yourself."
  type        = string
  default     = "workload_identity"

  validation {
    condition     = contains(["workload_identity", "node", "none"], var.identity)
    error_message = "identity: say workload_identity, node or none."
  }
}

variable "namespace" {
  description = "The namespace of the controller."
  type        = string
  default     = "egret-system"

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", var.namespace))
    error_message = "namespace: give a name that Kubernetes accepts: lower-case letters, digits and '-', at most 63 characters."
  }
}

variable "service_account" {
  description = "The Kubernetes service account of the controller. No other program of Egret calls Google."
  type        = string
  default     = "egret-controller"

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", var.service_account))
    error_message = "service_account: give a name that Kubernetes accepts: lower-case letters, digits, '-' and '.'."
  }

  validation {
    condition     = length("system:serviceaccount:${var.namespace}:${var.service_account}") <= 127
    error_message = "service_account: shorten it or the namespace. Google takes 127 characters of system:serviceaccount:NAMESPACE:NAME."
  }
}

variable "gke_location" {
  description = "The GKE cluster's region or zone; null where the cluster is not of GKE."
  type        = string
  default     = null
}

variable "issuer_uri" {
  description = "The issuer of service account tokens of a cluster that is not of GKE: kubectl get --raw /.well-known/openid-configuration."
  type        = string
  default     = null

  validation {
    condition     = var.issuer_uri == null || can(regex("^https://", var.issuer_uri))
    error_message = "issuer_uri: give the issuer as the cluster says it, beginning with https://."
  }

  validation {
    condition     = var.identity != "workload_identity" || (var.issuer_uri == null) != (var.gke_location == null)
    error_message = "issuer_uri, gke_location: give one of them: gke_location for a cluster of GKE, issuer_uri for any other."
  }
}

variable "cluster_jwks" {
  description = "The keys of the issuer as JSON, where Google cannot read them at issuer_uri: kubectl get --raw /openid/v1/jwks. After the cluster has changed its keys apply again."
  type        = string
  default     = null

  validation {
    condition     = var.cluster_jwks == null || can(jsondecode(var.cluster_jwks).keys)
    error_message = "cluster_jwks: give the JSON of kubectl get --raw /openid/v1/jwks, an object with keys."
  }
}

variable "token_path" {
  description = "Where the controller's pods have their projected token, for the output credentials_json."
  type        = string
  default     = "/var/run/secrets/egret.dev/gcp/token"
}

variable "controller_service_accounts" {
  description = "Emails of the service accounts of the nodes that the controller runs on, for identity = node."
  type        = list(string)
  default     = []

  validation {
    condition     = (var.identity == "node") == (length(var.controller_service_accounts) > 0)
    error_message = "controller_service_accounts: give at least one with identity = \"node\", and none otherwise."
  }
}

# What it may do

variable "host_project" {
  description = "The host project of a Shared VPC. The rights on networks and subnetworks are then a second role there, and so are the firewall rules. null: the network is of project."
  type        = string
  default     = null

  validation {
    condition     = try(var.host_project != var.project, true)
    error_message = "host_project: leave it out where the network belongs to project itself."
  }
}

variable "modes" {
  description = "The modes of the pools that the controller serves, spec.gcp.mode: HAPolicy, TargetInstance, AliasRange. The role has what these need and no more."
  type        = set(string)
  default     = ["HAPolicy"]

  validation {
    condition     = length(var.modes) > 0 && length(setsubtract(var.modes, ["HAPolicy", "TargetInstance", "AliasRange"])) == 0
    error_message = "modes: give at least one of HAPolicy, TargetInstance and AliasRange."
  }
}

# Addresses

variable "pools" {
  description = "Static addresses by EgressPool. addresses: how many to reserve. type: EXTERNAL or INTERNAL. subnetwork: of internal addresses, by self link or, within project, by name. network_tier: of external ones, PREMIUM or STANDARD; null: the project's own. mode: spec.gcp.mode of the manifest, one of modes; TargetInstance has EXTERNAL addresses, AliasRange INTERNAL ones of the gateways' subnetwork. allowed_namespace_labels: whom the manifest admits; {} admits all namespaces, null none."
  type = map(object({
    addresses                = number
    type                     = optional(string, "EXTERNAL")
    subnetwork               = optional(string)
    network_tier             = optional(string)
    mode                     = optional(string, "HAPolicy")
    allowed_namespace_labels = optional(map(string))
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.pools) : can(regex("^[a-z0-9]([-a-z0-9]{0,26}[a-z0-9])?$", name))])
    error_message = "pools: each key is the name of an EgressPool: lower-case letters, digits and '-', at most 28 characters, since it is a part of the addresses' names."
  }

  validation {
    condition     = alltrue([for pool in values(var.pools) : pool.addresses >= 1 && pool.addresses <= 64 && floor(pool.addresses) == pool.addresses])
    error_message = "pools: addresses is a whole number from 1 to 64. For addresses that exist already take the pool out and label them (output address_labels)."
  }

  validation {
    condition     = alltrue([for pool in values(var.pools) : contains(["EXTERNAL", "INTERNAL"], pool.type) && (pool.type == "INTERNAL") == (pool.subnetwork != null)])
    error_message = "pools: type is EXTERNAL or INTERNAL; INTERNAL needs a subnetwork, EXTERNAL has none."
  }

  validation {
    condition     = alltrue([for pool in values(var.pools) : pool.network_tier == null || (pool.type == "EXTERNAL" && contains(["PREMIUM", "STANDARD"], coalesce(pool.network_tier, "none")))])
    error_message = "pools: network_tier is PREMIUM or STANDARD, of EXTERNAL addresses only."
  }

  validation {
    condition     = alltrue([for pool in values(var.pools) : contains(var.modes, pool.mode)])
    error_message = "pools: mode is one of modes: name it there too, so that the controller has the rights."
  }

  validation {
    condition     = alltrue([for pool in values(var.pools) : contains(["HAPolicy", pool.type == "EXTERNAL" ? "TargetInstance" : "AliasRange"], pool.mode)])
    error_message = "pools: mode TargetInstance is for EXTERNAL addresses, AliasRange for INTERNAL ones, HAPolicy for both."
  }

  validation {
    condition     = sum(concat([0], [for pool in values(var.pools) : pool.addresses if pool.mode == "HAPolicy"])) <= 64
    error_message = "pools: Google moves 64 addresses of mode HAPolicy in a VPC network and region, those of all pools together: reserve fewer, or use another network or region."
  }
}

# Firewall

variable "network" {
  description = "The VPC network of the nodes, by name or self link, for firewall rules. null: no rules, they are yours to make."
  type        = string
  default     = null
}

variable "node_network_tags" {
  description = "Network tags that all nodes have, gateways and others: the tunnel is open between them. Nodes of gateway_node_pool get them."
  type        = list(string)
  default     = []

  validation {
    condition     = var.network == null || (length(var.node_network_tags) > 0) != (length(var.node_service_accounts) > 0)
    error_message = "node_network_tags, node_service_accounts: give one of them with network; a firewall rule takes tags or accounts, not both."
  }
}

variable "node_service_accounts" {
  description = "The same by the nodes' service accounts, at most 10."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.node_service_accounts) <= 10
    error_message = "node_service_accounts: a firewall rule takes 10 at most; use node_network_tags."
  }
}

variable "gateway_network_tags" {
  description = "Network tags of the gateways. All TCP and UDP ports and ICMP of the pools' addresses are opened there from everywhere: the firewall is stateful, a gateway that takes an address over has seen none of its connections begin, and without the rule none survives. Egret drops what no connection of a claim waits for. Nodes of gateway_node_pool get these tags."
  type        = list(string)
  default     = []

  validation {
    condition     = var.network == null || (length(var.gateway_network_tags) > 0) != (length(var.gateway_service_accounts) > 0)
    error_message = "gateway_network_tags, gateway_service_accounts: give one of them with network; a firewall rule takes tags or accounts, not both."
  }
}

variable "gateway_service_accounts" {
  description = "The same by the gateways' service accounts, at most 10."
  type        = list(string)
  default     = []

  validation {
    condition     = length(var.gateway_service_accounts) <= 10
    error_message = "gateway_service_accounts: a firewall rule takes 10 at most; use gateway_network_tags."
  }
}

variable "egress_ranges" {
  description = "Ranges of egress addresses that were made elsewhere, for the same rule. It has the addresses of pools anyway."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for range in var.egress_ranges : can(cidrhost(range, 0))])
    error_message = "egress_ranges: give ranges such as 203.0.113.8/32."
  }

  # A rule has ranges of one family, and this one lets IPv4 in.
  validation {
    condition     = alltrue([for range in var.egress_ranges : !strcontains(range, ":")])
    error_message = "egress_ranges: give IPv4 ranges; Egret has no IPv6 addresses in Google Cloud, and the rule is one of IPv4."
  }
}

variable "tunnel_port" {
  description = "UDP port of the tunnel, for the firewall and the Helm values."
  type        = number
  default     = 5480

  validation {
    condition     = var.tunnel_port >= 1 && var.tunnel_port <= 65535 && floor(var.tunnel_port) == var.tunnel_port
    error_message = "tunnel_port: give a port, 1 to 65535."
  }
}

variable "peers_port" {
  description = "UDP port of the agents' messages, for the firewall and the Helm values."
  type        = number
  default     = 5481

  validation {
    condition     = var.peers_port >= 1 && var.peers_port <= 65535 && floor(var.peers_port) == var.peers_port && var.peers_port != var.tunnel_port
    error_message = "peers_port: give a port, 1 to 65535, other than tunnel_port."
  }
}

# Gateways

variable "gateway_node_labels" {
  description = "Labels of the nodes that are gateways: those of gateway_node_pool get them, the pools' manifests select by them, and the chart's controllers keep off them (controller.avoidNodeLabels)."
  type        = map(string)
  default     = { "egret.dev/gateway" = "true" }

  validation {
    condition     = length(var.gateway_node_labels) > 0
    error_message = "gateway_node_labels: give at least one; with none all nodes would be gateways."
  }
}

variable "gateway_node_pool" {
  description = "Makes a node pool of gateways in the GKE cluster. service_account: email of the nodes' account. node_locations: zones; null: the cluster's. workload_metadata: GKE_METADATA needs Workload Identity of the cluster, else say GCE_METADATA. Taints keep other pods away; Egret's agents tolerate all."
  type = object({
    service_account   = string
    name              = optional(string, "egret-gateways")
    node_locations    = optional(list(string))
    nodes_per_zone    = optional(number, 1)
    machine_type      = optional(string, "e2-standard-2")
    workload_metadata = optional(string, "GKE_METADATA")
    taints = optional(list(object({
      key    = string
      value  = string
      effect = string
    })), [])
  })
  default = null

  validation {
    condition     = var.gateway_node_pool == null || var.gke_location != null
    error_message = "gateway_node_pool: give gke_location too; the node pool is of a GKE cluster."
  }

  validation {
    condition     = contains(["GKE_METADATA", "GCE_METADATA"], try(var.gateway_node_pool.workload_metadata, "GKE_METADATA"))
    error_message = "gateway_node_pool: workload_metadata is GKE_METADATA or GCE_METADATA."
  }

  validation {
    condition     = alltrue([for taint in try(var.gateway_node_pool.taints, []) : contains(["NO_SCHEDULE", "PREFER_NO_SCHEDULE", "NO_EXECUTE"], taint.effect)])
    error_message = "gateway_node_pool: the effect of a taint is NO_SCHEDULE, PREFER_NO_SCHEDULE or NO_EXECUTE, as GKE writes it."
  }
}
