"""Terraform itself renders the module's values, without a provider and an account.

The files without resources are taken as they are; locals stand in for what main.tf asks of the account.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import MODULE

FILES = ["variables.tf", "policy.tf", "pools.tf", "helm.tf"]
STAND_IN = """
locals {
  partition     = "aws"
  region        = "eu-central-1"
  account_id    = "111122223333"
  irsa_role_arn = "arn:aws:iam::111122223333:role/egret-irsa"
}
output "policy" { value = local.policy_json }
output "irsa_trust" { value = local.irsa_trust_json }
output "pod_identity_trust" { value = local.pod_identity_trust_json }
output "helm_values" { value = yamlencode(local.helm_values) }
output "elastic_ips" { value = local.elastic_ips }
output "egress_pools" { value = local.egress_pools }
"""


def available() -> bool:
    return shutil.which("terraform") is not None


def terraform(folder: Path, *arguments: str) -> str:
    done = subprocess.run(
        ["terraform", *arguments, "-no-color"], cwd=folder, capture_output=True, text=True, timeout=120, check=False
    )
    if done.returncode != 0:
        raise Refused(done.stderr + done.stdout)
    return done.stdout


class Refused(Exception):
    """What Terraform said."""

    def __str__(self) -> str:
        # Its boxes break sentences: │ at the left, a new line every 78 characters.
        return " ".join(self.args[0].replace("│", " ").split())


def render(variables: dict, module: Path = MODULE) -> dict:
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in FILES:
            shutil.copy(module / file, folder)
        (folder / "main.tf").write_text(STAND_IN)
        (folder / "terraform.tfvars.json").write_text(json.dumps(variables))
        terraform(folder, "init")
        terraform(folder, "apply", "-auto-approve")
        return {name: output["value"] for name, output in json.loads(terraform(folder, "output", "-json")).items()}


def format_problems(folder: Path) -> list[str]:
    """Names of files that `terraform fmt` would change."""
    done = subprocess.run(
        ["terraform", "fmt", "-check", "-recursive", "-no-color", str(folder)],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    if done.returncode == 0:
        return []
    files = [line for line in done.stdout.splitlines() if line.strip()]
    return [f"{file}: not formatted: terraform fmt -recursive terraform" for file in files] or [done.stderr.strip()]
