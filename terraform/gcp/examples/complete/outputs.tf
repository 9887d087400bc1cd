output "region" {
  description = "Where all of it is."
  value       = var.region
}

output "cluster_name" {
  description = "For gcloud container clusters get-credentials."
  value       = google_container_cluster.this.name
}

output "image_repository" {
  description = "Where Egret's image goes."
  value       = "${var.region}-docker.pkg.dev/${var.project}/${google_artifact_registry_repository.egret.repository_id}/egret"
}

output "addresses" {
  description = "The addresses that pods will leave with."
  value       = module.egret.addresses["public"]
}

output "helm_values" {
  description = "Values of the chart, as YAML."
  value       = module.egret.helm_values
}

output "egress_pool" {
  description = "The manifest of the pool, as YAML."
  value       = module.egret.egress_pools["public"]
}
