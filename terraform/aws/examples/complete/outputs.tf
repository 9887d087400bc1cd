output "region" {
  description = "Where all of it is."
  value       = var.region
}

output "cluster_name" {
  description = "For aws eks update-kubeconfig."
  value       = aws_eks_cluster.this.name
}

output "image_repository" {
  description = "Where Egret's image goes."
  value       = aws_ecr_repository.egret.repository_url
}

output "elastic_ips" {
  description = "The addresses that pods will leave with."
  value       = module.egret.elastic_ips["public"]
}

output "helm_values" {
  description = "Values of the chart, as YAML."
  value       = module.egret.helm_values
}

output "egress_pool" {
  description = "The manifest of the pool, as YAML."
  value       = module.egret.egress_pools["public"]
}
