"""References: to resources and their attributes, variables, locals, and to other modules' inputs and outputs."""

import re

from .hcl import META, Module, expressions, items, load, name_of, text_of
from .names import key_of, near
from .schema import Schema


def steps(text: str, at: int) -> list[str]:
    """What is accessed from `at` on: names, and [] for an index or a splat."""
    found = []
    while at < len(text):
        if match := re.match(r"\.(\w+|\*)", text[at:]):
            found.append("[]" if match[1] == "*" or match[1].isdigit() else match[1])
            at += match.end()
        elif text[at] == "[":
            depth, end = 0, at
            for end in range(at, len(text)):
                depth += {"[": 1, "]": -1}.get(text[end], 0)
                if depth == 0:
                    break
            found.append("[]")
            at = end + 1
        else:
            break
    return found


def attribute_problem(where: str, shown: str, path: list[str], attributes: dict) -> str | None:
    """Follows names as far as the schema goes: below a map or a list of text it knows nothing."""
    for name in path:
        if name == "[]":
            continue
        if name not in attributes:
            return f"{where}: {shown} has no attribute {name}{near(name, attributes)}"
        shown += f".{name}"
        attributes = attributes[name]["nested"]
        if attributes is None:
            return None
    return None


def resource_problems(module: Module, schema: Schema) -> list[str]:
    declared = {(key_of(block), block.name): block for block in module.resources}
    kind = rf"(?:data\.)?{schema.prefix}_\w+"
    resource = re.compile(rf'(?<![\w."-])({kind})\.(\w+)')
    # The loop variable of `for x in RESOURCE : …`.
    loop_over = re.compile(rf"\bfor\s+(?:\w+\s*,\s*)?(\w+)\s+in\s+({kind})\.(\w+)\s*:")
    problems = []

    def follow(where, key, name, path):
        if (key, name) not in declared:
            problems.append(f"{where}: {key}.{name} is declared nowhere in {module.folder.name}")
        elif attributes := schema.get(key):
            problems.append(attribute_problem(where, f"{key}.{name}", path, attributes))

    for file, content in module.files.items():
        for text in expressions(content):
            for match in resource.finditer(text):
                follow(file, match[1], match[2], steps(text, match.end()))
            for loop in loop_over.finditer(text):
                for use in re.finditer(rf"(?<![\w.]){loop[1]}(?=\.)", text[loop.end() :]):
                    follow(file, loop[2], loop[3], steps(text[loop.end() :], use.end()))
    for block in module.resources:
        over = re.fullmatch(rf"\$\{{({kind})\.(\w+)\}}", str(block.body.get("for_each", "")))
        for text in expressions(block.body) if over else ():
            for use in re.finditer(r"(?<![\w.])each\.value(?=\.)", text):
                follow(str(block), over[1], over[2], steps(text, use.end()))
    return [problem for problem in problems if problem]


def used(module: Module, prefix: str):
    """(file, name) of every `prefix.name`."""
    for file, content in module.files.items():
        for text in expressions(content):
            for match in re.finditer(rf"(?<![\w.]){prefix}\.(\w+)", text):
                yield file, match[1]


def value_problems(module: Module) -> list[str]:
    problems = []
    for prefix, declared in (("var", module.variables), ("local", module.locals), ("module", module.calls)):
        for file, name in used(module, prefix):
            if name not in declared:
                problems.append(f"{file}: {prefix}.{name} is declared nowhere{near(name, declared)}")
    for name in module.locals.keys() - {name for _, name in used(module, "local")}:
        problems.append(f"{module.folder.name}: local.{name} is used nowhere: take it out")
    return problems


def call_problems(module: Module) -> list[str]:
    problems = []
    for name, (file, body) in module.calls.items():
        called = load((module.folder / text_of(body["source"])).resolve())
        given = {key for key, _ in items(body)} - META - {"source", "version", "providers"}
        for extra in given - called.variables.keys():
            problems.append(f"{file}: module.{name} has no variable {extra}{near(extra, called.variables)}")
        for variable, (_, declared) in called.variables.items():
            if "default" not in declared and variable not in given:
                problems.append(f"{file}: module.{name} needs the variable {variable}")
        for where, content in module.files.items():
            for text in expressions(content):
                for match in re.finditer(rf"\bmodule\.{name}\.(\w+)", text):
                    if match[1] not in called.outputs:
                        problems.append(
                            f"{where}: module.{name} has no output {match[1]}{near(match[1], called.outputs)}"
                        )
    return problems


def object_problems(module: Module) -> list[str]:
    """Attributes of variables that are objects or maps of objects, by name, by loops and by each.value."""
    objects = {
        name: dict.fromkeys(re.findall(r"(\w+) = ", body["type"]), {"nested": None})
        for name, (_, body) in module.variables.items()
        if "object(" in body.get("type", "")
    }
    problems = []

    def follow(where, text, prefix, name, start=0):
        for use in re.finditer(rf"(?<![\w.]){prefix}(?=[.\[])", text[start:]):
            path = [step for step in steps(text[start:], use.end()) if step != "[]"][:1]
            problems.append(attribute_problem(where, f"var.{name}", path, objects[name]))

    for file, content in module.files.items():
        for text in expressions(content):
            for name in objects:
                follow(file, text, rf"var\.{name}", name)
                for loop in re.finditer(rf"\bfor\s+(?:\w+\s*,\s*)?(\w+)\s+in\s+(?:values\()?var\.{name}\)?\s*:", text):
                    follow(file, text, loop[1], name, loop.end())
    for block in module.resources:
        over = re.fullmatch(r"\$\{var\.(\w+)\}", str(block.body.get("for_each", "")))
        if over and over[1] in objects:
            dynamic = [name_of(label) for entry in block.body.get("dynamic", []) for label, _ in items(entry)]
            for text in expressions(block.body):
                for prefix in (r"each\.value", *(rf"{label}\.value" for label in dynamic)):
                    follow(str(block), text, prefix, over[1])
    return [problem for problem in problems if problem]


def check(module: Module, schema: Schema) -> list[str]:
    return resource_problems(module, schema) + object_problems(module) + value_problems(module) + call_problems(module)
