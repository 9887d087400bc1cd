"""The schema of a Terraform provider, read out of the npm package with its bindings for the CDK for Terraform.

The package has no JSON schema, but its generator writes above every attribute whether it is computed, optional,
required, and says of every object whether it is a block.
"""

import base64
import hashlib
import json
import re
import tarfile
from pathlib import Path

from .description import Package

ATTRIBUTE = re.compile(
    r"^ +// (\w+) - computed: (\w+), optional: (\w+), required: (\w+)\n"
    r"(?: +(?:this\.)?_\w+ = new (?:\w+\.)?(\w+)\(this)?",
    re.M,
)
# Compiled for older runtimes, a field without a value is left out, and its comment with it. Its accessors remain: what
# can be set has a setter, and what may be left out a reset.
GETTER = re.compile(r"^    get (\w+)\(\) \{\n +return .*\('(\w+)'\)\)?;$", re.M)
CLASS = re.compile(r"^class (\w+) extends cdkt[fn]\.(\w+) \{\n(.*?)^\}", re.M | re.S)
BLOCKS = re.compile(r"^ +(\w+): \{\n +value: .*\n +isBlock: true,", re.M)


def folder_of(key: str, prefix: str) -> str:
    """data.aws_region → data-aws-region, aws_eip → eip"""
    data, _, name = key.rpartition(".")
    return (f"data-{prefix}-" if data else "") + name.removeprefix(f"{prefix}_").replace("_", "-")


def parse(source: str) -> tuple[str, dict]:
    """The type's name and its attributes: name → computed, optional, required, block, nested."""
    classes, root = {}, None
    for name, base, body in CLASS.findall(source):
        classes[name] = body
        if base in ("TerraformResource", "TerraformDataSource"):
            root = name
    blocks = set(BLOCKS.findall(source))

    def attributes(name: str) -> dict:
        found = {}
        for attribute, computed, optional, required, nested in ATTRIBUTE.findall(classes[name]):
            inner = nested.removesuffix("List") + "OutputReference" if nested.endswith("List") else nested
            found[attribute] = {
                "computed": computed == "true",
                "optional": optional == "true",
                "required": required == "true",
                "block": attribute in blocks,
                "nested": attributes(inner) if inner in classes else None,
            }
        for accessor, attribute in GETTER.findall(classes[name]):
            if attribute not in found and f"    set {accessor}(value)" in classes[name]:
                optional = f"    reset{accessor[0].upper()}{accessor[1:]}()" in classes[name]
                found[attribute] = {
                    "computed": False,
                    "optional": optional,
                    "required": not optional,
                    "block": attribute in blocks,
                    "nested": None,
                }
        return found

    if root is None:
        raise ValueError("no class of a resource in it")
    return re.search(r'\btfResourceType = "(\w+)"', source)[1], attributes(root)


class Schema:
    """What has been read is kept beside the archive: reading it takes seconds."""

    def __init__(self, package: Package):
        self.prefix = package.prefix
        self.archive = archive = package.archive
        # As this file reads it: another version of the file begins anew.
        reader = hashlib.sha256(Path(__file__).read_bytes()).hexdigest()[:8]
        self.cache = archive.with_suffix(f".{reader}.json")
        self.known: dict = {"folders": [], "types": {}}
        if not archive.exists():
            raise SystemExit(f"{archive} is missing: run tests/setup.sh terraform")
        if self.cache.exists():
            self.known = json.loads(self.cache.read_text())
        else:
            digest = hashlib.sha512(archive.read_bytes()).digest()
            if base64.b64encode(digest).decode() != package.integrity:
                raise SystemExit(
                    f"{archive} is not the package that was pinned: delete it, run tests/setup.sh terraform"
                )

    def names(self) -> list[str]:
        return self.known["folders"]

    def read(self, keys: set[str]) -> None:
        wanted = {folder_of(key, self.prefix): key for key in keys if key not in self.known["types"]}
        if self.known["folders"]:
            wanted = {folder: key for folder, key in wanted.items() if folder in self.known["folders"]}
        if not wanted:
            return
        folders, sources = set(), {}
        with tarfile.open(self.archive) as archive:
            for member in archive:
                # The classes of a large resource's blocks have files of their own.
                match = re.fullmatch(r"package/lib/([\w-]+)/(?:index|index-structs/\w+)\.js", member.name)
                if not match:
                    continue
                folders.add(match[1])
                if match[1] in wanted:
                    sources.setdefault(match[1], []).append(archive.extractfile(member).read().decode())
        for folder, texts in sources.items():
            key = wanted[folder]
            type_name, attributes = parse("\n".join(texts))
            if type_name == key.rpartition(".")[2]:
                self.known["types"][key] = attributes
        self.known["folders"] = sorted(folders)
        self.cache.write_text(json.dumps(self.known))

    def get(self, key: str) -> dict | None:
        """The attributes of `aws_eip` or `data.aws_region`; nothing where the provider has no such type."""
        if key not in self.known["types"]:
            self.read({key})
        return self.known["types"].get(key)
