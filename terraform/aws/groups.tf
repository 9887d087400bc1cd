# Gateways by launch template, and by Auto Scaling. All interfaces are there when the instance is launched.

locals {
  gateway_groups = { for key, group in var.gateway_groups : key => group if var.create }

  # EKS counts the addresses of all interfaces; the VPC CNI leaves the egress interfaces alone (no_manage). Two pods are on the
  # host's network: https://github.com/awslabs/amazon-eks-ami, eni-max-pods.
  gateway_max_pods = {
    for key, group in local.gateway_groups : key => group.max_pods != null ? group.max_pods :
    (local.interface_limits[group.instance_type] - group.egress_interfaces) * (data.aws_ec2_instance_type.gateway[group.instance_type].maximum_ipv4_addresses_per_interface - 1) + 2
  }

  # https://awslabs.github.io/amazon-eks-ami/nodeadm
  gateway_user_data = {
    for key, group in local.gateway_groups : key => group.user_data != null ? group.user_data : <<-EOT
      MIME-Version: 1.0
      Content-Type: multipart/mixed; boundary="egret"

      --egret
      Content-Type: application/node.eks.aws

      ---
      apiVersion: node.eks.aws/v1alpha1
      kind: NodeConfig
      spec:
        cluster:
          name: ${var.eks_cluster.name}
          apiServerEndpoint: ${var.eks_cluster.endpoint}
          certificateAuthority: ${var.eks_cluster.certificate_authority}
          cidr: ${var.eks_cluster.service_cidr}
        kubelet:
          config:
            maxPods: ${local.gateway_max_pods[key]}
          flags:
          - --node-labels=${join(",", [for label, value in var.gateway_node_labels : "${label}=${value}"])}

      --egret--
    EOT
  }
}

resource "aws_launch_template" "gateway" {
  for_each = local.gateway_groups

  name                   = "${local.name}-gateway-${each.key}"
  description            = "Egret gateways ${each.key} of ${var.cluster_name}"
  image_id               = each.value.image_id
  instance_type          = each.value.instance_type
  user_data              = base64encode(local.gateway_user_data[each.key])
  update_default_version = true

  iam_instance_profile {
    name = each.value.instance_profile_name
  }

  metadata_options {
    http_tokens = "required"
    # The agent is on the host's network: one hop.
    http_put_response_hop_limit = 1
  }

  # None says associate_public_ip_address: with more than one EC2 refuses it.
  network_interfaces {
    description           = "Node of ${var.cluster_name}"
    device_index          = 0
    subnet_id             = each.value.subnet_id
    security_groups       = each.value.security_group_ids
    delete_on_termination = true
  }

  dynamic "network_interfaces" {
    for_each = range(1, each.value.egress_interfaces + 1)

    content {
      description           = "Egret gateway ${each.key} of ${var.cluster_name}"
      device_index          = network_interfaces.value
      subnet_id             = each.value.egress_subnet_id != null ? each.value.egress_subnet_id : each.value.subnet_id
      security_groups       = length(each.value.egress_security_group_ids) > 0 ? each.value.egress_security_group_ids : local.gateway_security_group_ids
      delete_on_termination = true
    }
  }

  # A launch template tags all interfaces of an instance alike. The controller takes those that are not the first,
  # and no_manage leaves the first one to the VPC CNI.
  tag_specifications {
    resource_type = "network-interface"
    tags          = merge(var.tags, local.gateway_interface_tags, { Name = "${local.name}-gateway-${each.key}" })
  }

  tag_specifications {
    resource_type = "instance"
    tags = merge(
      var.tags,
      { Name = "${local.name}-gateway-${each.key}" },
      var.eks_cluster == null ? {} : { "kubernetes.io/cluster/${var.eks_cluster.name}" = "owned" },
    )
  }

  tags = var.tags

  lifecycle {
    precondition {
      condition     = each.value.egress_interfaces < local.interface_limits[each.value.instance_type]
      error_message = "gateway_groups: ${each.value.instance_type} takes ${local.interface_limits[each.value.instance_type]} interfaces, the node's own among them: ask ${each.key} for fewer egress_interfaces, or choose a larger type."
    }
  }
}

resource "aws_autoscaling_group" "gateway" {
  for_each = { for key, group in local.gateway_groups : key => group if group.autoscaling }

  name             = "${local.name}-gateway-${each.key}"
  min_size         = each.value.size
  max_size         = each.value.size + 1
  desired_capacity = each.value.size
  # One subnet, that of the first interface: a gateway that is replaced comes back in its zone.
  vpc_zone_identifier = [each.value.subnet_id]

  launch_template {
    id      = aws_launch_template.gateway[each.key].id
    version = aws_launch_template.gateway[each.key].latest_version
  }

  # A new gateway is there before an old one leaves.
  instance_maintenance_policy {
    min_healthy_percentage = 100
    max_healthy_percentage = 200
  }
}
