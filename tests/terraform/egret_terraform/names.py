"""Names of resources, attributes and blocks, against the provider's schema."""

import difflib

from .hcl import META, Block, Module, is_block, items, name_of
from .schema import Schema, folder_of


def near(name: str, names) -> str:
    found = difflib.get_close_matches(name, list(names), 1)
    return f"; did you mean {found[0]}?" if found else ""


def refused_texts(module: Module, refused: dict[str, str]) -> list[str]:
    """Texts such as the ARNs of one partition, in the files as they are written, comments aside."""
    return [
        f"{path.relative_to(module.folder.parent)}:{number}: {text} is {sentence}"
        for path in sorted(module.folder.glob("*.tf"))
        for number, line in enumerate(path.read_text().splitlines(), 1)
        for text, sentence in refused.items()
        if text in line.split("# ")[0]
    ]


def key_of(block: Block) -> str:
    return ("data." if block.kind == "data" else "") + block.type


def check(module: Module, schema: Schema) -> list[str]:
    schema.read({key_of(block) for block in module.resources})
    problems = []
    for block in module.resources:
        attributes = schema.get(key_of(block))
        if attributes is None:
            problems.append(
                f"{block}: the provider has no {block.kind} {block.type}"
                + near(folder_of(key_of(block), schema.prefix), schema.names())
            )
            continue
        problems += body_problems(str(block), block.body, attributes, top=True)
        problems += ignored_problems(block, attributes)
    return problems


def body_problems(where: str, body: dict, attributes: dict, top: bool = False) -> list[str]:
    problems, present = [], set()
    for name, value in written(body):
        if top and name in META:
            continue
        present.add(name)
        attribute = attributes.get(name)
        if attribute is None:
            problems.append(f"{where}: no attribute or block {name}{near(name, attributes)}")
        elif not (attribute["optional"] or attribute["required"]):
            problems.append(f"{where}: {name} is computed and cannot be set")
        elif is_block(value):
            if attribute["nested"] is None:
                problems.append(f"{where}: {name} is an attribute: write {name} = …")
            else:
                for inner in value:
                    problems += body_problems(f"{where}.{name}", inner, attribute["nested"])
        elif attribute["block"] and attribute["nested"] is not None and not attribute["computed"]:
            problems.append(f"{where}: {name} is a block: write {name} {{ … }}")
    for name, attribute in attributes.items():
        if attribute["required"] and name not in present:
            problems.append(f"{where}: {name} is required and missing")
    return problems


def written(body: dict):
    """Attributes and blocks, a `dynamic` one as what it makes."""
    for name, value in items(body):
        if name != "dynamic":
            yield name, value
            continue
        for block in value:
            for label, inner in items(block):
                yield name_of(label), inner["content"]


def ignored_problems(block: Block, attributes: dict) -> list[str]:
    return [
        f"{block}: lifecycle.ignore_changes names {name}, which is no attribute of it{near(name, attributes)}"
        for lifecycle in block.body.get("lifecycle", [])
        for name in map(str, lifecycle.get("ignore_changes", []))
        if name.strip("${}").split("[")[0].split(".")[0] not in attributes
    ]
