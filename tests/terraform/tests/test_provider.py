"""OpenTofu with the schema of the real provider: what it finds beyond names, and that a test of a module can fail."""

import shutil

import pytest

from egret_terraform import aws, bindings, provider, render

VERSION = aws.PACKAGE.provider
VERSIONS = 'terraform {\n  required_providers {\n    aws = { source = "hashicorp/aws", version = ">= 6.0" }\n  }\n}\n'
INSTANCE = 'resource "aws_instance" "x" {\n  %s\n}\n'
REGION = 'data "aws_region" "x" {}\n'

WRONG = {
    "a value of another type": (
        'resource "aws_eip" "x" {\n  tags = ["a"]\n}\n',
        'Inappropriate value for attribute "tags": map of string required.',
    ),
    "one block too many": (
        INSTANCE % "metadata_options {\n  }\n  metadata_options {\n  }",
        'No more than 1 "metadata_options" blocks are allowed',
    ),
    "a computed attribute that is not there": (
        REGION + 'output "o" { value = data.aws_region.x.partition }\n',
        'has no argument, nested block, or exported attribute named "partition"',
    ),
    "a number where a list is": (
        INSTANCE % "vpc_security_group_ids = 1",
        'Inappropriate value for attribute "vpc_security_group_ids": set of string required',
    ),
    "a setting of the provider": ('provider "aws" {\n  regin = "x"\n}\n' + REGION, 'named "regin" is not expected'),
    "prevent_destroy by a variable": (
        'variable "v" {}\nresource "aws_eip" "x" {\n  lifecycle {\n    prevent_destroy = var.v\n  }\n}\n',
        "Variables may not be used here.",
    ),
}


def found(folder, text, schema, test=None):
    (folder / "main.tf").write_text(VERSIONS + text)
    if test is not None:
        (folder / "tests").mkdir()
        (folder / "tests" / "a.tftest.hcl").write_text('mock_provider "aws" {}\n' + test)
    return provider.problems(folder, schema, VERSION)


@pytest.mark.parametrize("case", WRONG)
def test_it_is_found(case, tmp_path, schema):
    text, sentence = WRONG[case]
    (problem,) = found(tmp_path, text, schema)
    assert sentence in problem


TEST = 'run "a" {\n  command = plan\n  assert {\n    condition = aws_eip.x.domain == "%s"\n    error_message = "another"\n  }\n}\n'


@pytest.mark.parametrize(("domain", "sentence"), [("vpc", None), ("standard", "Test assertion failed")])
def test_a_test_of_a_module(domain, sentence, tmp_path, schema):
    problems = found(tmp_path, 'resource "aws_eip" "x" {\n  domain = "vpc"\n}\n', schema, TEST % domain)
    assert [sentence in problem for problem in problems] == ([True] if sentence else [])


@pytest.mark.parametrize(
    "change", ['pools = { public = { elastic_ips = 1 } }', "protect_addresses = false", "create = false"]
)
def test_no_plan_releases_a_protected_address(change, tmp_path, schema):
    """Fewer of them, no protection all at once, no module: `tofu test` has no word for a refusal by prevent_destroy."""
    folder = tmp_path / "aws"
    shutil.copytree(aws.MODULE.folder, folder, ignore=shutil.ignore_patterns("tests", "examples"))
    (folder / "tests").mkdir()
    (folder / "tests" / "a.tftest.hcl").write_text(
        'mock_provider "aws" {}\n'
        'variables {\n  cluster_name = "prod"\n  pools = { public = { elastic_ips = 2 } }\n}\n'
        'run "before" {}\n'
        f'run "after" {{\n  command = plan\n  variables {{\n    {change}\n  }}\n}}\n'
    )
    (problem,) = provider.problems(folder, schema, VERSION)
    assert 'run "before"... pass' in problem, problem
    # The test's own cleaning up is refused as well.
    planned, _, _ = problem.partition("OpenTofu encountered an error destroying")
    assert "Instance cannot be destroyed" in planned and "aws_eip.pool" in planned, problem


def test_the_plugin_is_missing(tmp_path, schema, monkeypatch):
    monkeypatch.setattr(provider, "PLUGIN", tmp_path / "plugin")
    with pytest.raises(render.Missing, match="is missing: run tests/setup.sh terraform"):
        provider.Provider(tmp_path, schema, VERSION)


@pytest.mark.parametrize(
    ("kind", "storage", "wanted"),
    [
        ("simple", "boolean", "bool"),
        ("set", "stringList", ["set", "string"]),
        ("list", "numberList", ["list", "number"]),
        ("map", "stringMap", ["map", "string"]),
        ("set", "FirewallAllowList", None),
        ("simple", "any", "dynamic"),
    ],
)
def test_types_as_terraform_writes_them(kind, storage, wanted):
    assert bindings.type_written(kind, storage) == wanted


def of(schema, key):
    schema.read({key})
    return provider.block(schema.get(key))


def test_blocks_and_attributes_of_a_resource(schema):
    made = of(schema, "aws_network_interface")
    attributes = {attribute["name"]: attribute for attribute in made["attributes"]}
    assert attributes["subnet_id"] == {
        "name": "subnet_id", "type": "string", "required": True, "optional": False, "computed": False,
    }  # fmt: skip
    assert attributes["security_groups"]["type"] == ["set", "string"]
    blocks = {block["name"]: (block["nesting"], block["max"]) for block in made["blocks"]}
    assert blocks == {"attachment": ("set", 0), "ena_srd_specification": ("list", 1)}


def test_what_only_the_cloud_sets_has_a_type(schema):
    (attribute,) = [a for a in of(schema, "aws_eks_cluster")["attributes"] if a["name"] == "certificate_authority"]
    assert attribute["type"] == ["list", ["object", {"data": "string"}]]


def test_a_block_that_is_needed(schema):
    needed = {block["name"]: block["min"] for block in of(schema, "aws_eks_cluster")["blocks"]}
    assert needed["vpc_config"] == 1 and needed["timeouts"] == 0
