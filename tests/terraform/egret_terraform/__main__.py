"""python -m egret_terraform: every check over every module, a line each, and what is wrong."""

import sys
import time

from . import CHART, CRDS, ROOT, documentation, hcl, modules, names, objects, provider, references, render
from .description import Description
from .schema import Schema


def checks(description: Description):
    """(what, function); a function gives sentences that say what is wrong."""
    folder = description.folder
    folders = [folder, *sorted(path for path in (folder / "examples").iterdir() if path.is_dir())]
    parsed = [hcl.load(path, ROOT) for path in folders]
    schema, known = Schema(description.package), objects.kinds(CRDS)
    # At once: each reading goes through the whole package.
    schema.read(provider.keys_of(parsed, schema))

    def rendered():
        problems = []
        for name, setting in description.settings.items():
            values = render.render(description, setting)
            found = description.rendered_rights(setting, values)
            if description.served:
                found += objects.rendered_problems(values["helm_values"], CHART)
                for pool, text in values["egress_pools"].items():
                    found += objects.manifest_problems(text, f"egress_pools.{pool}", known)
            problems += [f"with {name}: {problem}" for problem in found]
        return problems

    def manifests():
        files = [path for path in folders for path in sorted(path.glob("*.yaml"))]
        return [p for path in files for p in objects.manifest_problems(path.read_text(), path.name, known)]

    def all_of(check):
        return lambda: [problem for module in parsed for problem in check(module)]

    yield "terraform fmt", lambda: render.format_problems(folder)
    yield "names of the provider's schema", all_of(lambda module: names.check(module, schema))
    if description.refused:
        yield "refused texts", all_of(lambda module: names.refused_texts(module, description.refused))
    yield "references", all_of(lambda module: references.check(module, schema))
    yield "tofu validate and tofu test", lambda: provider.problems(folder, schema, description.package.provider)
    yield "rights and calls", lambda: description.rights(parsed[0])
    yield "rights, values and pools as terraform renders them", rendered
    yield "variables and outputs", all_of(documentation.check)
    yield (
        "tables of the READMEs",
        all_of(lambda module: documentation.check_readme(module, module.folder / "README.md")),
    )
    if description.served:
        yield "Helm values", lambda: objects.value_problems(parsed[0], CHART)
    else:
        yield "chart and CRDs", lambda: objects.served_problems(description, CHART, known)
    yield "manifests", manifests


def run(description: Description) -> bool:
    """Whether all is well."""
    failed, begin = 0, time.monotonic()
    for name, check in checks(description):
        problems = check()
        print(f"  {name}: {'ok' if not problems else f'{len(problems)} wrong'}")
        for problem in problems:
            print(f"    {problem}")
        failed += bool(problems)
    print(f"terraform/{description.name}: {'ok' if not failed else 'failed'}, {time.monotonic() - begin:.1f} s")
    return not failed


def main() -> int:
    try:
        problems = modules.problems()
        for problem in problems:
            print(problem)
        # A list: each module is checked, whatever the one before it is like.
        good = [run(description) for description in modules.ALL.values()]
    except (hcl.Malformed, render.Missing, render.Refused) as error:
        print(error)
        return 1
    return 0 if all(good) and not problems else 1


if __name__ == "__main__":
    sys.exit(main())
