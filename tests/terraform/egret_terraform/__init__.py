"""Offline checks of terraform/aws: a check takes values and gives back sentences, none where all is well."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODULE = ROOT / "terraform" / "aws"
WORK = ROOT / "target" / "terraform"
