"""The modules below terraform/."""

from . import MODULES, aws, gcp
from .description import Description

ALL: dict[str, Description] = {description.name: description for description in (aws.MODULE, gcp.MODULE)}


def problems() -> list[str]:
    """Folders that no description speaks of would not be checked."""
    return [
        f"terraform/{folder.name} has no description in tests/terraform/egret_terraform/modules.py"
        for folder in sorted(MODULES.iterdir())
        if folder.is_dir() and not folder.name.startswith(".") and folder.name not in ALL
    ]
