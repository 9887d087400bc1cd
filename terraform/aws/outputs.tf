output "policy_arn" {
  description = "The policy of the controller, to attach to a role of your own; null without create."
  value       = one(aws_iam_policy.controller[*].arn)
}

output "policy_json" {
  description = "The same policy as a document."
  value       = local.policy_json
}

output "irsa_role_arn" {
  description = "The role for IRSA; null without irsa_oidc_provider_arn."
  value       = local.irsa_role_arn
}

output "pod_identity_role_arn" {
  description = "The role for EKS Pod Identity; null without pod_identity."
  value       = one(aws_iam_role.pod_identity[*].arn)
}

output "elastic_ips" {
  description = "Public address and allocation of every Elastic IP, by pool, those that were there already after the module's own: what partners put on their lists."
  value = {
    for name in keys(var.pools) : name => concat(
      [
        for key, address in local.elastic_ips : {
          public_ip     = local.created_addresses[key].public_ip
          allocation_id = local.created_addresses[key].allocation_id
        } if address.pool == name
      ],
      [
        for key, address in local.existing_addresses : {
          public_ip     = data.aws_eip.existing[key].public_ip
          allocation_id = address.id
        } if address.pool == name
      ],
    )
  }
}

output "elastic_ip_tags" {
  description = "Tags that an Elastic IP made elsewhere needs before the policy lets Egret use it; add egret.dev/pool=POOL for a pool that finds its addresses by tag."
  value       = local.elastic_ip_tags
}

output "interface_tags" {
  description = "Tags that a gateway's interface made elsewhere needs before the policy lets Egret use it (interface_scope = Tags)."
  value       = local.interface_tags
}

output "gateway_interfaces" {
  description = "The gateway interfaces: id, MAC address and first private address of each."
  value = {
    for key, interface in aws_network_interface.gateway : key => {
      id          = interface.id
      mac_address = interface.mac_address
      private_ip  = interface.private_ip
    }
  }
}

output "gateway_security_group_id" {
  description = "The security group of the interfaces that carry addresses; null without create_gateway_security_group."
  value       = one(local.gateway_security_group_ids)
}

output "gateway_launch_templates" {
  description = "The launch templates of gateway_groups: id and latest version of each."
  value = {
    for key, template in aws_launch_template.gateway : key => {
      id      = template.id
      version = template.latest_version
    }
  }
}

output "gateway_autoscaling_groups" {
  description = "Names of the groups of Auto Scaling."
  value       = { for key, group in aws_autoscaling_group.gateway : key => group.name }
}

output "gateway_max_pods" {
  description = "How many pods a gateway of each of gateway_groups takes."
  value       = local.gateway_max_pods
}

output "subnet_cidr_reservation_ids" {
  description = "The subnet CIDR reservations."
  value       = { for key, reservation in aws_ec2_subnet_cidr_reservation.this : key => reservation.id }
}

output "helm_values" {
  description = "Values of the chart deploy/helm/egret, as YAML: helm install … --values FILE."
  value       = yamlencode(local.helm_values)
}

output "egress_pools" {
  description = "The manifest of an EgressPool for each of pools, as YAML: kubectl apply -f FILE."
  value       = local.egress_pools
}
