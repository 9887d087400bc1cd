"""Offline checks of the Terraform modules: a check takes values and gives back sentences, none where all is well."""

from pathlib import Path

ROOT = Path(__file__).resolve().parents[3]
MODULES = ROOT / "terraform"
WORK = ROOT / "target" / "terraform"
CHART = ROOT / "deploy" / "helm" / "egret"
CRDS = ROOT / "deploy" / "crds"
