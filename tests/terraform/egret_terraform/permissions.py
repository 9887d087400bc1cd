"""The controller's role: against the table of calls and permissions, and the table against Google's own description.

That is the discovery document of compute v1: which methods there are, and of which resources.
"""

import csv
import re
from dataclasses import dataclass
from pathlib import Path

from .hcl import Module, items, text_of

COLUMNS = ["method", "modes", "permissions", "inferred", "page"]
# Of pools, in the order of the table's cells; the first is the default of the module.
MODES = ("HAPolicy", "TargetInstance", "AliasRange")
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
    modes: tuple[str, ...]
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
        Row(method, tuple(modes.split()), *(frozenset(() if cell == "-" else cell.split()) for cell in cells), page)
        for method, modes, *cells, page in rows
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
        if not row.modes or row.modes != tuple(mode for mode in MODES if mode in row.modes):
            problems.append(f"{row.method}: its modes are some of {', '.join(MODES)}, in this order")
    places = [(row.method, MODES.index(mode)) for row in rows for mode in row.modes if mode in MODES]
    if [row.method for row in rows] != sorted(row.method for row in rows) or len(places) != len(set(places)):
        problems.append("sort the rows by method, each method once in a mode")
    return problems


def needed(rows: list[Row], modes=MODES) -> set[str]:
    """What a controller needs that makes these calls, for pools of these modes."""
    return {name for row in rows if set(row.modes) & set(modes) for name in row.needed}


def role_problems(granted: dict[str, list[str]], rows: list[Row]) -> list[str]:
    """`granted`: local.permissions_of."""
    problems = []
    if sorted(granted) != sorted(MODES):
        problems.append(f"local.permissions_of has {', '.join(granted)}, not {', '.join(MODES)}")
    for mode in granted:
        names, wanted, where = granted[mode], needed(rows, [mode]), f"local.permissions_of.{mode}"
        if names != sorted(set(names)):
            problems.append(f"{where}: sort it, each permission once")
        for name in sorted(set(names) - wanted):
            problems.append(f"{where} has {name}, which no call of permissions.tsv needs in this mode: take it out")
        for name in sorted(wanted - set(names)):
            problems.append(f"{where} lacks {name}, which a call of permissions.tsv needs in this mode")
    return problems


def rendered_problems(values: dict, variables: dict, rows: list[Row]) -> list[str]:
    """The permissions of both roles as Terraform makes them of the variables."""
    everything = needed(rows, variables.get("modes", MODES[:1]))
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


def written(module: Module) -> tuple[dict[str, list[str]], list[str]]:
    """local.permissions_of as far as it can be read without Terraform, and permissions that stand elsewhere."""
    problems, granted = [], {}
    by_mode = module.locals.get("permissions_of")
    for mode, names in items(by_mode) if isinstance(by_mode, dict) else []:
        if isinstance(names, list):
            granted[mode] = [text_of(name) or str(name) for name in names]
        else:
            problems.append(f"local.permissions_of.{mode} has no list that can be read")
    if not granted:
        problems.append("local.permissions_of has no lists that can be read")
    known = {name for names in granted.values() for name in names}
    for file, content in module.files.items():
        for text in literals(content):
            for name in PERMISSION.findall(text):
                if name not in known:
                    problems.append(f"{file}: {name} stands outside local.permissions_of, where no check would see it")
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
