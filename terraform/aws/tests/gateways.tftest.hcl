# Security groups, and gateways by hand, by launch template and by Auto Scaling.

mock_provider "aws" {
  mock_data "aws_ec2_instance_type" {
    # Of t3.medium. A second card, of other types, is the VPC CNI's as little as ours.
    defaults = {
      maximum_ipv4_addresses_per_interface = 6
      maximum_network_interfaces           = 5
      network_cards = [
        { baseline_bandwidth = 1, index = 0, maximum_interfaces = 3, peak_bandwidth = 1, performance = "" },
        { baseline_bandwidth = 1, index = 1, maximum_interfaces = 2, peak_bandwidth = 1, performance = "" },
      ]
    }
  }
}

variables {
  cluster_name                  = "prod"
  vpc_id                        = "vpc-1"
  create_gateway_security_group = true

  eks_cluster = {
    name                  = "eks-prod"
    endpoint              = "https://eks.example"
    certificate_authority = "Y2E="
    service_cidr          = "172.20.0.0/16"
  }
}

run "between_nodes" {
  command = plan

  variables {
    node_security_groups = { gateways = "sg-g", workers = "sg-w" }
    peers_port           = 5999
  }

  assert {
    condition = toset([
      for rule in aws_vpc_security_group_ingress_rule.nodes :
      "${rule.security_group_id} ${rule.referenced_security_group_id} ${rule.ip_protocol} ${rule.from_port}-${rule.to_port}"
      ]) == toset([
      "sg-g sg-g udp 5480-5480", "sg-g sg-w udp 5480-5480", "sg-w sg-g udp 5480-5480", "sg-w sg-w udp 5480-5480",
      "sg-g sg-g udp 5999-5999", "sg-g sg-w udp 5999-5999", "sg-w sg-g udp 5999-5999", "sg-w sg-w udp 5999-5999",
    ])
    error_message = "the rules are ${jsonencode(aws_vpc_security_group_ingress_rule.nodes)}"
  }

  assert {
    condition     = yamldecode(output.helm_values).network == { tunnelPort = 5480, peersPort = 5999 }
    error_message = "the chart has other ports"
  }
}

# All ports of a protocol, from everywhere and to everywhere: else EC2 tracks its flows.
run "untracked" {
  command = plan

  assert {
    condition = toset([
      for rule in aws_vpc_security_group_ingress_rule.gateway :
      "${rule.ip_protocol} ${rule.from_port}-${rule.to_port} ${coalesce(rule.cidr_ipv4, rule.cidr_ipv6)}"
    ]) == toset(["tcp 0-65535 0.0.0.0/0", "udp 0-65535 0.0.0.0/0", "tcp 0-65535 ::/0", "udp 0-65535 ::/0"])
    error_message = "flows would be tracked: ${jsonencode(aws_vpc_security_group_ingress_rule.gateway)}"
  }

  assert {
    condition = toset([
      for rule in aws_vpc_security_group_egress_rule.gateway : "${rule.ip_protocol} ${coalesce(rule.cidr_ipv4, rule.cidr_ipv6)}"
    ]) == toset(["-1 0.0.0.0/0", "-1 ::/0"])
    error_message = "flows would be tracked: ${jsonencode(aws_vpc_security_group_egress_rule.gateway)}"
  }

  assert {
    condition = toset([
      for rule in aws_vpc_security_group_ingress_rule.unreachable : "${rule.ip_protocol} ${rule.from_port} ${rule.to_port}"
    ]) == toset(["icmp 3 -1", "icmpv6 1 -1", "icmpv6 2 -1"])
    error_message = "errors do not come in"
  }
}

run "by_hand" {
  command = apply

  variables {
    gateway_interfaces = {
      last  = { subnet_id = "subnet-1", instance_id = "i-1", instance_type = "t3.medium" }
      given = { subnet_id = "subnet-1", instance_id = "i-2", device_index = 1, security_group_ids = ["sg-own"] }
      loose = { subnet_id = "subnet-1" }
    }
  }

  assert {
    condition     = one(aws_network_interface.gateway["last"].attachment).device_index == 2
    error_message = "the VPC CNI may be there first"
  }

  assert {
    condition     = one(aws_network_interface.gateway["given"].attachment).device_index == 1
    error_message = "a given index is not taken"
  }

  assert {
    condition     = length(aws_network_interface.gateway["loose"].attachment) == 0
    error_message = "it is attached to nothing"
  }

  assert {
    condition     = aws_network_interface.gateway["last"].security_groups == toset([output.gateway_security_group_id]) && aws_network_interface.gateway["given"].security_groups == toset(["sg-own"])
    error_message = "the groups are others"
  }

  assert {
    condition = aws_network_interface.gateway["last"].tags == tomap({
      "egret.dev/cluster"                = "prod"
      "egret.dev/gateway"                = "true"
      "node.k8s.amazonaws.com/no_manage" = "true"
      Name                               = "egret-prod-gateway-last"
    })
    error_message = "the tags are ${jsonencode(aws_network_interface.gateway["last"].tags)}"
  }
}

run "by_group" {
  command = apply

  variables {
    gateway_groups = {
      a = {
        subnet_id             = "subnet-private"
        egress_subnet_id      = "subnet-public"
        image_id              = "ami-1"
        instance_profile_name = "gateway"
        security_group_ids    = ["sg-nodes"]
      }
      template = {
        subnet_id                 = "subnet-private"
        image_id                  = "ami-1"
        instance_profile_name     = "gateway"
        security_group_ids        = ["sg-nodes"]
        egress_security_group_ids = ["sg-own"]
        user_data                 = "#!/bin/sh"
        max_pods                  = 29
        autoscaling               = false
      }
    }
  }

  assert {
    condition     = join(" ", aws_launch_template.gateway["a"].network_interfaces[*].subnet_id) == "subnet-private subnet-public" && join(" ", aws_launch_template.gateway["template"].network_interfaces[*].subnet_id) == "subnet-private subnet-private"
    error_message = "the interfaces are in other subnets"
  }

  assert {
    condition     = join(" ", aws_launch_template.gateway["a"].network_interfaces[*].device_index) == "0 1"
    error_message = "the interfaces are not the first two"
  }

  assert {
    condition     = alltrue([for interface in aws_launch_template.gateway["a"].network_interfaces : interface.associate_public_ip_address == null])
    error_message = "EC2 refuses associate_public_ip_address with two interfaces"
  }

  assert {
    condition     = [for interface in aws_launch_template.gateway["a"].network_interfaces : interface.security_groups] == [toset(["sg-nodes"]), toset([output.gateway_security_group_id])]
    error_message = "the groups are others"
  }

  assert {
    condition     = aws_launch_template.gateway["template"].network_interfaces[1].security_groups == toset(["sg-own"])
    error_message = "groups of one's own are not taken"
  }

  assert {
    condition = one([for tags in aws_launch_template.gateway["a"].tag_specifications : tags.tags if tags.resource_type == "network-interface"]) == tomap({
      "egret.dev/cluster"                = "prod"
      "egret.dev/gateway"                = "true"
      "node.k8s.amazonaws.com/no_manage" = "true"
      Name                               = "egret-prod-gateway-a"
    })
    error_message = "the interfaces' tags are others"
  }

  assert {
    condition     = lookup(one([for tags in aws_launch_template.gateway["a"].tag_specifications : tags.tags if tags.resource_type == "instance"]), "kubernetes.io/cluster/eks-prod", "") == "owned"
    error_message = "EKS does not know the instance"
  }

  # Two interfaces of three, five addresses each besides the primary ones, and two pods on the host's network.
  assert {
    condition     = output.gateway_max_pods == { a = 12, template = 29 }
    error_message = "max pods are ${jsonencode(output.gateway_max_pods)}"
  }

  assert {
    condition = yamldecode(regex("(?s)---\n(apiVersion.*?)\n--egret--", base64decode(aws_launch_template.gateway["a"].user_data))[0]) == {
      apiVersion = "node.eks.aws/v1alpha1"
      kind       = "NodeConfig"
      spec = {
        cluster = {
          name                 = "eks-prod"
          apiServerEndpoint    = "https://eks.example"
          certificateAuthority = "Y2E="
          cidr                 = "172.20.0.0/16"
        }
        kubelet = {
          config = { maxPods = 12 }
          flags  = ["--node-labels=egret.dev/gateway=true"]
        }
      }
    }
    error_message = base64decode(aws_launch_template.gateway["a"].user_data)
  }

  assert {
    condition     = base64decode(aws_launch_template.gateway["template"].user_data) == "#!/bin/sh"
    error_message = "user_data is not taken"
  }

  assert {
    condition     = join(" ", keys(aws_autoscaling_group.gateway)) == "a" && join(" ", keys(output.gateway_launch_templates)) == "a template"
    error_message = "there are other groups of Auto Scaling"
  }

  assert {
    condition     = aws_autoscaling_group.gateway["a"].vpc_zone_identifier == toset(["subnet-private"]) && aws_autoscaling_group.gateway["a"].launch_template[0].id == output.gateway_launch_templates.a.id
    error_message = "the group is of another subnet or template"
  }
}

run "several_egress_interfaces" {
  command = apply

  variables {
    gateway_groups = {
      a = {
        subnet_id             = "subnet-private"
        egress_subnet_id      = "subnet-public"
        image_id              = "ami-1"
        instance_profile_name = "gateway"
        security_group_ids    = ["sg-nodes"]
        egress_interfaces     = 2
      }
    }
  }

  assert {
    condition = [
      for interface in aws_launch_template.gateway["a"].network_interfaces : "${interface.device_index} ${interface.subnet_id}"
    ] == ["0 subnet-private", "1 subnet-public", "2 subnet-public"]
    error_message = "the interfaces are ${jsonencode(aws_launch_template.gateway["a"].network_interfaces)}"
  }

  # One interface of three for pods.
  assert {
    condition     = output.gateway_max_pods.a == 7
    error_message = "max pods are ${jsonencode(output.gateway_max_pods)}"
  }
}

run "more_egress_interfaces_than_the_type_has" {
  command = plan

  variables {
    gateway_groups = {
      a = {
        subnet_id             = "subnet-private"
        image_id              = "ami-1"
        instance_profile_name = "gateway"
        security_group_ids    = ["sg-nodes"]
        egress_interfaces     = 3
      }
    }
  }

  expect_failures = [aws_launch_template.gateway]
}

run "two_by_hand_on_one_instance" {
  command = plan

  variables {
    gateway_interfaces = {
      last   = { subnet_id = "subnet-1", instance_id = "i-1", instance_type = "t3.medium" }
      before = { subnet_id = "subnet-1", instance_id = "i-1", device_index = 1 }
    }
  }

  assert {
    condition     = [for key in ["before", "last"] : one(aws_network_interface.gateway[key].attachment).device_index] == [1, 2]
    error_message = "they are not at two device indices"
  }
}

run "labels_of_ones_own" {
  command = plan

  variables {
    gateway_node_labels = { role = "egress" }
  }

  assert {
    condition     = yamldecode(output.helm_values).controller.avoidNodeLabels == { role = "egress" }
    error_message = "controllers would not keep off gateways"
  }
}

run "a_type_with_one_interface" {
  command = plan

  override_data {
    target = data.aws_ec2_instance_type.gateway
    values = {
      network_cards = [
        { baseline_bandwidth = 1, index = 0, maximum_interfaces = 1, peak_bandwidth = 1, performance = "" },
      ]
    }
  }

  variables {
    gateway_interfaces = { a = { subnet_id = "subnet-1", instance_id = "i-1", instance_type = "a1.none" } }
  }

  expect_failures = [data.aws_ec2_instance_type.gateway]
}
