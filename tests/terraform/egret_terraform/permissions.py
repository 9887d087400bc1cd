"""The controller's role: against the table of calls and permissions, and the table against Google's own description.

That is the discovery document of compute v1: which methods there are, and of which resources.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from .hcl import Module, text_of

COLUMNS = ["method", "permissions", "inferred", "page"]
PAGES = "https://docs.cloud.google.com/compute/docs/reference/rest/v1"
# The permission of a method's own resource, where it is not named like the method.
OWN = {
    "insert": {"create"},
    "patch": {"get", "update"},
    "aggregatedList": {"list"},
    "listNetworkEndpoints": {"get"},
    "wait": {"get"},
}
NETWORK = ("compute.networks.", "compute.subnetworks.")
PERMISSION = re.compile(r'"(compute\.\w+\.[\w*]+)"')


@dataclass(frozen=True)
class Row:
    method: str
    permissions: frozenset[str]
    inferred: frozenset[str]
    page: str

    @property
    def needed(self) -> frozenset[str]:
        return self.permissions | self.inferred


def table(path: Path) -> list[Row]:
    lines = [line for line in path.read_text().splitlines() if line and not line.startswith("#")]
    header, *rows = csv.reader(lines, delimiter="\t")
    if header != COLUMNS:
        raise SystemExit(f"{path.name}: the columns are {', '.join(COLUMNS)}, not {', '.join(header)}")
    for row in rows:
        if len(row) != len(COLUMNS):
            raise SystemExit(f"{path.name}: {row[0]}: {len(row)} columns, not {len(COLUMNS)}; tabs separate them")
    return [
        Row(method, *(frozenset(() if cell == "-" else cell.split()) for cell in cells), page)
        for method, *cells, page in rows
    ]


def table_problems(rows: list[Row], methods: set[str]) -> list[str]:
    """`methods` as compute.RESOURCE.VERB."""
    problems, resources = [], {method.rpartition(".")[0] for method in methods}
    for row in rows:
        resource, _, verb = row.method.rpartition(".")
        if row.method not in methods:
            problems.append(f"{row.method} is no method of compute v1")
            continue
        if row.page != f"{PAGES}/{resource.removeprefix('compute.')}/{verb}":
            problems.append(f"{row.method}: its page is {PAGES}/{resource.removeprefix('compute.')}/{verb}")
        own = {f"{resource}.{name}" for name in OWN.get(verb, {verb})}
        for name in sorted(own - row.permissions):
            problems.append(f"{row.method} needs {name}")
        for name in sorted(row.needed - own):
            other, _, use = name.rpartition(".")
            if use not in ("use", "useInternal") or other not in resources or other == resource:
                problems.append(f"{row.method}: {name} is no use of another resource")
        for name in sorted(row.permissions & row.inferred):
            problems.append(f"{row.method}: {name} is in both columns")
    if [row.method for row in rows] != sorted({row.method for row in rows}):
        problems.append("sort the rows by method, each method once")
    return problems


def needed(rows: list[Row]) -> set[str]:
    """What a controller needs that makes these calls."""
    return {name for row in rows for name in row.needed}


def role_problems(granted: list[str], rows: list[Row]) -> list[str]:
    """`granted`: local.permissions."""
    problems, wanted = [], needed(rows)
    if granted != sorted(set(granted)):
        problems.append("local.permissions: sort it, each permission once")
    for name in sorted(set(granted) - wanted):
        problems.append(f"local.permissions has {name}, which no call of permissions.tsv needs: take it out")
    for name in sorted(wanted - set(granted)):
        problems.append(f"local.permissions lacks {name}, which a call of permissions.tsv needs")
    return problems


def rendered_problems(values: dict, variables: dict, rows: list[Row]) -> list[str]:
    """The permissions of both roles as Terraform makes them of the variables."""
    everything = needed(rows)
    network = {name for name in everything if name.startswith(NETWORK)}
    shared = variables.get("host_project") is not None
    problems = []
    for role, wanted in (
        ("role_permissions", everything - network if shared else everything),
        ("network_role_permissions", network if shared else set()),
    ):
        if sorted(values[role]) != sorted(wanted):
            odd = ", ".join(sorted(set(values[role]) ^ wanted)) or "one of them twice"
            problems.append(f"{role} is not what permissions.tsv asks for: {odd}")
    return problems


def written(module: Module) -> tuple[list[str], list[str]]:
    """local.permissions as far as it can be read without Terraform, and permissions that stand elsewhere."""
    problems = []
    names = module.locals.get("permissions")
    granted = [text_of(name) or str(name) for name in names] if isinstance(names, list) else []
    if not granted:
        problems.append("local.permissions has no list that can be read")
    for file, content in module.files.items():
        for text in literals(content):
            for name in PERMISSION.findall(text):
                if name not in granted:
                    problems.append(f"{file}: {name} stands outside local.permissions, where no check would see it")
            if text.startswith('"roles/'):
                problems.append(f"{file}: {text} is a role of Google's: the controller gets its own")
    return granted, problems


def literals(value):
    """Every text below, literals and expressions."""
    if isinstance(value, dict):
        for key, inner in value.items():
            if not key.startswith("__"):
                yield from literals(inner)
    elif isinstance(value, list):
        for inner in value:
            yield from literals(inner)
    elif isinstance(value, str):
        yield value
