terraform {
  # 1.9: a variable's validation may look at other variables.
  required_version = ">= 1.9"

  required_providers {
    aws = {
      source = "hashicorp/aws"
      # 6.0: the attribute `region` of data.aws_region.
      version = ">= 6.0"
    }
  }
}
