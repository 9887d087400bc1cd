# Gateways are instances of their own, one in each zone, since each has an interface that its node group could not give
# it: no launch template tags its second interface alone.

data "aws_ssm_parameter" "image" {
  name = "/aws/service/eks/optimized-ami/${var.kubernetes_version}/amazon-linux-2023/x86_64/standard/recommended/image_id"
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

resource "aws_security_group" "gateway" {
  name        = "${var.name}-gateway"
  description = "The interfaces that carry addresses"
  vpc_id      = aws_vpc.this.id
}

resource "aws_vpc_security_group_egress_rule" "gateway" {
  security_group_id = aws_security_group.gateway.id
  ip_protocol       = "-1"
  cidr_ipv4         = "0.0.0.0/0"
}

# A security group lets answers in by what it has seen leave. The interface that an address has moved to has seen
# nothing: these rules are what its connections need. Egret's ports begin at 1024; what no connection of a claim waits
# for is dropped by Egret (docs/operations.md, no_block and not_established).
resource "aws_vpc_security_group_ingress_rule" "answers" {
  for_each = toset(["tcp", "udp"])

  security_group_id = aws_security_group.gateway.id
  ip_protocol       = each.value
  from_port         = 1024
  to_port           = 65535
  cidr_ipv4         = "0.0.0.0/0"
}

# Destination unreachable, with it "fragmentation needed".
resource "aws_vpc_security_group_ingress_rule" "unreachable" {
  security_group_id = aws_security_group.gateway.id
  ip_protocol       = "icmp"
  from_port         = 3
  to_port           = -1
  cidr_ipv4         = "0.0.0.0/0"
}
