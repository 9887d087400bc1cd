"""OpenTofu with the schema of the real provider and nothing behind it: `tofu validate`, and `tofu test` with
mock_provider.

tests/terraform/plugin is the provider; it is given the types that a module uses.
"""

import json
import os
import platform
import shutil
import tempfile
from pathlib import Path

from . import WORK, render
from .hcl import Module, load
from .names import key_of
from .schema import Schema

PLUGIN = WORK / "bin" / "plugin"
ARCHITECTURES = {"x86_64": "amd64", "aarch64": "arm64"}


def type_of(attribute: dict):
    """As JSON of Terraform's types; of what has attributes it makes a list or a set of objects."""
    if attribute["nested"] is None:
        return attribute["type"] or "dynamic"
    return [attribute["nesting"], ["object", {name: type_of(inner) for name, inner in attribute["nested"].items()}]]


def block(attributes: dict) -> dict:
    """What tests/terraform/plugin takes."""
    made: dict = {"attributes": [], "blocks": []}
    for name, attribute in attributes.items():
        # The bindings call a computed list of objects a block, too; one cannot be written as such.
        if attribute["block"] and not attribute["computed"] and attribute["nested"] is not None:
            many = 0 if not attribute["one"] or attribute["nesting"] == "single" else 1
            made["blocks"].append(
                {
                    "name": name,
                    "nesting": attribute["nesting"],
                    "min": int(attribute["required"]),
                    "max": many,
                    "block": block(attribute["nested"]),
                }
            )
        else:
            flags = {flag: attribute[flag] for flag in ("required", "optional", "computed")}
            made["attributes"].append({"name": name, "type": type_of(attribute)} | flags)
    return made


def keys_of(modules: list[Module], schema: Schema) -> set[str]:
    keys = {key_of(resource) for module in modules for resource in module.resources}
    return keys | {f"provider.{schema.prefix}"}


def schema_of(modules: list[Module], schema: Schema) -> dict:
    keys = keys_of(modules, schema)
    schema.read(keys)
    known = {key: block(schema.get(key)) for key in sorted(keys) if schema.get(key)}
    return {
        "address": f"registry.opentofu.org/hashicorp/{schema.prefix}",
        "provider": known.pop(f"provider.{schema.prefix}"),
        "resources": {key: made for key, made in known.items() if not key.startswith("data.")},
        "data": {key.removeprefix("data."): made for key, made in known.items() if key.startswith("data.")},
    }


class Provider:
    """A folder with the provider, from which `tofu init` takes it; with the modules, since examples name theirs by path."""

    def __init__(self, folder: Path, schema: Schema, version: str):
        if not PLUGIN.exists():
            raise render.Missing(f"{PLUGIN} is missing: run tests/setup.sh terraform, which builds it with Go")
        self.folder, self.schema = folder, schema
        machine = ARCHITECTURES.get(platform.machine(), platform.machine())
        place = folder / "mirror" / "registry.opentofu.org" / "hashicorp" / schema.prefix / version / f"linux_{machine}"
        place.mkdir(parents=True)
        shutil.copy(PLUGIN, place / f"terraform-provider-{schema.prefix}")
        (folder / "tofu.rc").write_text(
            f'provider_installation {{\n  filesystem_mirror {{\n    path = "{folder / "mirror"}"\n  }}\n}}\n'
        )
        self.environment = os.environ | {
            "TF_CLI_CONFIG_FILE": str(folder / "tofu.rc"),
            "EGRET_PROVIDER_SCHEMA": str(folder / "schema.json"),
        }

    def tofu(self, module: Path, *arguments: str) -> str:
        return render.tofu(module, *arguments, environment=self.environment)

    def initialized(self, module: Path) -> None:
        """Writes the schema of what the module and those that it calls use."""
        parsed = load(module)
        called = [load((module / body["source"].strip('"')).resolve()) for _, body in parsed.calls.values()]
        (self.folder / "schema.json").write_text(json.dumps(schema_of([parsed, *called], self.schema)))
        self.tofu(module, "init")


def problems(folder: Path, schema: Schema, version: str) -> list[str]:
    """Of a module below terraform/: it and its examples are validated, and its tests run."""
    found = []
    with tempfile.TemporaryDirectory() as name:
        copy = Path(name) / "terraform" / folder.name
        shutil.copytree(folder, copy, ignore=shutil.ignore_patterns(".terraform*", "terraform.tfstate*"))
        provider = Provider(Path(name), schema, version)
        for module in (copy, *sorted(path for path in (copy / "examples").glob("*") if path.is_dir())):
            try:
                provider.initialized(module)
                provider.tofu(module, "validate")
                if any(module.glob("tests/*.tftest.hcl")):
                    provider.tofu(module, "test")
            except render.Refused as refused:
                found.append(f"{module.relative_to(copy.parent)}: {refused}")
    return found
