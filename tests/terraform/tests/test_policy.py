"""The policy has the calls that the code makes, each as narrow as EC2 allows, and a mistake in it is found."""

import copy

import pytest

from egret_terraform import hcl, policy
from egret_terraform.aws import CALLS

INTERFACE = "arn:aws:ec2:r:1:network-interface/*"


@pytest.fixture
def statements(real):
    found, problems = policy.written(real)
    assert problems == []
    return copy.deepcopy(found)


def by(statements, sid):
    return next(statement for statement in statements if statement["Sid"] == sid)


def test_an_action_too_many(statements, privileges):
    by(statements, "Read")["Action"].append("ec2:DescribeVpcs")
    assert policy.check(statements, policy.calls(CALLS), privileges) == [
        "the policy allows DescribeVpcs, which no code calls: take it out, or list it in providers/aws/ec2-calls.txt"
    ]


def test_an_action_too_few(statements, privileges):
    by(statements, "PrivateAddresses")["Action"].remove("ec2:UnassignIpv6Addresses")
    assert policy.check(statements, policy.calls(CALLS), privileges) == [
        "the code calls UnassignIpv6Addresses, which the policy does not allow: add ec2:UnassignIpv6Addresses to policy.tf"
    ]


def test_a_new_call_in_the_code(statements, privileges, tmp_path):
    changed = tmp_path / "ec2-calls.txt"
    changed.write_text(CALLS.read_text() + "ModifyNetworkInterfaceAttribute\n")
    (problem,) = policy.check(statements, policy.calls(changed), privileges)
    assert "the code calls ModifyNetworkInterfaceAttribute" in problem


WRONG = {
    "a wildcard": ("Read", {"Action": ["ec2:Describe*"]}, "ec2:Describe* is no action of EC2"),
    "an action of no service": (
        "Read",
        {"Action": ["ec2:DescribeAdresses"]},
        "ec2:DescribeAdresses is no action of EC2",
    ),
    "all resources where EC2 knows some": (
        "PrivateAddresses",
        {"Resource": "*"},
        "AssignIpv6Addresses can be scoped to network-interface: do not say Resource = *",
    ),
    "a resource where EC2 knows none": (
        "Read",
        {"Resource": INTERFACE},
        "DescribeAddresses knows no resource network-interface; say Resource = *",
    ),
    "another resource": (
        "PrivateAddresses",
        {"Resource": "arn:aws:ec2:r:1:elastic-ip/*"},
        "AssignIpv6Addresses knows no resource elastic-ip",
    ),
    "no condition": ("ElasticIPs", {"Condition": {}}, "AssociateAddress without a Condition"),
    "a tag where EC2 has none": (
        "Read",
        {"Condition": {"StringEquals": {"ec2:ResourceTag/a": "b"}}},
        "DescribeAddresses on * knows no condition key ec2:ResourceTag/a: it would never be allowed",
    ),
    "a key of the interface on the address": (
        "ElasticIPs",
        {"Condition": {"StringEquals": {"ec2:Vpc": "v"}}},
        "AssociateAddress on elastic-ip knows no condition key ec2:Vpc",
    ),
    "a denial": ("Read", {"Effect": "Deny"}, "only Allow is understood"),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_is_found(case, statements, privileges):
    sid, change, sentence = WRONG[case]
    by(statements, sid).update(change)
    problems = policy.check(statements, policy.calls(CALLS), privileges)
    assert [problem for problem in problems if sentence in problem], problems


@pytest.mark.parametrize(("sid", "kind"), [("ElasticIPs", "elastic-ip"), ("ElasticIPInterfaces", "network-interface")])
def test_a_call_that_names_two_things_is_allowed_on_both(sid, kind, statements, privileges):
    statements.remove(by(statements, sid))
    problems = policy.check(statements, policy.calls(CALLS), privileges)
    assert f"AssociateAddress names a {kind}, and no statement allows it on one" in problems


def test_an_action_that_stands_elsewhere(real, tmp_path):
    text = 'locals {\n  more = jsonencode({ Action = ["ec2:ReleaseAddress", "ec2:*"] })\n}\n'
    (tmp_path / "more.tf").write_text(text)
    more = hcl.load(tmp_path)
    _, problems = policy.written(hcl.Module(tmp_path, real.files | more.files))
    assert any("ec2:ReleaseAddress stands outside local.policy_statements" in problem for problem in problems)
    assert any("ec2:* stands outside" in problem for problem in problems)


def test_statements_that_cannot_be_read(module):
    _, problems = policy.written(module("locals {\n  policy_statements = concat([], [])\n}\n"))
    assert "local.policy_statements has no statement that can be read" in problems


def test_a_condition_that_cannot_be_read(module):
    statement = 'Sid = "A", Effect = "Allow", Action = ["ec2:X"], Resource = "*", Condition = var.a ? {} : {}'
    _, problems = policy.written(module(f"locals {{\n  policy_statements = [{{ {statement} }}]\n}}\n"))
    assert "A: write Condition as an object, local.NAME or local.NAME[var.NAME]" in problems
