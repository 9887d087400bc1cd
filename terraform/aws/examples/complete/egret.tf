module "egret" {
  source = "../.."

  cluster_name = aws_eks_cluster.this.name
  pod_identity = { eks_cluster_name = aws_eks_cluster.this.name }

  pools = {
    public = {
      elastic_ips              = var.elastic_ips
      allowed_namespace_labels = { egress = "public" }
    }
  }

  # An example goes away again. Leave this out where partners know the addresses.
  protect_addresses = false

  # All nodes have the cluster's own security group, which lets itself in: the tunnel needs no rules here
  # (node_security_groups).
  vpc_id                        = aws_vpc.this.id
  create_gateway_security_group = true

  gateway_interfaces = {
    for zone, subnet in aws_subnet.public : zone => {
      subnet_id     = subnet.id
      instance_id   = aws_instance.gateway[zone].id
      instance_type = var.gateway_instance_type
    }
  }

  # With the VPC CNI pods have addresses of the VPC.
  pod_cidrs = [local.vpc_cidr]
}
