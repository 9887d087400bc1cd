# Rights, in another partition, and what create = false leaves.

mock_provider "aws" {
  mock_data "aws_partition" {
    defaults = { partition = "aws-cn" }
  }

  mock_data "aws_region" {
    defaults = { region = "cn-north-1" }
  }

  mock_data "aws_caller_identity" {
    defaults = { account_id = "111122223333" }
  }

  mock_data "aws_eips" {
    defaults = { allocation_ids = ["eipalloc-a1"] }
  }

  mock_data "aws_ec2_instance_type" {
    defaults = {
      maximum_ipv4_addresses_per_interface = 6
      network_cards = [
        { baseline_bandwidth = 1, index = 0, maximum_interfaces = 3, peak_bandwidth = 1, performance = "" },
      ]
    }
  }
}

variables {
  cluster_name = "prod"
}

run "a_policy_and_nothing_else" {
  command = plan

  assert {
    condition     = length(aws_iam_policy.controller) == 1 && length(aws_iam_role.irsa) + length(aws_iam_role.pod_identity) == 0
    error_message = "there is more than a policy, or none"
  }

  assert {
    condition     = length(aws_security_group.gateway) + length(aws_vpc_security_group_ingress_rule.nodes) + length(aws_network_interface.gateway) == 0
    error_message = "there is more than a policy"
  }
}

run "another_partition" {
  command = plan

  variables {
    pod_identity = { eks_cluster_name = "prod" }
  }

  assert {
    condition     = length(regexall("arn:aws:", aws_iam_policy.controller[0].policy)) == 0
    error_message = "the policy has an ARN of another partition"
  }

  assert {
    condition     = strcontains(aws_iam_policy.controller[0].policy, "arn:aws-cn:ec2:cn-north-1:111122223333:elastic-ip/*")
    error_message = "the policy is not of this partition"
  }

  assert {
    condition     = strcontains(aws_iam_role.pod_identity[0].assume_role_policy, "arn:aws-cn:eks:cn-north-1:111122223333:cluster/prod")
    error_message = "the trust is not of this partition"
  }
}

run "nothing" {
  command = plan

  variables {
    create                        = false
    pod_identity                  = { eks_cluster_name = "prod" }
    instance_role_names           = ["control-plane"]
    vpc_id                        = "vpc-1"
    create_gateway_security_group = true
    node_security_groups          = { nodes = "sg-1" }
    subnet_cidr_reservations      = { a = { subnet_id = "subnet-1", cidr_block = "10.0.0.64/27" } }
    pools                         = { public = { elastic_ips = 1, existing_allocation_ids = ["eipalloc-a1"], existing_tags = { a = "b" } } }
    gateway_interfaces            = { a = { subnet_id = "subnet-1", instance_id = "i-1", instance_type = "t3.medium" } }
    eks_cluster                   = { name = "prod", endpoint = "https://x", certificate_authority = "x", service_cidr = "10.1.0.0/16" }
    gateway_groups = {
      a = { subnet_id = "subnet-1", image_id = "ami-1", instance_profile_name = "gateway", security_group_ids = ["sg-1"] }
    }
  }

  assert {
    condition = sum([
      length(aws_iam_policy.controller),
      length(aws_iam_role.pod_identity),
      length(aws_iam_role_policy_attachment.pod_identity),
      length(aws_iam_role_policy_attachment.instance),
      length(aws_eks_pod_identity_association.controller),
      length(aws_eip.pool),
      length(aws_eip.unprotected),
      length(aws_ec2_tag.existing),
      length(aws_ec2_subnet_cidr_reservation.this),
      length(aws_security_group.gateway),
      length(aws_vpc_security_group_ingress_rule.nodes),
      length(aws_vpc_security_group_ingress_rule.gateway),
      length(aws_vpc_security_group_ingress_rule.unreachable),
      length(aws_vpc_security_group_egress_rule.gateway),
      length(aws_network_interface.gateway),
      length(aws_launch_template.gateway),
      length(aws_autoscaling_group.gateway),
    ]) == 0
    error_message = "create = false creates something"
  }

  assert {
    condition     = output.policy_arn == null && length(output.elastic_ips.public) == 0
    error_message = "create = false has outputs"
  }
}
