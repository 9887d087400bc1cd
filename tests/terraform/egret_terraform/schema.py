"""The schema of a Terraform provider, read out of the npm package with its bindings for the CDK for Terraform."""

import base64
import hashlib
import json
import re
import tarfile
from pathlib import Path

from . import bindings
from .description import Package


def folder_of(key: str, prefix: str) -> str:
    """data.aws_region → data-aws-region, aws_eip → eip; provider.aws → provider"""
    data, _, name = key.rpartition(".")
    if data == "provider":
        return data
    return (f"data-{prefix}-" if data else "") + name.removeprefix(f"{prefix}_").replace("_", "-")


class Schema:
    """What has been read is kept beside the archive: reading it takes seconds."""

    def __init__(self, package: Package):
        self.prefix = package.prefix
        self.archive = archive = package.archive
        # As these files read it: another version of one begins anew.
        readers = b"".join(Path(file).read_bytes() for file in (__file__, bindings.__file__))
        reader = hashlib.sha256(readers).hexdigest()[:8]
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
            type_name, attributes = bindings.parse("\n".join(texts))
            if type_name == key.rpartition(".")[2]:
                self.known["types"][key] = attributes
        self.known["folders"] = sorted(folders)
        self.cache.write_text(json.dumps(self.known))

    def get(self, key: str) -> dict | None:
        """The attributes of `aws_eip` or `data.aws_region`; nothing where the provider has no such type."""
        if key not in self.known["types"]:
            self.read({key})
        return self.known["types"].get(key)
