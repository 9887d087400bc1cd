# One public subnet in each of two zones: an Elastic IP works where the subnet's router is an internet gateway. Nodes
# have public addresses of their own here, to need no NAT gateway.

data "aws_availability_zones" "available" {
  state = "available"

  # No Local Zones: an Elastic IP stays within its network border group.
  filter {
    name   = "opt-in-status"
    values = ["opt-in-not-required"]
  }
}

locals {
  vpc_cidr = "10.80.0.0/16"
  # The keys are known before anything is made, as for_each needs it.
  subnets = {
    a = { zone = data.aws_availability_zones.available.names[0], cidr_block = cidrsubnet(local.vpc_cidr, 4, 0) }
    b = { zone = data.aws_availability_zones.available.names[1], cidr_block = cidrsubnet(local.vpc_cidr, 4, 1) }
  }
}

resource "aws_vpc" "this" {
  cidr_block           = local.vpc_cidr
  enable_dns_hostnames = true
  tags                 = { Name = var.name }
}

resource "aws_internet_gateway" "this" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_subnet" "public" {
  for_each = local.subnets

  vpc_id                  = aws_vpc.this.id
  availability_zone       = each.value.zone
  cidr_block              = each.value.cidr_block
  map_public_ip_on_launch = true
  tags                    = { Name = "${var.name}-${each.key}" }
}

resource "aws_route_table" "public" {
  vpc_id = aws_vpc.this.id
  tags   = { Name = var.name }
}

resource "aws_route" "internet" {
  route_table_id         = aws_route_table.public.id
  destination_cidr_block = "0.0.0.0/0"
  gateway_id             = aws_internet_gateway.this.id
}

resource "aws_route_table_association" "public" {
  for_each = aws_subnet.public

  subnet_id      = each.value.id
  route_table_id = aws_route_table.public.id
}
