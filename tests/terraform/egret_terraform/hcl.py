"""Terraform files as values.

python-hcl2 leaves the quotes on literals ("\\"text\\""), wraps expressions ("${…}") and marks blocks with
`__is_block__`; this module is the only one that knows.
"""

import json
import re
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path

import hcl2

META = {"count", "for_each", "provider", "depends_on", "lifecycle", "provisioner", "connection"}


class Malformed(Exception):
    """A file that is no HCL."""


def name_of(label: str) -> str:
    return label[1:-1] if len(label) > 1 and label[0] == label[-1] == '"' else label


def text_of(value) -> str | None:
    """The text of a literal without interpolation."""
    if not isinstance(value, str) or not re.fullmatch(r'".*"', value, re.S) or "${" in value:
        return None
    return json.loads(value)


def is_block(value) -> bool:
    return isinstance(value, list) and bool(value) and all(isinstance(v, dict) and "__is_block__" in v for v in value)


def items(body: dict):
    """A block's or an object's own keys."""
    return [(name_of(key), value) for key, value in body.items() if not key.startswith("__")]


def expressions(value):
    """Every text below that may hold a reference."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not key.startswith("__"):
                if "${" in key:
                    yield key
                yield from expressions(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from expressions(inner)
    elif isinstance(value, str) and "${" in value:
        yield value


@dataclass
class Block:
    """A resource or a data source."""

    file: str
    kind: str  # "resource" or "data"
    type: str
    name: str
    body: dict

    @property
    def address(self) -> str:
        return f"{'data.' if self.kind == 'data' else ''}{self.type}.{self.name}"

    def __str__(self) -> str:
        return f"{self.file}: {self.address}"


@dataclass
class Module:
    """All .tf files of one folder."""

    folder: Path
    files: dict[str, dict] = field(default_factory=dict)

    def blocks_of(self, kind: str):
        """(file, name, body) of the blocks with one label."""
        for file, content in self.files.items():
            for block in content.get(kind, []):
                for label, body in items(block):
                    yield file, label, body

    @cached_property
    def resources(self) -> list[Block]:
        return [
            Block(file, kind, type_name, name_of(label), body)
            for kind in ("resource", "data")
            for file, type_name, named in self.blocks_of(kind)
            for label, body in named.items()
            if not label.startswith("__")
        ]

    @cached_property
    def variables(self) -> dict[str, tuple[str, dict]]:
        return {name: (file, body) for file, name, body in self.blocks_of("variable")}

    @cached_property
    def outputs(self) -> dict[str, tuple[str, dict]]:
        return {name: (file, body) for file, name, body in self.blocks_of("output")}

    @cached_property
    def calls(self) -> dict[str, tuple[str, dict]]:
        return {name: (file, body) for file, name, body in self.blocks_of("module")}

    @cached_property
    def locals(self) -> dict:
        return {
            name: value
            for content in self.files.values()
            for block in content.get("locals", [])
            for name, value in items(block)
        }


def parse(text: str, name: str) -> dict:
    try:
        return hcl2.loads(text if text.endswith("\n") else text + "\n")
    except Exception as error:  # the parser's own classes are those of its generator
        first = (str(error).strip().splitlines() or ["no parser can read it"])[0]
        raise Malformed(f"{name}: not HCL: {first}") from error


def load(folder: Path, relative_to: Path | None = None) -> Module:
    module = Module(folder)
    for path in sorted(folder.glob("*.tf")):
        name = str(path.relative_to(relative_to)) if relative_to else path.name
        module.files[name] = parse(path.read_text(), name)
    return module
