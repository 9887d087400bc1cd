# What an instance needs to become a node of the cluster. Egret's rights are the controller's, not the node's.

data "aws_partition" "current" {}

data "aws_eks_cluster" "this" {
  name = var.cluster_name
}

data "aws_ssm_parameter" "image" {
  name = "/aws/service/eks/optimized-ami/${data.aws_eks_cluster.this.version}/amazon-linux-2023/x86_64/standard/recommended/image_id"
}

resource "aws_iam_role" "gateway" {
  name = "${var.cluster_name}-egret-gateway"
  assume_role_policy = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "ec2.amazonaws.com" }
      Action    = "sts:AssumeRole"
    }]
  })
}

resource "aws_iam_role_policy_attachment" "gateway" {
  for_each = toset(["AmazonEKSWorkerNodePolicy", "AmazonEKS_CNI_Policy", "AmazonEC2ContainerRegistryPullOnly"])

  role       = aws_iam_role.gateway.name
  policy_arn = "arn:${data.aws_partition.current.partition}:iam::aws:policy/${each.value}"
}

resource "aws_iam_instance_profile" "gateway" {
  name = aws_iam_role.gateway.name
  role = aws_iam_role.gateway.name

  # A node that starts before it may join is late at best.
  depends_on = [aws_iam_role_policy_attachment.gateway, aws_eks_access_entry.gateway]
}

# The cluster's authentication_mode is API or API_AND_CONFIG_MAP.
resource "aws_eks_access_entry" "gateway" {
  cluster_name  = var.cluster_name
  principal_arn = aws_iam_role.gateway.arn
  type          = "EC2_LINUX"
}
