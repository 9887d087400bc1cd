resource "aws_iam_policy" "controller" {
  count = var.create ? 1 : 0

  name        = "${local.name}-controller"
  description = "What Egret's controller does in EC2 for the cluster ${var.cluster_name}"
  policy      = local.policy_json
  tags        = var.tags
}

# It had no count once.
moved {
  from = aws_iam_policy.controller
  to   = aws_iam_policy.controller[0]
}

resource "aws_iam_role" "irsa" {
  count = var.create && var.irsa_oidc_provider_arn != null ? 1 : 0

  name               = "${local.name}-irsa"
  description        = "Egret's controller in the cluster ${var.cluster_name}, by IRSA"
  assume_role_policy = local.irsa_trust_json
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "irsa" {
  count = length(aws_iam_role.irsa)

  role       = aws_iam_role.irsa[count.index].name
  policy_arn = aws_iam_policy.controller[0].arn
}

resource "aws_iam_role" "pod_identity" {
  count = var.create && var.pod_identity != null ? 1 : 0

  name               = "${local.name}-pod-identity"
  description        = "Egret's controller in the cluster ${var.cluster_name}, by EKS Pod Identity"
  assume_role_policy = local.pod_identity_trust_json
  tags               = var.tags
}

resource "aws_iam_role_policy_attachment" "pod_identity" {
  count = length(aws_iam_role.pod_identity)

  role       = aws_iam_role.pod_identity[count.index].name
  policy_arn = aws_iam_policy.controller[0].arn
}

resource "aws_eks_pod_identity_association" "controller" {
  count = var.create && try(var.pod_identity.associate, false) ? 1 : 0

  cluster_name    = var.pod_identity.eks_cluster_name
  namespace       = var.namespace
  service_account = var.service_account
  role_arn        = aws_iam_role.pod_identity[count.index].arn
  tags            = var.tags
}

resource "aws_iam_role_policy_attachment" "instance" {
  for_each = var.create ? toset(var.instance_role_names) : toset([])

  role       = each.value
  policy_arn = aws_iam_policy.controller[0].arn
}
