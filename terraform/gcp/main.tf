data "google_project" "this" {
  project_id = var.project
}

# What the other files know of the project. They use nothing else of it, so that roles, credentials and Helm values can
# be rendered without one.
locals {
  project_number = data.google_project.this.number
}
