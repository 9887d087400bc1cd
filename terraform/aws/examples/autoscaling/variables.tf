variable "region" {
  description = "Where the cluster is."
  type        = string
}

variable "cluster_name" {
  description = "An EKS cluster that is there already, with the Amazon VPC CNI and the addon eks-pod-identity-agent."
  type        = string
}

variable "zones" {
  description = "A gateway for each key, such as a and b. private_subnet_id: of the node's own interface; its way out is a NAT gateway. public_subnet_id: of the interface that carries Elastic IPs, in the same zone; its way out is an internet gateway."
  type = map(object({
    private_subnet_id = string
    public_subnet_id  = string
  }))

  validation {
    condition     = length(var.zones) >= 2
    error_message = "zones: give two at least; with one gateway there is no other to take an address over."
  }
}

variable "node_security_group_id" {
  description = "The security group of the nodes, which gateways get too: with terraform-aws-modules/eks its node_security_group_id. null: the cluster's own, as nodes of EKS have it; it lets itself in, and needs no rules."
  type        = string
  default     = null
}

variable "gateway_instance_type" {
  description = "Instances that carry addresses, of x86_64. Its IPv4 addresses per interface, less one, are how many a tagged interface can carry: 5 for t3.medium, which has one here; with egress_interfaces = 2 in the module's gateway_groups 10."
  type        = string
  default     = "t3.medium"
}

variable "elastic_ips" {
  description = "Elastic IPs of the pool to allocate."
  type        = number
  default     = 2
}

variable "existing_tags" {
  description = "Elastic IPs with all of these tags are in the pool too."
  type        = map(string)
  default     = null
}

variable "pod_cidrs" {
  description = "Ranges of the pods' addresses: the VPC's, with the VPC CNI."
  type        = list(string)
}
