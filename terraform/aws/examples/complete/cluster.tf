# ARNs begin otherwise in GovCloud and in China.
data "aws_partition" "current" {}

resource "aws_iam_role" "cluster" {
  name = "${var.name}-cluster"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
    }]
  })
}

resource "aws_iam_role_policy_attachment" "cluster" {
  role       = aws_iam_role.cluster.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/AmazonEKSClusterPolicy"
}

resource "aws_eks_cluster" "this" {
  name     = var.name
  version  = var.kubernetes_version
  role_arn = aws_iam_role.cluster.arn

  # They come as addons below, which would find these in their way.
  bootstrap_self_managed_addons = false

  access_config {
    authentication_mode                         = "API"
    bootstrap_cluster_creator_admin_permissions = true
  }

  vpc_config {
    subnet_ids              = values(aws_subnet.public)[*].id
    endpoint_private_access = true
    endpoint_public_access  = true
  }

  depends_on = [aws_iam_role_policy_attachment.cluster]
}

# Workers and gateways have a role each.
resource "aws_iam_role" "node" {
  for_each = toset(["worker", "gateway"])

  name = "${var.name}-${each.key}"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

locals {
  node_policies = ["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"]
}

resource "aws_iam_role_policy_attachment" "node" {
  for_each = {
    for pair in setproduct(keys(aws_iam_role.node), local.node_policies) : "${pair[0]}-${pair[1]}" => pair
  }

  role       = aws_iam_role.node[each.value[0]].name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/${each.value[1]}"
}

# The agent of Pod Identity is what gives the controller the module's role.
resource "aws_eks_addon" "early" {
  for_each = toset(["vpc-cni", "kube-proxy", "eks-pod-identity-agent"])

  cluster_name = aws_eks_cluster.this.name
  addon_name   = each.value
}

resource "aws_eks_node_group" "workers" {
  cluster_name    = aws_eks_cluster.this.name
  node_group_name = "workers"
  node_role_arn   = aws_iam_role.node["worker"].arn
  subnet_ids      = values(aws_subnet.public)[*].id
  instance_types  = [var.worker_instance_type]

  scaling_config {
    desired_size = 2
    min_size     = 2
    max_size     = 4
  }

  depends_on = [
    aws_iam_role_policy_attachment.node,
    aws_eks_addon.early,
    aws_route.internet,
    aws_route_table_association.public,
  ]
}

resource "aws_eks_addon" "dns" {
  cluster_name = aws_eks_cluster.this.name
  addon_name   = "coredns"

  # Its pods need a node to become ready.
  depends_on = [aws_eks_node_group.workers]
}

resource "aws_ecr_repository" "egret" {
  name         = "${var.name}/egret"
  force_delete = true
}
