# Whom the module serves

variable "cluster_name" {
  description = "The cluster that Egret runs in. Elastic IPs and gateway interfaces carry it as the tag egret.dev/cluster, and the policy demands that tag: two clusters of an account cannot take each other's addresses."
  type        = string

  validation {
    condition     = can(regex("^[0-9A-Za-z][0-9A-Za-z_.-]{0,99}$", var.cluster_name))
    error_message = "cluster_name: begin with a letter or a digit, go on with letters, digits, '_', '.' or '-', at most 100 characters."
  }
}

variable "name" {
  description = "Begin of the names of the policy and the roles. Give every cluster of an account its own: names of IAM are unique in an account. Default: egret-CLUSTER."
  type        = string
  default     = null

  validation {
    condition     = var.name == null || can(regex("^[0-9A-Za-z+=,.@_-]{1,50}$", var.name))
    error_message = "name: use 1 to 50 letters, digits or any of +=,.@_- (a role's name has 64 characters at most, and the module appends to it)."
  }
}

variable "tags" {
  description = "Further tags of everything that the module creates."
  type        = map(string)
  default     = {}

  validation {
    condition     = alltrue([for key in keys(var.tags) : !startswith(key, "egret.dev/")])
    error_message = "tags: take out the keys that begin with egret.dev/; the module sets them, and the policy relies on them."
  }
}

variable "create" {
  description = "false creates nothing, and what there was is destroyed (Elastic IPs only without protect_addresses)."
  type        = bool
  default     = true
}

# Whose rights they are

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
  description = "The service account of the controller. No other program of Egret calls AWS."
  type        = string
  default     = "egret-controller"

  validation {
    condition     = can(regex("^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$", var.service_account))
    error_message = "service_account: give a name that Kubernetes accepts: lower-case letters, digits, '-' and '.'."
  }
}

variable "pod_identity" {
  description = "Creates the role for EKS Pod Identity. eks_cluster_name: the cluster as EKS calls it. associate = false leaves the association of the service account with the role to you (do not disable session tags in it: the role's trust demands them)."
  type = object({
    eks_cluster_name = string
    associate        = optional(bool, true)
  })
  default = null
}

variable "irsa_oidc_provider_arn" {
  description = "Creates the role for IRSA: the ARN of the IAM OIDC provider of the cluster's issuer."
  type        = string
  default     = null

  validation {
    condition     = var.irsa_oidc_provider_arn == null || can(regex("^arn:[^:]+:iam::[0-9]{12}:oidc-provider/.+$", var.irsa_oidc_provider_arn))
    error_message = "irsa_oidc_provider_arn: give the ARN of the IAM OIDC provider, arn:PARTITION:iam::ACCOUNT:oidc-provider/ISSUER, not the URL of the issuer."
  }

  validation {
    condition     = var.irsa_oidc_provider_arn == null || var.pod_identity == null
    error_message = "irsa_oidc_provider_arn, pod_identity: give one of them. With both the controller would use IRSA, since the SDK's chain asks it first."
  }
}

variable "instance_role_names" {
  description = "Roles of instances that get the policy too, for clusters without IRSA and Pod Identity: those of the nodes that the controller runs on. Every pod on the host's network of these nodes then has it."
  type        = list(string)
  default     = []
}

# What they may touch

variable "interface_scope" {
  description = "Which network interfaces the policy lets the controller change. Tags: those with the tags egret.dev/gateway=true and egret.dev/cluster=CLUSTER. Vpc: all of the VPC vpc_id, for gateways whose interfaces cannot be tagged."
  type        = string
  default     = "Tags"

  validation {
    condition     = contains(["Tags", "Vpc"], var.interface_scope)
    error_message = "interface_scope: say Tags or Vpc."
  }
}

variable "vpc_id" {
  description = "The VPC of the gateways. Needed with interface_scope = Vpc and with create_gateway_security_group."
  type        = string
  default     = null

  validation {
    condition     = (var.interface_scope == "Vpc" || var.create_gateway_security_group) == (var.vpc_id != null)
    error_message = "vpc_id: give it with interface_scope = \"Vpc\" or create_gateway_security_group = true, and only then."
  }
}

# Addresses

variable "pools" {
  description = "Elastic IPs by EgressPool. elastic_ips: how many to allocate (an account has 5 in a region until its quota is raised). public_ipv4_pool: from an address pool of your own. network_border_group: of a Local Zone. existing_allocation_ids, existing_tags: Elastic IPs that are there already, by id or by all of these tags; the pool has them too, and the module tags them. allowed_namespace_labels: whom the manifest of the pool admits; {} admits all namespaces, null none."
  type = map(object({
    elastic_ips              = optional(number, 0)
    existing_allocation_ids  = optional(list(string), [])
    existing_tags            = optional(map(string))
    public_ipv4_pool         = optional(string)
    network_border_group     = optional(string)
    allowed_namespace_labels = optional(map(string))
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.pools) : can(regex("^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$", name))])
    error_message = "pools: each key is the name of an EgressPool: lower-case letters, digits and '-', at most 63 characters."
  }

  validation {
    condition     = alltrue([for pool in values(var.pools) : pool.elastic_ips >= 0 && pool.elastic_ips <= 1000 && floor(pool.elastic_ips) == pool.elastic_ips])
    error_message = "pools: elastic_ips is a whole number from 0 to 1000."
  }

  validation {
    condition     = alltrue([for pool in values(var.pools) : pool.elastic_ips > 0 || length(pool.existing_allocation_ids) > 0 || pool.existing_tags != null])
    error_message = "pools: give each one elastic_ips, existing_allocation_ids or existing_tags; without them it has no address."
  }

  validation {
    condition     = alltrue(flatten([for pool in values(var.pools) : [for id in pool.existing_allocation_ids : can(regex("^eipalloc-[0-9a-f]+$", id))]]))
    error_message = "pools: existing_allocation_ids has allocations such as eipalloc-0123456789abcdef0, not addresses."
  }

  # The module's own addresses have tags of Egret, and would be found.
  validation {
    condition     = alltrue([for pool in values(var.pools) : length(coalesce(pool.existing_tags, { a = "" })) > 0 && alltrue([for key in keys(coalesce(pool.existing_tags, {})) : !startswith(key, "egret.dev/")])])
    error_message = "pools: existing_tags has at least one tag, and none that begins with egret.dev/: those the module sets."
  }
}

variable "protect_addresses" {
  description = "Terraform refuses a plan that would release one of the module's Elastic IPs (prevent_destroy): an address that is released is gone for good. To change it later, move the addresses in the state: see Protected addresses."
  type        = bool
  default     = true
}

variable "subnet_cidr_reservations" {
  description = "Ranges that EC2 shall not give to anybody by itself, for pools of private addresses. The range lies in the subnet and no address of it is in use. The private addresses behind Elastic IPs are not from it: EC2 chooses them."
  type = map(object({
    subnet_id   = string
    cidr_block  = string
    description = optional(string, "Static addresses of Egret")
  }))
  default = {}

  validation {
    condition     = alltrue([for range in values(var.subnet_cidr_reservations) : can(cidrhost(range.cidr_block, 0))])
    error_message = "subnet_cidr_reservations: cidr_block is a range such as 10.0.0.64/27 or 2001:db8:0:1::/80."
  }
}

# The cluster

variable "pod_cidrs" {
  description = "Ranges of the pods' addresses, for the Helm values. With the VPC CNI pods have addresses of the VPC: give the VPC's ranges. Leave it empty for CNIs that Egret asks by itself."
  type        = list(string)
  default     = []

  validation {
    condition     = alltrue([for range in var.pod_cidrs : can(cidrhost(range, 0))])
    error_message = "pod_cidrs: give ranges such as 10.0.0.0/16."
  }
}
