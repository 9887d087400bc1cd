resource "aws_network_interface" "gateway" {
  for_each = var.gateway_interfaces

  description     = "Egret gateway ${each.key} of ${var.cluster_name}"
  subnet_id       = each.value.subnet_id
  security_groups = each.value.security_group_ids

  # A block and not a resource of its own: an instance that is made in the same run has no id at the time when the
  # keys of for_each have to be known.
  dynamic "attachment" {
    for_each = each.value.instance_id == null ? [] : [each.value]

    content {
      instance     = attachment.value.instance_id
      device_index = attachment.value.device_index
    }
  }

  tags = merge(var.tags, local.interface_tags, {
    Name = "${local.name}-gateway-${each.key}"
    # The VPC CNI would give the interface's addresses to pods, and delete it from an idle node. It ignores the tag on
    # an instance's first interface: https://github.com/aws/amazon-vpc-cni-k8s/issues/1510
    "node.k8s.amazonaws.com/no_manage" = "true"
  })

  lifecycle {
    # Egret assigns and moves them while Terraform is not looking.
    ignore_changes = [
      private_ips, private_ips_count, private_ip_list,
      ipv6_addresses, ipv6_address_count, ipv6_address_list,
    ]
  }
}
