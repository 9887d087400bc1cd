"""Variables and outputs are used and described, and the README's tables say the same as the files."""

import os
import re
from pathlib import Path

from .hcl import Module, text_of
from .references import used

UPDATE = "EGRET_UPDATE"


def check(module: Module) -> list[str]:
    problems, uses = [], {name for _, name in outside(module)}
    for name, (file, body) in module.variables.items():
        if not text_of(body.get("description")):
            problems.append(f"{file}: variable {name} has no description")
        if "type" not in body:
            problems.append(f"{file}: variable {name} has no type")
        if name not in uses:
            problems.append(f"{file}: variable {name} is used nowhere: use it or take it out")
        for rule in body.get("validation", []):
            if not rule.get("error_message", "").strip('"').startswith(name):
                problems.append(f"{file}: variable {name}: a validation's message begins with the variable's name")
    for name, (file, body) in module.outputs.items():
        if not text_of(body.get("description")):
            problems.append(f"{file}: output {name} has no description")
    return problems


def outside(module: Module):
    """Uses of variables other than by their own validations."""
    without = Module(
        module.folder,
        {
            file: {kind: value for kind, value in content.items() if kind != "variable"}
            for file, content in module.files.items()
        },
    )
    return used(without, "var")


def cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")


def shown(value) -> str:
    """A default as HCL."""
    if isinstance(value, bool) or value is None:
        return {True: "true", False: "false", None: "null"}[value]
    if isinstance(value, dict):
        inner = ", ".join(f"{key} = {shown(inner)}" for key, inner in value.items() if not key.startswith("__"))
        return f"{{ {inner} }}" if inner else "{}"
    if isinstance(value, list):
        return "[" + ", ".join(map(shown, value)) + "]"
    return str(value)


def type_of(body: dict) -> str:
    return re.sub(r"\s+", " ", str(body.get("type", "")).removeprefix("${").removesuffix("}"))


def tables(module: Module) -> dict[str, str]:
    inputs = ["| input | type | default | |", "|---|---|---|---|"]
    for name, (_, body) in module.variables.items():
        default = f"`{cell(shown(body['default']))}`" if "default" in body else "**needed**"
        inputs.append(f"| `{name}` | `{cell(type_of(body))}` | {default} | {cell(text_of(body['description']))} |")
    outputs = ["| output | |", "|---|---|"]
    for name, (_, body) in module.outputs.items():
        outputs.append(f"| `{name}` | {cell(text_of(body['description']))} |")
    return {"inputs": "\n".join(inputs), "outputs": "\n".join(outputs)}


def check_readme(module: Module, readme: Path) -> list[str]:
    """With EGRET_UPDATE=1 it writes what it would have complained about."""
    text, problems = readme.read_text(), []
    for name, table in tables(module).items():
        fence = re.compile(rf"(<!-- {name}: generated -->\n)(.*?)(<!-- end -->)", re.S)
        match = fence.search(text)
        if not match:
            problems.append(f"{readme.name}: no lines <!-- {name}: generated --> and <!-- end -->")
        elif match[2].strip() != table:
            if os.environ.get(UPDATE) == "1":
                text = text[: match.start(2)] + table + "\n" + text[match.end(2) :]
            else:
                problems.append(
                    f"{readme.parent.name}/{readme.name}: the table of {name} is stale: {UPDATE}=1 make terraform"
                )
    if os.environ.get(UPDATE) == "1":
        readme.write_text(text)
    return problems
