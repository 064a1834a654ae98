"""Check what the wheel and the sdist in a folder contain."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

PACKAGE = "flask_oauth2_login"
IN_WHEEL = ("py.typed", "protocol/presets.json", "templates/oauth2_login/error.html")
IN_SDIST = ("CHANGELOG.md", "LICENSE", "README.md", "setup.cfg", "tests/__init__.py")


def main(folder: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    names = zipfile.ZipFile(wheel).namelist()
    with tarfile.open(sdist) as archive:
        packed = [name.partition("/")[2] for name in archive.getnames()]
    missing = [name for name in IN_WHEEL if f"{PACKAGE}/{name}" not in names]
    missing += [name for name in IN_SDIST if name not in packed]
    stray = [n for n in names if not n.startswith((f"{PACKAGE}/", f"{PACKAGE}-"))]
    if missing or stray:
        sys.exit(f"missing: {missing}, not to be in the wheel: {stray}")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
