"""python -m egret_terraform: every check over terraform/aws, a line each, and what is wrong."""

import json
import sys
import time

from . import MODULE, ROOT, documentation, hcl, names, objects, policy, references, render
from .schema import Schema

CHART = ROOT / "deploy" / "helm" / "egret"
CALLS = ROOT / "providers" / "aws" / "ec2-calls.txt"
# Every branch of the policy and the values.
SETTINGS = {
    "Pod Identity": {"pod_identity": {"eks_cluster_name": "prod"}},
    "IRSA": {"irsa_oidc_provider_arn": "arn:aws:iam::111122223333:oidc-provider/oidc.example/id/1"},
    "pools": {
        "pools": {
            "own": {"elastic_ips": 1, "allowed_namespace_labels": {"egress": "public"}},
            "public": {"elastic_ips": 2, "allowed_namespace_labels": {}},
            "unclaimed": {"elastic_ips": 1},
        }
    },
    "the VPC's interfaces": {"interface_scope": "Vpc", "vpc_id": "vpc-1", "pod_cidrs": ["10.0.0.0/16"]},
}


def checks():
    """(what, function); a function gives sentences that say what is wrong."""
    folders = [MODULE, *sorted(path for path in (MODULE / "examples").iterdir() if path.is_dir())]
    modules = [hcl.load(folder, ROOT) for folder in folders]
    schema, privileges = Schema(), policy.reference()

    known = objects.kinds(ROOT / "deploy" / "crds")

    def rendered():
        problems = []
        for name, setting in SETTINGS.items():
            values = render.render({"cluster_name": "prod"} | setting)
            found = policy.check(json.loads(values["policy"])["Statement"], policy.calls(CALLS), privileges)
            found += objects.rendered_problems(values["helm_values"], CHART)
            for pool, text in values["egress_pools"].items():
                found += objects.manifest_problems(text, f"egress_pools.{pool}", known)
            problems += [f"with {name}: {problem}" for problem in found]
        return problems

    def static_policy():
        statements, problems = policy.written(modules[0])
        return problems + policy.check(statements, policy.calls(CALLS), privileges)

    def manifests():
        files = [path for folder in folders for path in sorted(folder.glob("*.yaml"))]
        return [p for path in files for p in objects.manifest_problems(path.read_text(), path.name, known)]

    def all_of(check):
        return lambda: [problem for module in modules for problem in check(module)]

    yield "terraform fmt", lambda: render.format_problems(MODULE)
    yield "names of the provider's schema", all_of(lambda module: names.check(module, schema))
    yield "references", all_of(lambda module: references.check(module, schema))
    yield "policy and calls", static_policy
    yield "policy, values and pools as terraform renders them", rendered
    yield "variables and outputs", all_of(documentation.check)
    yield (
        "tables of the READMEs",
        all_of(lambda module: documentation.check_readme(module, module.folder / "README.md")),
    )
    yield "Helm values", lambda: objects.value_problems(modules[0], CHART)
    yield "manifests", manifests


def main() -> int:
    failed, begin = 0, time.monotonic()
    try:
        for name, check in checks():
            problems = check()
            print(f"{name}: {'ok' if not problems else f'{len(problems)} wrong'}")
            for problem in problems:
                print(f"  {problem}")
            failed += bool(problems)
    except (hcl.Malformed, render.Missing, render.Refused) as error:
        print(error)
        failed += 1
    print(f"terraform/aws: {'ok' if not failed else 'failed'}, {time.monotonic() - begin:.1f} s")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())
