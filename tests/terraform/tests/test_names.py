"""A wrong name in a .tf file is found, and the sentence names it."""

import pytest

from egret_terraform import aws, hcl, names

EIP = 'resource "aws_eip" "x" {\n  %s\n}\n'
INTERFACE = 'resource "aws_network_interface" "x" {\n  subnet_id = "subnet-1"\n  %s\n}\n'

WRONG = {
    "a type that the provider has not": (
        'resource "aws_elastic_ip" "x" {}\n',
        "aws_elastic_ip.x: the provider has no resource aws_elastic_ip",
    ),
    "a data source that it has not": (
        'data "aws_regionn" "x" {}\n',
        "the provider has no data aws_regionn; did you mean data-aws-region",
    ),
    "an attribute that the type has not": (
        EIP % 'domian = "vpc"',
        "aws_eip.x: no attribute or block domian; did you mean domain?",
    ),
    "an attribute that only AWS sets": (EIP % 'allocation_id = "a"', "allocation_id is computed and cannot be set"),
    "a required attribute that is missing": (
        'resource "aws_ec2_subnet_cidr_reservation" "x" {\n  subnet_id = "s"\n  cidr_block = "10.0.0.0/28"\n}\n',
        "aws_ec2_subnet_cidr_reservation.x: reservation_type is required and missing",
    ),
    "a block that the type has not": (
        INTERFACE % "attachmant {\n}",
        "no attribute or block attachmant; did you mean attachment?",
    ),
    "an attribute of a block": (
        INTERFACE % 'attachment {\n    instance = "i"\n    device_index = 1\n    card = 0\n  }',
        "aws_network_interface.x.attachment: no attribute or block card",
    ),
    "a required attribute of a block": (
        INTERFACE % 'attachment {\n    instance = "i"\n  }',
        "aws_network_interface.x.attachment: device_index is required and missing",
    ),
    "the same in a dynamic block": (
        INTERFACE % 'dynamic "attachment" {\n    for_each = [1]\n    content {\n      instance = "i"\n    }\n  }',
        "aws_network_interface.x.attachment: device_index is required and missing",
    ),
    "a block written as an attribute": (
        INTERFACE % 'attachment = [{ instance = "i", device_index = 1 }]',
        "attachment is a block: write attachment { … }",
    ),
    "an attribute written as a block": (EIP % 'tags {\n    a = "b"\n  }', "tags is an attribute: write tags = …"),
    "a name in ignore_changes": (
        EIP % "lifecycle {\n    ignore_changes = [instances]\n  }",
        "lifecycle.ignore_changes names instances, which is no attribute of it; did you mean instance?",
    ),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_is_found(case, module, schema):
    text, sentence = WRONG[case]
    problems = names.check(module(text), schema)
    assert [problem for problem in problems if sentence in problem], problems


def test_nothing_is_found_where_nothing_is_wrong(module, schema):
    text = (EIP % 'domain = "vpc"\n  count = 2') + (
        INTERFACE % 'attachment {\n    instance = "i"\n    device_index = 1\n  }'
    )
    assert names.check(module(text), schema) == []


def test_a_file_that_is_no_hcl_is_named(tmp_path):
    (tmp_path / "broken.tf").write_text('resource "aws_eip" {{\n')
    with pytest.raises(hcl.Malformed, match="broken.tf: not HCL"):
        hcl.load(tmp_path)


def test_a_text_that_no_file_may_have(module, tmp_path):
    made = module('locals {\n  # arn:aws: in a comment\n  role = "arn:aws:iam::aws:policy/X"\n}\n')
    found = names.refused_texts(made, aws.MODULE.refused)
    assert found == [
        f"{tmp_path.name}/main.tf:3: arn:aws: is of one partition only: say arn:${{data.aws_partition.current.partition}}:"
    ]


FIREWALL = 'resource "google_compute_firewall" "x" {\n  name = "x"\n  network = "n"\n  %s\n}\n'

# The bindings of this provider are compiled for older runtimes, and those of large resources lie in several files.
GOOGLE = {
    "an attribute": (FIREWALL % "source_range = []", "no attribute or block source_range; did you mean source_ranges?"),
    "an attribute that only Google sets": (FIREWALL % 'self_link = "s"', "self_link is computed and cannot be set"),
    "a required attribute that is missing": (
        'resource "google_project_iam_custom_role" "x" {\n  role_id = "r"\n  title = "t"\n}\n',
        "google_project_iam_custom_role.x: permissions is required and missing",
    ),
    "a required attribute of a block": (
        FIREWALL % 'allow {\n    ports = ["1"]\n  }',
        "google_compute_firewall.x.allow: protocol is required and missing",
    ),
    "a block written as an attribute": (FIREWALL % "allow = []", "allow is a block: write allow { … }"),
    "an attribute of a block in another file": (
        'resource "google_container_cluster" "x" {\n  name = "x"\n  release_channel {\n    chanel = "x"\n  }\n}\n',
        "google_container_cluster.x.release_channel: no attribute or block chanel; did you mean channel?",
    ),
    "a type that the provider has not": (
        'resource "google_compute_adress" "x" {}\n',
        "the provider has no resource google_compute_adress; did you mean compute-address",
    ),
}


@pytest.mark.parametrize("case", GOOGLE)
def test_it_is_found_in_googles(case, module, google):
    text, sentence = GOOGLE[case]
    problems = names.check(module(text), google)
    assert [problem for problem in problems if sentence in problem], problems


def test_nothing_is_found_where_nothing_is_wrong_in_googles(module, google):
    text = FIREWALL % 'allow {\n    protocol = "tcp"\n  }\n  source_ranges = ["0.0.0.0/0"]'
    assert names.check(module(text), google) == []
