# Between the nodes

variable "node_security_groups" {
  description = "Security groups of the nodes, gateways and others, by names of your choice: UDP tunnel_port and peers_port are opened between all of them. Not needed where all nodes have one group that lets itself in, as the cluster security group of EKS does; the node group of terraform-aws-modules/eks opens TCP only."
  type        = map(string)
  default     = {}
}

variable "tunnel_port" {
  description = "UDP port of the tunnel, for the security groups and the Helm values."
  type        = number
  default     = 5480

  validation {
    condition     = var.tunnel_port >= 1 && var.tunnel_port <= 65535 && floor(var.tunnel_port) == var.tunnel_port
    error_message = "tunnel_port: give a port, 1 to 65535."
  }
}

variable "peers_port" {
  description = "UDP port of the agents' messages, for the security groups and the Helm values."
  type        = number
  default     = 5481

  validation {
    condition     = var.peers_port >= 1 && var.peers_port <= 65535 && floor(var.peers_port) == var.peers_port && var.peers_port != var.tunnel_port
    error_message = "peers_port: give a port, 1 to 65535, other than tunnel_port."
  }
}

# Gateways

variable "create_gateway_security_group" {
  description = "Creates the security group of the interfaces that carry addresses, in vpc_id. It lets all TCP and UDP ports in from everywhere and all out, so that EC2 does not track flows there: connections outlive a move, and no table of EC2 gets full. Interfaces without groups of their own get it."
  type        = bool
  default     = false
}

variable "gateway_interfaces" {
  description = "Network interfaces that carry addresses, beside the first one of each gateway. security_group_ids: default is the module's group. instance_id attaches one; without it attaching is yours. device_index: where; null: the last one that instance_type has, since the VPC CNI takes the lowest free one. A gateway with several gets the room of all of them: give all but one a device_index. An interface outlives its instance, and with it its addresses."
  type = map(object({
    subnet_id          = string
    security_group_ids = optional(list(string), [])
    instance_id        = optional(string)
    instance_type      = optional(string)
    device_index       = optional(number)
  }))
  default = {}

  validation {
    condition     = var.create_gateway_security_group || alltrue([for interface in values(var.gateway_interfaces) : length(interface.security_group_ids) > 0])
    error_message = "gateway_interfaces: name at least one of security_group_ids, or say create_gateway_security_group = true; the VPC's default group lets no packet of a connection in after its address has moved."
  }

  validation {
    condition     = alltrue([for interface in values(var.gateway_interfaces) : coalesce(interface.device_index, 1) >= 1])
    error_message = "gateway_interfaces: device_index is 1 or more; 0 is the instance's first interface, which is there already."
  }

  validation {
    condition     = alltrue([for interface in values(var.gateway_interfaces) : interface.instance_id == null || interface.device_index != null || interface.instance_type != null])
    error_message = "gateway_interfaces: with instance_id give its instance_type, of which the last device index is taken, or a device_index."
  }

  validation {
    condition = length(distinct([
      for interface in values(var.gateway_interfaces) : "${interface.instance_id} ${interface.device_index == null ? "last" : interface.device_index}" if interface.instance_id != null
    ])) == length([for interface in values(var.gateway_interfaces) : interface if interface.instance_id != null])
    error_message = "gateway_interfaces: two interfaces of one instance have the same device index: give each another device_index, or all but one."
  }
}

variable "gateway_groups" {
  description = "Gateways by launch template, and by a group of Auto Scaling from it unless autoscaling = false; each in one zone. subnet_id: of the first interface, a private subnet with a way out such as a NAT gateway (an instance with two interfaces gets no public address at launch). egress_subnet_id: of the interface that carries addresses, in the same zone; for Elastic IPs its default route is an internet gateway; null: subnet_id. security_group_ids: of the first interface, the nodes'. egress_security_group_ids: default is the module's group. user_data: plain text; null: that of an Amazon Linux 2023 image of EKS for eks_cluster. max_pods: null: what instance_type has without the egress interfaces; give it with prefix delegation. egress_interfaces: how many interfaces carry addresses; what they can take adds up, and pods have as many interfaces less."
  type = map(object({
    subnet_id                 = string
    egress_subnet_id          = optional(string)
    image_id                  = string
    instance_type             = optional(string, "t3.medium")
    instance_profile_name     = string
    security_group_ids        = list(string)
    egress_security_group_ids = optional(list(string), [])
    egress_interfaces         = optional(number, 1)
    user_data                 = optional(string)
    max_pods                  = optional(number)
    autoscaling               = optional(bool, true)
    size                      = optional(number, 1)
  }))
  default = {}

  validation {
    condition     = alltrue([for name in keys(var.gateway_groups) : can(regex("^[0-9A-Za-z][0-9A-Za-z_-]{0,31}$", name))])
    error_message = "gateway_groups: each key is a part of names: letters, digits, '_' and '-', at most 32 characters."
  }

  validation {
    condition     = alltrue([for group in values(var.gateway_groups) : length(group.security_group_ids) > 0 && (var.create_gateway_security_group || length(group.egress_security_group_ids) > 0)])
    error_message = "gateway_groups: name at least one of security_group_ids, and of egress_security_group_ids unless create_gateway_security_group = true."
  }

  validation {
    condition     = alltrue([for group in values(var.gateway_groups) : group.size >= 1 && floor(group.size) == group.size])
    error_message = "gateway_groups: size is a whole number from 1."
  }

  validation {
    condition     = alltrue([for group in values(var.gateway_groups) : group.egress_interfaces >= 1 && floor(group.egress_interfaces) == group.egress_interfaces])
    error_message = "gateway_groups: egress_interfaces is a whole number from 1."
  }

  validation {
    condition     = alltrue([for group in values(var.gateway_groups) : group.user_data != null || var.eks_cluster != null])
    error_message = "gateway_groups: give eks_cluster, or to each group the user_data that makes it a node."
  }
}

variable "eks_cluster" {
  description = "The cluster that instances of gateway_groups join, as aws_eks_cluster has it: name, endpoint, certificate_authority[0].data, kubernetes_network_config[0].service_ipv4_cidr. The role of instance_profile_name needs an access entry of type EC2_LINUX."
  type = object({
    name                  = string
    endpoint              = string
    certificate_authority = string
    service_cidr          = string
  })
  default = null
}

variable "gateway_node_labels" {
  description = "Labels of the nodes that are gateways: instances of gateway_groups get them with eks_cluster, the pools' manifests select by them, and the chart's controllers keep off them (controller.avoidNodeLabels)."
  type        = map(string)
  default     = { "egret.dev/gateway" = "true" }

  validation {
    condition     = length(var.gateway_node_labels) > 0
    error_message = "gateway_node_labels: give at least one; with none all nodes would be gateways."
  }
}
