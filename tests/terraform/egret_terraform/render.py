"""OpenTofu, a fork of Terraform, renders a module's values, without a provider and an account.

The files without resources are taken as they are; locals stand in for what main.tf asks of the account.
"""

import json
import shutil
import subprocess
import tempfile
from pathlib import Path

from . import WORK
from .description import Description

TOFU = WORK / "bin" / "tofu"


def tofu(folder: Path, *arguments: str, environment: dict | None = None) -> str:
    command = [str(TOFU), *arguments, "-no-color"]
    try:
        done = subprocess.run(
            command, cwd=folder, env=environment, capture_output=True, text=True, timeout=120, check=False
        )
    except FileNotFoundError:
        raise Missing(f"{TOFU} is missing: run tests/setup.sh terraform, which builds it with Go") from None
    if done.returncode != 0:
        raise Refused(done.stderr, done.stdout)
    return done.stdout


class Missing(Exception):
    """The program is not there, and what to do."""


class Refused(Exception):
    """What it said."""

    def __str__(self) -> str:
        # Its boxes break sentences: │ at the left, a new line every 78 characters.
        return " ".join("".join(self.args).replace("│", " ").split())


def render(description: Description, variables: dict) -> dict:
    """With the variables that the module needs, unless they are given."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for file in description.rendered:
            shutil.copy(description.folder / file, folder)
        (folder / "main.tf").write_text(description.stand_in)
        (folder / "terraform.tfvars.json").write_text(json.dumps(description.needed | variables))
        tofu(folder, "init")
        tofu(folder, "apply", "-auto-approve")
        return {name: output["value"] for name, output in json.loads(tofu(folder, "output", "-json")).items()}


def format_problems(folder: Path) -> list[str]:
    """Names of files that `terraform fmt` would change."""
    try:
        tofu(folder, "fmt", "-check", "-recursive")
    except Refused as refused:
        said, files = refused.args
        problems = [f"{file}: not formatted: target/terraform/bin/tofu fmt -recursive terraform" for file in files.splitlines()]
        return problems or [said]
    return []
