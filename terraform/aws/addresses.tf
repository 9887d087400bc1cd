# Two of a kind, since prevent_destroy takes no variable. The one that existing states have is the protected one: it is the
# default, and a plan against protect_addresses = false is refused until the state says so too.
resource "aws_eip" "pool" {
  for_each = var.protect_addresses ? local.elastic_ips : {}

  domain               = "vpc"
  public_ipv4_pool     = each.value.public_ipv4_pool
  network_border_group = each.value.network_border_group
  tags                 = each.value.tags

  lifecycle {
    prevent_destroy = true
    # Egret moves them while Terraform is not looking.
    ignore_changes = [instance, network_interface, associate_with_private_ip]
  }
}

resource "aws_eip" "unprotected" {
  for_each = var.protect_addresses ? {} : local.elastic_ips

  domain               = "vpc"
  public_ipv4_pool     = each.value.public_ipv4_pool
  network_border_group = each.value.network_border_group
  tags                 = each.value.tags

  lifecycle {
    ignore_changes = [instance, network_interface, associate_with_private_ip]
  }
}

data "aws_eips" "existing" {
  for_each = { for name, pool in var.pools : name => pool.existing_tags if var.create && pool.existing_tags != null }

  tags = each.value

  lifecycle {
    postcondition {
      condition     = length(self.allocation_ids) > 0
      error_message = "pools: no Elastic IP of this account and region has all of the existing_tags of ${each.key}."
    }
  }
}

locals {
  created_addresses = merge(aws_eip.pool, aws_eip.unprotected)

  existing_addresses = merge([
    for name, pool in var.pools : {
      for id in setunion(pool.existing_allocation_ids, try(data.aws_eips.existing[name].allocation_ids, [])) :
      "${name}/${id}" => { pool = name, id = id }
    } if var.create
  ]...)

  existing_address_tags = merge([
    for key, address in local.existing_addresses : {
      for tag, value in merge(local.elastic_ip_tags, { "egret.dev/pool" = address.pool }) :
      "${key}/${tag}" => { id = address.id, key = tag, value = value }
    }
  ]...)
}

data "aws_eip" "existing" {
  for_each = local.existing_addresses

  id = each.value.id
}

# By these the policy lets the controller have them, and the pool finds them. The addresses stay yours: destroying takes
# the tags away.
resource "aws_ec2_tag" "existing" {
  for_each = local.existing_address_tags

  resource_id = each.value.id
  key         = each.value.key
  value       = each.value.value

  lifecycle {
    precondition {
      condition     = length(distinct(values(local.existing_addresses)[*].id)) == length(local.existing_addresses)
      error_message = "pools: two pools have an Elastic IP in common (existing_allocation_ids, existing_tags): an address is in one pool."
    }
  }
}

resource "aws_ec2_subnet_cidr_reservation" "this" {
  for_each = { for key, reservation in var.subnet_cidr_reservations : key => reservation if var.create }

  subnet_id   = each.value.subnet_id
  cidr_block  = each.value.cidr_block
  description = each.value.description
  # The other kind is for delegated prefixes, which EC2 takes from the range by itself.
  reservation_type = "explicit"
}
