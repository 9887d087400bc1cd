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

  gateway_interfaces = {
    for zone, subnet in aws_subnet.public : zone => {
      subnet_id          = subnet.id
      security_group_ids = [aws_security_group.gateway.id]
      instance_id        = aws_instance.gateway[zone].id
    }
  }

  # With the VPC CNI pods have addresses of the VPC.
  pod_cidrs = [local.vpc_cidr]
}
