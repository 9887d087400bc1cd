"""Variables, outputs and the READMEs' tables."""

import pytest

from egret_terraform import documentation

GOOD = """
variable "a" {
  description = "An a."
  type = string
  default = "|"
}
output "o" {
  description = "An o."
  value = var.a
}
"""


@pytest.mark.parametrize(
    ("old", "new", "sentence"),
    [
        ('  description = "An a."\n', "", "variable a has no description"),
        ("  type = string\n", "", "variable a has no type"),
        ("var.a", '"x"', "variable a is used nowhere"),
        ('  description = "An o."\n', "", "output o has no description"),
        (
            "  type = string\n",
            '  type = string\n  validation {\n    condition = var.a != ""\n    error_message = "must not be empty"\n  }\n',
            "variable a: a validation's message begins with the variable's name",
        ),
    ],
)
def test_it_is_found(old, new, sentence, module):
    assert documentation.check(module(GOOD)) == []
    problems = documentation.check(module(GOOD.replace(old, new)))
    assert [problem for problem in problems if sentence in problem], problems


def test_a_validation_alone_is_no_use(module):
    text = GOOD.replace("var.a", '"x"').replace(
        "  type = string\n",
        '  type = string\n  validation {\n    condition = var.a != ""\n    error_message = "a: x"\n  }\n',
    )
    assert any("variable a is used nowhere" in problem for problem in documentation.check(module(text)))


README = "# x\n<!-- inputs: generated -->\n<!-- end -->\n<!-- outputs: generated -->\n<!-- end -->\nrest\n"


def test_a_stale_table_is_found_and_written_anew(module, tmp_path, monkeypatch):
    readme, made = tmp_path / "README.md", module(GOOD)
    readme.write_text(README)
    monkeypatch.delenv(documentation.UPDATE, raising=False)
    assert [
        p
        for p in documentation.check_readme(made, readme)
        if "the table of inputs is stale: EGRET_UPDATE=1 make terraform" in p
    ]
    assert readme.read_text() == README

    monkeypatch.setenv(documentation.UPDATE, "1")
    assert documentation.check_readme(made, readme) == []
    monkeypatch.delenv(documentation.UPDATE)
    assert documentation.check_readme(made, readme) == []
    assert '| `a` | `string` | `"\\|"` | An a. |' in readme.read_text()
    assert readme.read_text().endswith("rest\n")

    assert documentation.check_readme(module(GOOD.replace("An o.", "Another.")), readme) == [
        f"{tmp_path.name}/README.md: the table of outputs is stale: EGRET_UPDATE=1 make terraform"
    ]


def test_a_readme_without_tables(module, tmp_path):
    (tmp_path / "README.md").write_text("# x\n")
    assert len(documentation.check_readme(module(GOOD), tmp_path / "README.md")) == 2
