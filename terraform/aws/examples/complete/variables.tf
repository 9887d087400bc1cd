variable "region" {
  description = "Where all of it is made."
  type        = string
  default     = "eu-central-1"
}

variable "name" {
  description = "Name of the cluster, and of what belongs to it."
  type        = string
  default     = "egret-example"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{0,39}$", var.name))
    error_message = "name: begin with a lower-case letter, go on with lower-case letters, digits or '-', at most 40 characters."
  }
}

variable "kubernetes_version" {
  description = "Version of EKS; Egret needs 1.33 or newer."
  type        = string
  default     = "1.33"

  validation {
    condition     = can(regex("^1\\.(3[3-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version: give a minor version from 1.33 on, such as 1.33."
  }
}

variable "worker_instance_type" {
  description = "Instances that run pods."
  type        = string
  default     = "t3.medium"
}

variable "gateway_instance_type" {
  description = "Instances that carry addresses. Its IPv4 addresses per interface, less one, are how many a tagged interface can carry: 5 for t3.medium, which has one here. A second one of gateway_interfaces, with a device_index, adds as many."
  type        = string
  default     = "t3.medium"
}

variable "elastic_ips" {
  description = "Elastic IPs of the pool. An account has 5 in a region until its quota is raised."
  type        = number
  default     = 2
}
