"""protect_addresses against states that are there already: what terraform/aws/README.md says of its two recipes."""

import json
import re
import shutil

import pytest

from egret_terraform import aws, provider, render

RECIPES = re.compile(
    r"^terraform state mv '(\S+)' '(\S+)' +# and protect_addresses = (true|false)$", re.MULTILINE
)
# The files that have the addresses, and what they rest on.
FILES = (*aws.MODULE.rendered, "addresses.tf", "versions.tf")
ADDRESSES = ("public-0", "public-1")
CALL = """
module "egret" {
  source            = "./egret"
  cluster_name      = "prod"
  pools             = { public = { elastic_ips = 2 } }
  protect_addresses = %s
}
"""


def recipes() -> list[tuple[str, str, str]]:
    """(from, to, protect_addresses), as the README has them."""
    return RECIPES.findall((aws.MODULE.folder / "README.md").read_text())


def state(resource: str) -> dict:
    """Of Terraform, with both addresses in aws_eip.pool or aws_eip.unprotected."""
    module, kind, name = resource.rsplit(".", 2)

    def instance(key: str) -> dict:
        tags = {"egret.dev/cluster": "prod", "egret.dev/pool": "public", "Name": f"egret-prod-{key}"}
        attributes = {"id": f"eipalloc-{key}", "domain": "vpc", "tags": tags}
        return {"index_key": key, "schema_version": 0, "attributes": attributes}

    return {
        "version": 4,
        "serial": 1,
        "lineage": "1c1d0d2e-0000-4000-8000-000000000000",
        "resources": [
            {
                "module": module,
                "mode": "managed",
                "type": kind,
                "name": name,
                "provider": 'provider["registry.opentofu.org/hashicorp/aws"]',
                "instances": [instance(key) for key in ADDRESSES],
            }
        ],
    }


@pytest.fixture
def planned(tmp_path, schema):
    """Plans protect_addresses where the state has the addresses as `resource`, after `move` in the state."""
    module = tmp_path / "root" / "egret"
    module.mkdir(parents=True)
    for file in FILES:
        shutil.copy(aws.MODULE.folder / file, module)
    (module / "main.tf").write_text(aws.MODULE.stand_in)
    root, stub = module.parent, provider.Provider(tmp_path, schema, aws.PACKAGE.provider)

    def plan(protect: str, resource: str, move: tuple = ()) -> dict[str, list[str]]:
        (root / "main.tf").write_text(CALL % protect)
        (root / "terraform.tfstate").write_text(json.dumps(state(resource)))
        stub.initialized(root)
        if move:
            stub.tofu(root, "state", "mv", *move)
        stub.tofu(root, "plan", "-out=plan")
        changes = json.loads(stub.tofu(root, "show", "-json", "plan"))["resource_changes"]
        return {change["address"]: change["change"]["actions"] for change in changes}

    return plan


def all_are(resource: str, action: str) -> dict[str, list[str]]:
    return {f'{resource}["{key}"]': [action] for key in ADDRESSES}


def test_the_readme_has_both_recipes():
    pool, unprotected = "module.egret.aws_eip.pool", "module.egret.aws_eip.unprotected"
    assert recipes() == [(pool, unprotected, "false"), (unprotected, pool, "true")]


@pytest.mark.parametrize("protect", ["false", "true"])
def test_a_recipe_keeps_the_addresses(planned, protect):
    ((old, new, _),) = [recipe for recipe in recipes() if recipe[2] == protect]
    assert planned(protect, old, (old, new)) == all_are(new, "no-op")


def test_without_the_first_recipe_the_plan_is_refused(planned):
    with pytest.raises(render.Refused, match="prevent_destroy"):
        planned("false", "module.egret.aws_eip.pool")


def test_without_the_second_recipe_the_addresses_are_released(planned):
    old, new = "module.egret.aws_eip.unprotected", "module.egret.aws_eip.pool"
    assert planned("true", old) == all_are(old, "delete") | all_are(new, "create")
