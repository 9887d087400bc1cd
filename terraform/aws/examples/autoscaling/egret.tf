module "egret" {
  source = "../.."

  cluster_name = var.cluster_name
  pod_identity = { eks_cluster_name = var.cluster_name }

  pools = {
    public = {
      elastic_ips              = var.elastic_ips
      existing_tags            = var.existing_tags
      allowed_namespace_labels = { egress = "public" }
    }
  }

  vpc_id                        = data.aws_eks_cluster.this.vpc_config[0].vpc_id
  create_gateway_security_group = true
  node_security_groups          = var.node_security_group_id == null ? {} : { nodes = var.node_security_group_id }

  eks_cluster = {
    name                  = data.aws_eks_cluster.this.name
    endpoint              = data.aws_eks_cluster.this.endpoint
    certificate_authority = data.aws_eks_cluster.this.certificate_authority[0].data
    service_cidr          = data.aws_eks_cluster.this.kubernetes_network_config[0].service_ipv4_cidr
  }

  # A group in each zone: a gateway that is replaced comes back there.
  gateway_groups = {
    for zone, subnets in var.zones : zone => {
      subnet_id             = subnets.private_subnet_id
      egress_subnet_id      = subnets.public_subnet_id
      image_id              = data.aws_ssm_parameter.image.insecure_value
      instance_type         = var.gateway_instance_type
      instance_profile_name = aws_iam_instance_profile.gateway.name
      # One of the two: the AWS Load Balancer Controller wants a single group with the cluster's tag.
      security_group_ids = [coalesce(var.node_security_group_id, data.aws_eks_cluster.this.vpc_config[0].cluster_security_group_id)]
    }
  }

  pod_cidrs = var.pod_cidrs
}
