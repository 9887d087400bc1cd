output "elastic_ips" {
  description = "The addresses that pods will leave with."
  value       = module.egret.elastic_ips["public"]
}

output "gateway_autoscaling_groups" {
  description = "The groups of Auto Scaling, by zone."
  value       = module.egret.gateway_autoscaling_groups
}

output "helm_values" {
  description = "Values of the chart, as YAML."
  value       = module.egret.helm_values
}

output "egress_pool" {
  description = "The manifest of the pool, as YAML."
  value       = module.egret.egress_pools["public"]
}
