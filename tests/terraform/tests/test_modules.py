"""Every folder below terraform/ is described, and a package that was exchanged is not read."""

import dataclasses

import pytest

from egret_terraform import gcp, modules
from egret_terraform.schema import Schema


def test_a_module_without_a_description(monkeypatch):
    assert modules.problems() == []
    monkeypatch.delitem(modules.ALL, "gcp")
    assert modules.problems() == [
        "terraform/gcp has no description in tests/terraform/egret_terraform/modules.py"
    ]


def test_another_package_than_was_pinned(tmp_path, monkeypatch):
    monkeypatch.setattr("egret_terraform.description.WORK", tmp_path)
    package = dataclasses.replace(gcp.PACKAGE, version="0.0.0")
    with pytest.raises(SystemExit, match="is missing: run tests/setup.sh terraform"):
        Schema(package)
    package.archive.write_bytes(b"x")
    with pytest.raises(SystemExit, match="is not the package that was pinned"):
        Schema(package)


def test_another_client_than_was_pinned(tmp_path, monkeypatch):
    gcp.methods.cache_clear()
    monkeypatch.setattr(gcp, "CLIENT", tmp_path / "client.whl")
    with pytest.raises(SystemExit, match="is missing: run tests/setup.sh terraform"):
        gcp.methods()
    (tmp_path / "client.whl").write_bytes(b"x")
    with pytest.raises(SystemExit, match="is not the package that was pinned"):
        gcp.methods()
