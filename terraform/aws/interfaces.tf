# Interfaces for gateways that are made elsewhere.

locals {
  # The VPC CNI would give the interface's addresses to pods, and delete it from an idle node. It ignores the tag on an
  # instance's first interface: https://github.com/aws/amazon-vpc-cni-k8s/issues/1510
  gateway_interface_tags = merge(local.interface_tags, { "node.k8s.amazonaws.com/no_manage" = "true" })

  gateway_instance_types = toset(compact(concat(
    values(var.gateway_interfaces)[*].instance_type,
    values(var.gateway_groups)[*].instance_type,
  )))

  # How many interfaces the first network card takes; the VPC CNI uses no other.
  interface_limits = {
    for type, data in data.aws_ec2_instance_type.gateway : type =>
    one([for card in data.network_cards : card.maximum_interfaces if card.index == 0])
  }
}

data "aws_ec2_instance_type" "gateway" {
  for_each = var.create ? local.gateway_instance_types : toset([])

  instance_type = each.value

  lifecycle {
    postcondition {
      condition     = one([for card in self.network_cards : card.maximum_interfaces if card.index == 0]) >= 2
      error_message = "gateway_interfaces, gateway_groups: the instance_type ${each.value} takes one interface only: choose a larger one."
    }
  }
}

resource "aws_network_interface" "gateway" {
  for_each = { for key, interface in var.gateway_interfaces : key => interface if var.create }

  description     = "Egret gateway ${each.key} of ${var.cluster_name}"
  subnet_id       = each.value.subnet_id
  security_groups = length(each.value.security_group_ids) > 0 ? each.value.security_group_ids : local.gateway_security_group_ids

  # A block and not a resource of its own: an instance that is made in the same run has no id at the time when the
  # keys of for_each have to be known.
  dynamic "attachment" {
    for_each = each.value.instance_id == null ? [] : [each.value]

    content {
      instance = attachment.value.instance_id
      # The last one: on a running node the VPC CNI takes the lowest that is free, and would be there first.
      device_index = attachment.value.device_index != null ? attachment.value.device_index : local.interface_limits[attachment.value.instance_type] - 1
    }
  }

  tags = merge(var.tags, local.gateway_interface_tags, { Name = "${local.name}-gateway-${each.key}" })

  lifecycle {
    # Egret assigns and moves them while Terraform is not looking.
    ignore_changes = [
      private_ips, private_ips_count, private_ip_list,
      ipv6_addresses, ipv6_address_count, ipv6_address_list,
    ]
  }
}
