variable "project" {
  description = "The project's id. It exists, with billing."
  type        = string
}

variable "region" {
  description = "Where all of it is made."
  type        = string
  default     = "europe-west3"
}

variable "name" {
  description = "Name of the cluster, and of what belongs to it."
  type        = string
  default     = "egret-example"

  validation {
    condition     = can(regex("^[a-z][a-z0-9-]{2,22}[a-z0-9]$", var.name))
    error_message = "name: begin with a lower-case letter, go on with lower-case letters, digits or '-', 4 to 24 characters."
  }
}

variable "kubernetes_version" {
  description = "Version of GKE; Egret needs 1.33 or newer."
  type        = string
  default     = "1.33"

  validation {
    condition     = can(regex("^1\\.(3[3-9]|[4-9][0-9])$", var.kubernetes_version))
    error_message = "kubernetes_version: give a minor version from 1.33 on, such as 1.33."
  }
}

variable "worker_machine_type" {
  description = "Instances that run pods."
  type        = string
  default     = "e2-standard-2"
}

variable "gateway_machine_type" {
  description = "Instances that carry addresses."
  type        = string
  default     = "e2-standard-2"
}

variable "addresses" {
  description = "Addresses of the pool. A region has a quota of static addresses."
  type        = number
  default     = 2
}
