import pytest

from egret_terraform import aws, gcp, hcl, policy
from egret_terraform.schema import Schema


@pytest.fixture(scope="session")
def schema():
    return Schema(aws.PACKAGE)


@pytest.fixture(scope="session")
def google():
    return Schema(gcp.PACKAGE)


@pytest.fixture(scope="session")
def privileges():
    return policy.reference()


@pytest.fixture
def module(tmp_path):
    """A module with the text as its only file."""

    def make(text: str) -> hcl.Module:
        (tmp_path / "main.tf").write_text(text)
        return hcl.load(tmp_path)

    return make


@pytest.fixture(scope="session")
def real():
    return hcl.load(aws.MODULE.folder)
