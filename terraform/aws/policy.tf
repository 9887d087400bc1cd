# What the controller may do: the calls of providers/aws/ec2-calls.txt and no other. It never allocates, releases or
# tags an address, and never makes or deletes an interface: only Terraform does.
#
# Resources and condition keys by action:
# https://docs.aws.amazon.com/service-authorization/latest/reference/list_ec2.html

locals {
  name = coalesce(var.name, "egret-${var.cluster_name}")

  elastic_ip_tags = { "egret.dev/cluster" = var.cluster_name }
  interface_tags = {
    "egret.dev/gateway" = "true"
    "egret.dev/cluster" = var.cluster_name
  }

  elastic_ip_arn = "arn:${local.partition}:ec2:${local.region}:${local.account_id}:elastic-ip/*"
  interface_arn  = "arn:${local.partition}:ec2:${local.region}:${local.account_id}:network-interface/*"

  # Both keys are there for the network-interface of every action below.
  interface_conditions = {
    Tags = {
      StringEquals = {
        "ec2:ResourceTag/egret.dev/gateway" = "true"
        "ec2:ResourceTag/egret.dev/cluster" = var.cluster_name
      }
    }
    Vpc = {
      ArnEquals = {
        "ec2:Vpc" = "arn:${local.partition}:ec2:${local.region}:${local.account_id}:vpc/${coalesce(var.vpc_id, "none")}"
      }
    }
  }

  policy_statements = [
    {
      Sid    = "Read"
      Effect = "Allow"
      Action = [
        "ec2:DescribeAddresses",
        "ec2:DescribeInstances",
        "ec2:DescribeInstanceTypes",
        "ec2:DescribeNetworkInterfaces",
        "ec2:DescribeSubnets",
      ]
      # EC2 has no resources and no tags for these; the region is the only key.
      Resource  = "*"
      Condition = { StringEquals = { "ec2:Region" = local.region } }
    },
    {
      # The interface is the one that gets the address. AllowReassignment takes it from another one, for which EC2
      # documents no check: what may be taken is bounded by the subnet.
      Sid    = "PrivateAddresses"
      Effect = "Allow"
      Action = [
        "ec2:AssignIpv6Addresses",
        "ec2:AssignPrivateIpAddresses",
        "ec2:UnassignIpv6Addresses",
        "ec2:UnassignPrivateIpAddresses",
      ]
      Resource  = local.interface_arn
      Condition = local.interface_conditions[var.interface_scope]
    },
    # A call that names an address and an interface is allowed when each of them is, by whichever statement. In one
    # statement the keys of the interface would be demanded of the address too.
    {
      Sid       = "ElasticIPs"
      Effect    = "Allow"
      Action    = ["ec2:AssociateAddress", "ec2:DisassociateAddress"]
      Resource  = local.elastic_ip_arn
      Condition = { StringEquals = { "ec2:ResourceTag/egret.dev/cluster" = var.cluster_name } }
    },
    {
      Sid       = "ElasticIPInterfaces"
      Effect    = "Allow"
      Action    = ["ec2:AssociateAddress", "ec2:DisassociateAddress"]
      Resource  = local.interface_arn
      Condition = local.interface_conditions[var.interface_scope]
    },
  ]

  policy_json = jsonencode({
    Version   = "2012-10-17"
    Statement = local.policy_statements
  })

  # The issuer without https:// is the prefix of the keys.
  irsa_issuer = var.irsa_oidc_provider_arn == null ? "" : replace(var.irsa_oidc_provider_arn, "/^[^/]*//", "")

  irsa_trust_json = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Federated = var.irsa_oidc_provider_arn }
      Action    = "sts:AssumeRoleWithWebIdentity"
      Condition = {
        StringEquals = {
          "${local.irsa_issuer}:aud" = "sts.amazonaws.com"
          "${local.irsa_issuer}:sub" = "system:serviceaccount:${var.namespace}:${var.service_account}"
        }
      }
    }]
  })

  # Session tags narrow the role to one service account of one cluster, whoever else may make associations:
  # https://docs.aws.amazon.com/eks/latest/userguide/pod-id-role.html
  pod_identity_trust_json = jsonencode({
    Version = "2012-10-17"
    Statement = [{
      Effect    = "Allow"
      Principal = { Service = "pods.eks.amazonaws.com" }
      Action    = ["sts:AssumeRole", "sts:TagSession"]
      Condition = {
        StringEquals = {
          "aws:RequestTag/eks-cluster-arn"            = "arn:${local.partition}:eks:${local.region}:${local.account_id}:cluster/${try(var.pod_identity.eks_cluster_name, "")}"
          "aws:RequestTag/kubernetes-namespace"       = var.namespace
          "aws:RequestTag/kubernetes-service-account" = var.service_account
        }
      }
    }]
  })
}
