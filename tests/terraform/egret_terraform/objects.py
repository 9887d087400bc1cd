"""What a module and its examples give to the cluster: Helm values, and manifests of Egret's kinds."""

from pathlib import Path

import jsonschema
import yaml

from .description import Description
from .hcl import Module, items


def leaves(value, path=()):
    """Paths of an object as far as its keys are written out."""
    entries = list(items(value)) if isinstance(value, dict) else []
    if not entries:
        yield path
    for key, inner in entries:
        yield from leaves(inner, (*path, key))


def value_problems(module: Module, chart: Path) -> list[str]:
    """Every value of local.helm_values is one of the chart's."""
    known = yaml.safe_load((chart / "values.yaml").read_text())
    problems = []
    for path in leaves(module.locals.get("helm_values", {})):
        if not path:
            problems.append("local.helm_values is empty or cannot be read")
            continue
        at = known
        for name in path:
            if not isinstance(at, dict) or name not in at:
                problems.append(
                    f"local.helm_values: the chart has no value {'.'.join(path)} (deploy/helm/egret/values.yaml)"
                )
                break
            at = at[name]
    return problems


def rendered_problems(values: str, chart: Path) -> list[str]:
    """Rendered values against the chart's schema, as `helm install` checks them."""
    schema = yaml.safe_load((chart / "values.schema.json").read_text())
    return sentences("helm_values", yaml.safe_load(values), schema)


def served_problems(description: Description, chart: Path, known: dict) -> list[str]:
    """Of a module that the chart and the CRDs do not know yet: whether they do by now."""
    file = f"tests/terraform/egret_terraform/{description.name}.py"
    say = f"set served=True in {file}, so that it is checked against them"
    values = yaml.safe_load((chart / "values.yaml").read_text())
    pool = known["egret.dev/v1alpha1", "EgressPool"]["properties"]["spec"]["properties"]
    problems = []
    if description.section in values["controller"]:
        problems.append(f"the chart has controller.{description.section} now: {say}")
    if description.section in pool:
        problems.append(f"the kind EgressPool has spec.{description.section} now: {say}")
    return problems


def sentences(where: str, document, schema: dict) -> list[str]:
    found = jsonschema.Draft7Validator(schema).iter_errors(document)
    return [f"{where}: {'.'.join(map(str, error.absolute_path)) or 'the whole'}: {error.message}" for error in found]


def closed(schema: dict) -> dict:
    """A CRD's schema that also refuses unknown fields: the API server would drop them with a warning."""
    copy = {key: closed(value) if isinstance(value, dict) else value for key, value in schema.items()}
    if isinstance(schema.get("properties"), dict) and schema.get("type") == "object":
        copy.setdefault("additionalProperties", False)
    return copy


def kinds(folder: Path) -> dict[tuple[str, str], dict]:
    found = {}
    for path in folder.glob("*.yaml"):
        definition = yaml.safe_load(path.read_text())["spec"]
        for version in definition["versions"]:
            schema = closed(version["schema"]["openAPIV3Schema"])
            schema["properties"] |= {"apiVersion": {}, "kind": {}, "metadata": {}}
            found[f"{definition['group']}/{version['name']}", definition["names"]["kind"]] = schema
    return found


def manifest_problems(text: str, where: str, known: dict) -> list[str]:
    problems = []
    for document in yaml.safe_load_all(text):
        api, kind = document.get("apiVersion", ""), document.get("kind", "")
        if not api.startswith("egret.dev/"):
            continue
        if (api, kind) not in known:
            problems.append(f"{where}: no kind {api} {kind} in deploy/crds")
        else:
            problems += sentences(f"{where}: {kind}", document, known[api, kind])
    return problems
