data "aws_partition" "current" {}

data "aws_region" "current" {}

data "aws_caller_identity" "current" {}

# What the other files know of the account. They use nothing else of it, so that policies and Helm values can be
# rendered without one.
locals {
  partition     = data.aws_partition.current.partition
  region        = data.aws_region.current.region
  account_id    = data.aws_caller_identity.current.account_id
  irsa_role_arn = one(aws_iam_role.irsa[*].arn)
}
