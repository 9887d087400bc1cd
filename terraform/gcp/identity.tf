resource "google_iam_workload_identity_pool" "cluster" {
  count = local.federated ? 1 : 0

  project                   = var.project
  workload_identity_pool_id = local.identity_pool_id
  display_name              = local.name
  description               = "Egret's controller in the cluster ${var.cluster_name}"
}

resource "google_iam_workload_identity_pool_provider" "cluster" {
  count = length(google_iam_workload_identity_pool.cluster)

  project                            = var.project
  workload_identity_pool_id          = google_iam_workload_identity_pool.cluster[count.index].workload_identity_pool_id
  workload_identity_pool_provider_id = local.identity_provider_id
  display_name                       = local.name
  attribute_mapping                  = { "google.subject" = "assertion.sub" }
  attribute_condition                = local.attribute_condition

  oidc {
    issuer_uri        = local.issuer_uri
    allowed_audiences = [local.audience]
    jwks_json         = var.cluster_jwks
  }
}
