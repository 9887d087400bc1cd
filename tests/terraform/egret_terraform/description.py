"""What the checks need to know of one module: its provider, what OpenTofu can render of it, whose rights it gives."""

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from . import MODULES, WORK
from .hcl import Module


@dataclass(frozen=True)
class Package:
    """The npm package with the bindings of a Terraform provider; tests/terraform/setup.sh fetches it."""

    name: str
    version: str
    integrity: str  # base64 of the SHA-512, as npm says it
    prefix: str  # of the provider's types: aws in aws_eip
    provider: str  # the version of the provider that the bindings are of

    @property
    def archive(self) -> Path:
        return WORK / f"{self.name.strip('@').replace('/', '-')}-{self.version}.tgz"


@dataclass(frozen=True)
class Description:
    """A module below terraform/."""

    name: str
    package: Package
    # The files without resources, and locals in place of what main.tf asks of the account.
    rendered: tuple[str, ...]
    stand_in: str
    # The variables without a default, and settings that reach every branch of what is rendered.
    needed: dict
    settings: dict[str, dict]
    # What is wrong with the rights that the files give, and with those that were rendered of a setting.
    rights: Callable[[Module], list[str]]
    rendered_rights: Callable[[dict, dict], list[str]]
    # The section below `controller` and `spec` in the chart and the CRDs.
    section: str
    # Whether the chart and the CRDs have it yet.
    served: bool
    # Texts that no file may have, and what to say in place of each.
    refused: dict[str, str] = field(default_factory=dict)

    @property
    def folder(self) -> Path:
        return MODULES / self.name
