resource "aws_eip" "pool" {
  for_each = local.elastic_ips

  domain               = "vpc"
  public_ipv4_pool     = each.value.public_ipv4_pool
  network_border_group = each.value.network_border_group

  tags = merge(var.tags, local.elastic_ip_tags, {
    Name             = "${local.name}-${each.key}"
    "egret.dev/pool" = each.value.pool
  })

  lifecycle {
    # Egret moves them while Terraform is not looking.
    ignore_changes = [instance, network_interface, associate_with_private_ip]
  }
}

resource "aws_ec2_subnet_cidr_reservation" "this" {
  for_each = var.subnet_cidr_reservations

  subnet_id   = each.value.subnet_id
  cidr_block  = each.value.cidr_block
  description = each.value.description
  # The other kind is for delegated prefixes, which EC2 takes from the range by itself.
  reservation_type = "explicit"
}
