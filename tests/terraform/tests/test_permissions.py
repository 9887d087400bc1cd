"""The role has what the calls of providers/gcp need, and a mistake in the role or in the table is found."""

import dataclasses

import pytest

from egret_terraform import gcp, hcl, permissions


@pytest.fixture(scope="module")
def rows():
    return permissions.table(gcp.TABLE)


@pytest.fixture
def granted():
    found, problems = permissions.written(hcl.load(gcp.MODULE.folder))
    assert problems == []
    return found


HA = "HAPolicy"


def changed(rows, of, **change):
    return [dataclasses.replace(row, **change) if row.method == f"compute.{of}" else row for row in rows]


def test_a_permission_too_many(granted, rows):
    granted[HA].insert(0, "compute.addresses.create")
    assert permissions.role_problems(granted, rows) == [
        "local.permissions_of.HAPolicy has compute.addresses.create, "
        "which no call of permissions.tsv needs in this mode: take it out"
    ]


def test_a_permission_of_another_mode(granted, rows):
    granted["AliasRange"] = sorted([*granted["AliasRange"], "compute.instances.use"])
    assert permissions.role_problems(granted, rows) == [
        "local.permissions_of.AliasRange has compute.instances.use, "
        "which no call of permissions.tsv needs in this mode: take it out"
    ]


def test_a_permission_too_few(granted, rows):
    granted[HA].remove("compute.regionBackendServices.update")
    assert permissions.role_problems(granted, rows) == [
        "local.permissions_of.HAPolicy lacks compute.regionBackendServices.update, "
        "which a call of permissions.tsv needs in this mode"
    ]


def test_a_mode_that_is_not_there(granted, rows):
    granted["Anycast"] = granted.pop("AliasRange")
    sentence = "local.permissions_of has HAPolicy, TargetInstance, Anycast, not HAPolicy, TargetInstance, AliasRange"
    assert sentence in permissions.role_problems(granted, rows)


@pytest.mark.parametrize("change", [list.reverse, lambda names: names.insert(0, names[0])])
def test_an_order_that_hides_a_change(change, granted, rows):
    change(granted[HA])
    assert permissions.role_problems(granted, rows) == ["local.permissions_of.HAPolicy: sort it, each permission once"]


def test_a_new_call_in_the_table(granted, rows):
    new = permissions.Row(
        "compute.instances.setTags",
        (HA,),
        frozenset({"compute.instances.setTags"}),
        frozenset(),
        f"{permissions.PAGES}/instances/setTags",
    )
    assert permissions.table_problems(sorted([*rows, new], key=lambda row: row.method), gcp.methods()) == []
    assert permissions.role_problems(granted, [*rows, new]) == [
        "local.permissions_of.HAPolicy lacks compute.instances.setTags, "
        "which a call of permissions.tsv needs in this mode"
    ]


WRONG = {
    "a method that there is not": (
        "instances.get",
        {"method": "compute.instances.fetch"},
        "compute.instances.fetch is no method of compute v1",
    ),
    "another page": (
        "instances.get",
        {"page": f"{permissions.PAGES}/instances/list"},
        f"compute.instances.get: its page is {permissions.PAGES}/instances/get",
    ),
    "a permission of its own that is missing": (
        "regionBackendServices.patch",
        {"permissions": frozenset({"compute.regionBackendServices.update"})},
        "compute.regionBackendServices.patch needs compute.regionBackendServices.get",
    ),
    "more than the method needs": (
        "instances.get",
        {"inferred": frozenset({"compute.instances.delete"})},
        "compute.instances.get: compute.instances.delete is no use of another resource",
    ),
    "a resource that there is not": (
        "forwardingRules.insert",
        {"inferred": frozenset({"compute.address.use"})},
        "compute.forwardingRules.insert: compute.address.use is no use of another resource",
    ),
    "a permission in both columns": (
        "instances.get",
        {"inferred": frozenset({"compute.instances.get"})},
        "compute.instances.get: compute.instances.get is in both columns",
    ),
    "a mode that there is not": (
        "instances.get",
        {"modes": (HA, "Anycast")},
        "compute.instances.get: its modes are some of HAPolicy, TargetInstance, AliasRange, in this order",
    ),
    "no mode": ("instances.get", {"modes": ()}, "compute.instances.get: its modes are some of"),
    "modes in another order": (
        "instances.get",
        {"modes": ("AliasRange", HA)},
        "compute.instances.get: its modes are some of",
    ),
    "a method twice in a mode": (
        "forwardingRules.insert",
        {"modes": (HA, "TargetInstance")},
        "sort the rows by method, each method once in a mode",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_is_found(case, rows):
    method, change, sentence = WRONG[case]
    problems = permissions.table_problems(changed(rows, method, **change), gcp.methods())
    assert [problem for problem in problems if sentence in problem], problems


def test_rows_out_of_order_and_a_row_twice(rows):
    for wrong in (rows[::-1], [rows[0], *rows]):
        problems = permissions.table_problems(wrong, gcp.methods())
        assert problems == ["sort the rows by method, each method once in a mode"]


@pytest.mark.parametrize(
    ("text", "sentence"),
    [
        ("method\tpermissions\n", "the columns are method, modes, permissions, inferred, page"),
        ("\t".join(permissions.COLUMNS) + "\ncompute.x.get compute.x.get\n", "1 columns, not 5; tabs separate them"),
    ],
)
def test_a_table_that_cannot_be_read(text, sentence, tmp_path):
    (tmp_path / "permissions.tsv").write_text(text)
    with pytest.raises(SystemExit, match=sentence):
        permissions.table(tmp_path / "permissions.tsv")


def test_permissions_that_stand_elsewhere(module):
    text = """
    locals {
      permissions_of = {
        HAPolicy = ["compute.instances.get"]
      }
      more = ["compute.instances.delete", "compute.firewalls.*"]
    }
    resource "google_project_iam_member" "x" {
      role = "roles/compute.admin"
    }
    """
    granted, problems = permissions.written(module(text))
    assert granted == {HA: ["compute.instances.get"]}
    assert any("compute.instances.delete stands outside local.permissions_of" in problem for problem in problems)
    assert any("compute.firewalls.* stands outside" in problem for problem in problems)
    assert any('"roles/compute.admin" is a role of Google\'s' in problem for problem in problems)


def test_lists_that_cannot_be_read(module):
    for text, sentence in (
        ("merge({}, {})", "local.permissions_of has no lists that can be read"),
        ("{ HAPolicy = concat([], []) }", "local.permissions_of.HAPolicy has no list that can be read"),
    ):
        _, problems = permissions.written(module(f"locals {{\n  permissions_of = {text}\n}}\n"))
        assert sentence in problems


SHARED = {"host_project": "network-project"}


ALIAS = {"modes": ["AliasRange"]}


@pytest.mark.parametrize(
    ("role", "change", "variables"),
    [
        ("role_permissions", lambda names: names[1:], {}),
        ("role_permissions", lambda names: names[1:], ALIAS),
        ("role_permissions", lambda names: [*names, "compute.forwardingRules.create"], ALIAS),
        ("role_permissions", lambda names: [*names, "compute.subnetworks.get"], SHARED),
        ("network_role_permissions", lambda names: names[1:], SHARED),
        ("network_role_permissions", lambda names: ["compute.networks.use"], {}),
    ],
)
def test_a_rendered_role_that_is_another(role, change, variables, rows):
    wanted = permissions.needed(rows, variables.get("modes", [HA]))
    network = {name for name in wanted if name.startswith(permissions.NETWORK)} if variables is SHARED else set()
    values = {"role_permissions": sorted(wanted - network), "network_role_permissions": sorted(network)}
    assert permissions.rendered_problems(values, variables, rows) == []
    (problem,) = permissions.rendered_problems(values | {role: change(values[role])}, variables, rows)
    assert problem.startswith(f"{role} is not what permissions.tsv asks for: compute.")
