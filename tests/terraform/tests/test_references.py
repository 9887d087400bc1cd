"""A reference that leads nowhere is found."""

import pytest

from egret_terraform import references

BASE = """
resource "aws_eip" "x" {
  for_each = toset(["a"])
}
resource "aws_subnet" "s" {
  for_each = { a = 1 }
  vpc_id   = "vpc-1"
}
resource "aws_eks_cluster" "c" {
  name     = "c"
  role_arn = "r"
  vpc_config {
    subnet_ids = []
  }
}
"""

OBJECT = """
variable "one" {
  type = object({ name = string })
}
variable "many" {
  type = map(object({ name = string, id = optional(string) }))
}
"""

WRONG = {
    "an attribute": (
        'output "o" { value = aws_eip.x["a"].publicip }',
        "aws_eip.x has no attribute publicip; did you mean public_ip",
    ),
    "behind a splat": ('output "o" { value = aws_eip.x[*].adress }', "aws_eip.x has no attribute adress"),
    "behind an index with an index": (
        'locals { i = [0] }\noutput "o" { value = aws_eip.x[local.i[0]].nope }',
        "has no attribute nope",
    ),
    "in a computed object": (
        'output "o" { value = aws_eks_cluster.c.identity[0].oidc[0].url }',
        "aws_eks_cluster.c.identity.oidc has no attribute url",
    ),
    "of a loop's variable": ('output "o" { value = [for k, e in aws_eip.x : e.ip] }', "aws_eip.x has no attribute ip"),
    "of each.value": (
        'resource "aws_eip" "y" {\n  for_each = aws_subnet.s\n  tags = { Name = each.value.ident }\n}',
        "aws_subnet.s has no attribute ident",
    ),
    "in a text": ('output "o" { value = "address ${aws_eip.x["a"].publicip}" }', "has no attribute publicip"),
    "of an object": (OBJECT + 'output "o" { value = var.one.nme }', "var.one has no attribute nme; did you mean name"),
    "of a map's object, in a loop": (
        OBJECT + 'output "o" { value = [for k, v in var.many : v.ident] }',
        "var.many has no attribute ident",
    ),
    "of a map's object, by each.value": (
        OBJECT + 'resource "aws_eip" "y" {\n  for_each = var.many\n  instance = each.value.ident\n}',
        "var.many has no attribute ident",
    ),
    "to a resource": ('output "o" { value = aws_eip.y.id }', "aws_eip.y is declared nowhere"),
    "to a data source": (
        'output "o" { value = data.aws_region.current.region }',
        "data.aws_region.current is declared nowhere",
    ),
    "to a variable": ('output "o" { value = var.nope }', "var.nope is declared nowhere"),
    "to a local": ('output "o" { value = local.nope }', "local.nope is declared nowhere"),
    "from nowhere to a local": ("locals { alone = 1 }", "local.alone is used nowhere"),
}


@pytest.mark.parametrize("case", WRONG)
def test_it_is_found(case, module, schema):
    text, sentence = WRONG[case]
    problems = references.check(module(f"{BASE}\n{text}\n"), schema)
    assert [problem for problem in problems if sentence in problem], problems


def test_nothing_is_found_where_nothing_is_wrong(module, schema):
    text = """
    output "a" { value = [for k, e in aws_eip.x : { ip = e.public_ip, id = e.allocation_id }] }
    output "b" { value = aws_eks_cluster.c.identity[0].oidc[0].issuer }
    output "c" { value = values(aws_subnet.s)[*].id }
    """
    assert references.check(module(BASE + text), schema) == []


@pytest.mark.parametrize(
    ("use", "sentence"),
    [
        ("google_compute_address.a.adress", "google_compute_address.a has no attribute adress; did you mean address"),
        ("google_compute_address.b.address", "google_compute_address.b is declared nowhere"),
        ("[for a in google_compute_address.a : a.ip]", "google_compute_address.a has no attribute ip"),
        ("data.google_project.this.number", "data.google_project.this is declared nowhere"),
    ],
)
def test_it_is_found_in_googles(use, sentence, module, google):
    text = f'resource "google_compute_address" "a" {{\n  name = "a"\n}}\noutput "o" {{ value = {use} }}\n'
    problems = references.check(module(text), google)
    assert [problem for problem in problems if sentence in problem], problems


CALLED = 'variable "given" {\n  type = string\n}\noutput "out" {\n  value = var.given\n}\n'


@pytest.mark.parametrize(
    ("call", "sentence"),
    [
        ('module "m" {\n  source = "./called"\n}\n', "module.m needs the variable given"),
        (
            'module "m" {\n  source = "./called"\n  given = 1\n  givn = 1\n}\n',
            "module.m has no variable givn; did you mean given",
        ),
        (
            'module "m" {\n  source = "./called"\n  given = 1\n}\noutput "o" { value = module.m.outt }\n',
            "module.m has no output outt; did you mean out",
        ),
        ('output "o" { value = module.n.out }\n', "module.n is declared nowhere"),
    ],
)
def test_a_call_of_a_module_that_does_not_fit_it(call, sentence, module, schema, tmp_path):
    (tmp_path / "called").mkdir()
    (tmp_path / "called" / "main.tf").write_text(CALLED)
    problems = references.check(module(call), schema)
    assert [problem for problem in problems if sentence in problem], problems
