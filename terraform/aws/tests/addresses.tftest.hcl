# Elastic IPs: protected or not, new ones and such as are there already. No account is asked.

mock_provider "aws" {
  mock_data "aws_eip" {
    defaults = { public_ip = "203.0.113.9" }
  }

  mock_data "aws_eips" {
    defaults = { allocation_ids = ["eipalloc-b1", "eipalloc-b2"] }
  }
}

variables {
  cluster_name = "prod"
  tags         = { team = "net" }
}

run "protected_by_default" {
  command = plan

  variables {
    pools = { public = { elastic_ips = 2 } }
  }

  assert {
    condition     = join(" ", keys(aws_eip.pool)) == "public-0 public-1" && length(aws_eip.unprotected) == 0
    error_message = "the addresses are not those of aws_eip.pool"
  }

  assert {
    condition = aws_eip.pool["public-1"].tags == tomap({
      "egret.dev/cluster" = "prod"
      "egret.dev/pool"    = "public"
      Name                = "egret-prod-public-1"
      team                = "net"
    })
    error_message = "the tags are ${jsonencode(aws_eip.pool["public-1"].tags)}"
  }
}

run "unprotected" {
  command = apply

  variables {
    protect_addresses = false
    pools = {
      own = {
        elastic_ips             = 1
        existing_allocation_ids = ["eipalloc-a1"]
      }
      public = { existing_tags = { team = "web" } }
    }
  }

  assert {
    condition     = join(" ", keys(aws_eip.unprotected)) == "own-0" && length(aws_eip.pool) == 0
    error_message = "the addresses are not those of aws_eip.unprotected"
  }

  assert {
    condition     = join(" ", output.elastic_ips.own[*].allocation_id) == "${aws_eip.unprotected["own-0"].allocation_id} eipalloc-a1"
    error_message = "own has ${jsonencode(output.elastic_ips.own)}"
  }

  assert {
    condition     = join(" ", output.elastic_ips.public[*].allocation_id) == "eipalloc-b1 eipalloc-b2"
    error_message = "public has ${jsonencode(output.elastic_ips.public)}"
  }

  assert {
    condition = tomap({ for key, tag in aws_ec2_tag.existing : "${tag.resource_id} ${tag.key}" => tag.value }) == tomap({
      "eipalloc-a1 egret.dev/cluster" = "prod"
      "eipalloc-a1 egret.dev/pool"    = "own"
      "eipalloc-b1 egret.dev/cluster" = "prod"
      "eipalloc-b1 egret.dev/pool"    = "public"
      "eipalloc-b2 egret.dev/cluster" = "prod"
      "eipalloc-b2 egret.dev/pool"    = "public"
    })
    error_message = "the tags are ${jsonencode(aws_ec2_tag.existing)}"
  }
}

run "in_two_pools" {
  command = plan

  variables {
    pools = {
      own    = { existing_allocation_ids = ["eipalloc-b2"] }
      public = { existing_tags = { team = "web" } }
    }
  }

  expect_failures = [aws_ec2_tag.existing]
}

run "no_address_has_the_tags" {
  command = plan

  override_data {
    target = data.aws_eips.existing
    values = { allocation_ids = [] }
  }

  variables {
    pools = { public = { existing_tags = { team = "web" } } }
  }

  expect_failures = [data.aws_eips.existing]
}
