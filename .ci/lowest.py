"""Print pip's constraints for the lowest versions that pyproject.toml allows, one a line."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path


def main() -> None:
    text = (Path(__file__).parent.parent / "pyproject.toml").read_text()
    project = tomllib.loads(text)["project"]
    extras = project["optional-dependencies"].values()
    for wanted in sorted({*project["dependencies"]}.union(*extras)):
        if found := re.fullmatch(r"([\w-]+)(?:\[.*\])?>=([\w.]+)", wanted):
            print(f"{found[1]}=={found[2]}")


if __name__ == "__main__":
    main()
