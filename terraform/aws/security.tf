locals {
  # Each group lets each in: the tunnel has a pod's packets for gateways, and answers go back.
  node_rules = merge(flatten([
    for target in keys(var.node_security_groups) : [
      for source in keys(var.node_security_groups) : {
        for purpose, port in { tunnel = var.tunnel_port, peers = var.peers_port } :
        "${target}-from-${source}-${purpose}" => { target = target, source = source, purpose = purpose, port = port }
      }
    ]
  ])...)

  gateway_security_group_ids = aws_security_group.gateway[*].id

  everywhere = { ipv4 = "0.0.0.0/0", ipv6 = "::/0" }
}

resource "aws_vpc_security_group_ingress_rule" "nodes" {
  for_each = { for key, rule in local.node_rules : key => rule if var.create }

  description                  = "Egret ${each.value.purpose}"
  security_group_id            = var.node_security_groups[each.value.target]
  referenced_security_group_id = var.node_security_groups[each.value.source]
  ip_protocol                  = "udp"
  from_port                    = each.value.port
  to_port                      = each.value.port
  tags                         = var.tags
}

resource "aws_security_group" "gateway" {
  count = var.create && var.create_gateway_security_group ? 1 : 0

  name        = "${local.name}-gateway"
  description = "Interfaces that carry egress addresses of ${var.cluster_name}"
  vpc_id      = var.vpc_id
  tags        = merge(var.tags, { Name = "${local.name}-gateway" })
}

# A security group lets answers in by what it has seen leave, and the interface that an address has moved to has seen
# nothing. EC2 does not track a flow at all where one rule lets everything of its protocol in from everywhere, from port
# 0, and another one everything out to everywhere: then no connection depends on what was seen, and none is refused
# because the instance's table of connections is full (conntrack_allowance_exceeded). From port 1024 it would be tracked.
# https://docs.aws.amazon.com/AWSEC2/latest/UserGuide/security-group-connection-tracking.html#untracked-connections
#
# What no connection of a claim waits for is dropped by Egret (docs/operations.md, no_block and not_established).
resource "aws_vpc_security_group_ingress_rule" "gateway" {
  for_each = {
    for pair in setproduct(["tcp", "udp"], keys(local.everywhere)) : "${pair[0]}-${pair[1]}" => { protocol = pair[0], family = pair[1] }
    if var.create && var.create_gateway_security_group
  }

  security_group_id = one(local.gateway_security_group_ids)
  ip_protocol       = each.value.protocol
  from_port         = 0
  to_port           = 65535
  cidr_ipv4         = each.value.family == "ipv4" ? local.everywhere.ipv4 : null
  cidr_ipv6         = each.value.family == "ipv6" ? local.everywhere.ipv6 : null
  tags              = var.tags
}

# Destination unreachable, with IPv4's "fragmentation needed", and IPv6's "packet too big". ICMP is always tracked.
resource "aws_vpc_security_group_ingress_rule" "unreachable" {
  for_each = {
    for key, rule in {
      "ipv4"         = { protocol = "icmp", type = 3, family = "ipv4" }
      "ipv6"         = { protocol = "icmpv6", type = 1, family = "ipv6" }
      "ipv6-too-big" = { protocol = "icmpv6", type = 2, family = "ipv6" }
    } : key => rule if var.create && var.create_gateway_security_group
  }

  security_group_id = one(local.gateway_security_group_ids)
  ip_protocol       = each.value.protocol
  from_port         = each.value.type
  to_port           = -1
  cidr_ipv4         = each.value.family == "ipv4" ? local.everywhere.ipv4 : null
  cidr_ipv6         = each.value.family == "ipv6" ? local.everywhere.ipv6 : null
  tags              = var.tags
}

resource "aws_vpc_security_group_egress_rule" "gateway" {
  for_each = { for family, range in local.everywhere : family => range if var.create && var.create_gateway_security_group }

  security_group_id = one(local.gateway_security_group_ids)
  ip_protocol       = "-1"
  cidr_ipv4         = each.key == "ipv4" ? each.value : null
  cidr_ipv6         = each.key == "ipv6" ? each.value : null
  tags              = var.tags
}
