terraform {
  # 1.9: a variable's validation may look at other variables.
  required_version = ">= 1.9"

  required_providers {
    google = {
      source = "hashicorp/google"
      # 6.0: checked against the schema of 6.50. It makes no backend service: Egret sets haPolicy itself, so 6.48,
      # which has it first, is not needed.
      version = ">= 6.0"
    }
  }
}
