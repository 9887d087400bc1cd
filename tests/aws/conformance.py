#!/usr/bin/env python3
"""Does EC2 answer as Egret and its double expect? `conformance.py --help`; the steps are in conformance/."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parent / "conformance"))

from egret_conformance.cli import main  # noqa: E402

if __name__ == "__main__":
    sys.exit(main())
