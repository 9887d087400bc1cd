# Gateways by hand: an instance in each zone, launched with one interface, so that it gets a public address; the module
# attaches the second one. ../autoscaling has them by launch template, in private subnets.

data "aws_ssm_parameter" "image" {
  name = "/aws/service/eks/optimized-ami/${var.kubernetes_version}/amazon-linux-2023/x86_64/standard/recommended/image_id"
}

data "aws_ec2_instance_type" "gateway" {
  instance_type = var.gateway_instance_type
}

locals {
  # The VPC CNI has one interface less than EKS counts on, and two pods are on the host's network.
  gateway_max_pods = (data.aws_ec2_instance_type.gateway.maximum_network_interfaces - 1) * (data.aws_ec2_instance_type.gateway.maximum_ipv4_addresses_per_interface - 1) + 2
}

resource "aws_eks_access_entry" "gateway" {
  cluster_name  = aws_eks_cluster.this.name
  principal_arn = aws_iam_role.node["gateway"].arn
  type          = "EC2_LINUX"
}

resource "aws_iam_instance_profile" "gateway" {
  name = "${var.name}-gateway"
  role = aws_iam_role.node["gateway"].name
}

resource "aws_instance" "gateway" {
  for_each = aws_subnet.public

  ami                    = data.aws_ssm_parameter.image.insecure_value
  instance_type          = var.gateway_instance_type
  subnet_id              = each.value.id
  iam_instance_profile   = aws_iam_instance_profile.gateway.name
  vpc_security_group_ids = [aws_eks_cluster.this.vpc_config[0].cluster_security_group_id]

  metadata_options {
    http_tokens = "required"
    # The agent is on the host's network: one hop.
    http_put_response_hop_limit = 1
  }

  # https://awslabs.github.io/amazon-eks-ami/nodeadm
  user_data = <<-EOT
    MIME-Version: 1.0
    Content-Type: multipart/mixed; boundary="egret"

    --egret
    Content-Type: application/node.eks.aws

    ---
    apiVersion: node.eks.aws/v1alpha1
    kind: NodeConfig
    spec:
      cluster:
        name: ${aws_eks_cluster.this.name}
        apiServerEndpoint: ${aws_eks_cluster.this.endpoint}
        certificateAuthority: ${aws_eks_cluster.this.certificate_authority[0].data}
        cidr: ${aws_eks_cluster.this.kubernetes_network_config[0].service_ipv4_cidr}
      kubelet:
        config:
          maxPods: ${local.gateway_max_pods}
        flags:
        - --node-labels=egret.dev/gateway=true

    --egret--
  EOT

  tags = {
    Name                                = "${var.name}-gateway-${each.key}"
    "kubernetes.io/cluster/${var.name}" = "owned"
  }

  lifecycle {
    # A new image of EKS is no reason to replace a gateway; drain it and say -replace when you want it.
    ignore_changes = [ami]
  }

  depends_on = [
    aws_eks_access_entry.gateway,
    aws_iam_role_policy_attachment.node,
    aws_eks_addon.early,
    aws_route.internet,
    aws_route_table_association.public,
  ]
}
