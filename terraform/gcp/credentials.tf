# Who the controller is. It runs on the host's network, where the metadata server answers with the node's account. So its
# pods bring a token of their service account, which Google's token service takes for an identity of this pool:
# https://docs.cloud.google.com/iam/docs/workload-identity-federation-with-kubernetes

locals {
  federated = var.identity == "workload_identity"

  issuer_uri = var.issuer_uri != null ? var.issuer_uri : (
    var.gke_location == null ? "" : "https://container.googleapis.com/v1/projects/${var.project}/locations/${var.gke_location}/clusters/${var.cluster_name}"
  )
  subject = "system:serviceaccount:${var.namespace}:${var.service_account}"

  identity_pool_id     = local.name
  identity_provider_id = "cluster"
  identity_pool        = "//iam.googleapis.com/projects/${local.project_number}/locations/global/workloadIdentityPools/${local.identity_pool_id}"
  audience             = "${local.identity_pool}/providers/${local.identity_provider_id}"

  # The pool trusts the issuer for this one service account.
  attribute_condition = "assertion.sub == '${local.subject}'"

  # Keys that are known before anything is made, as for_each needs it: an account of the same run has no email yet.
  principals = {
    workload_identity = { controller = "principal:${local.identity_pool}/subject/${local.subject}" }
    node              = { for index, email in var.controller_service_accounts : tostring(index) => "serviceAccount:${email}" }
    none              = {}
  }[var.identity]

  credentials_json = local.federated ? jsonencode({
    type               = "external_account"
    audience           = local.audience
    subject_token_type = "urn:ietf:params:oauth:token-type:jwt"
    token_url          = "https://sts.googleapis.com/v1/token"
    credential_source  = { file = var.token_path }
  }) : ""
}
