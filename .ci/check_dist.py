"""Check what the wheel and the sdist in a folder contain: all of it, and nothing else."""

from __future__ import annotations

import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = "flask_oauth2_login"
#: What must be there, should the package itself have lost it.
NEEDED = (
    f"{PACKAGE}/py.typed",
    f"{PACKAGE}/providers/presets.jsonl",
    f"{PACKAGE}/templates/oauth2_login/error.html",
)
IN_SDIST = (
    "CHANGELOG.md",
    "LICENSE",
    "README.md",
    "setup.cfg",
    "benchmarks",
    "docs",
    "example_app",
    "tests",
)


def main(folder: Path) -> None:
    (wheel,) = folder.glob("*.whl")
    (sdist,) = folder.glob("*.tar.gz")
    with zipfile.ZipFile(wheel) as archive:
        in_wheel = archive.namelist()
    with tarfile.open(sdist) as archive:
        in_sdist = [name.partition("/")[2] for name in archive.getnames()]
    package = source_files(PACKAGE)
    others = [name for path in IN_SDIST for name in source_files(path)]
    problems = [f"not in the wheel: {name}" for name in {*package, *NEEDED} - {*in_wheel}]
    problems += [f"not in the sdist: {name}" for name in {*package, *others} - {*in_sdist}]
    problems += [
        f"not to be in the wheel: {name}"
        for name in in_wheel
        if not name.startswith((f"{PACKAGE}/", f"{PACKAGE}-")) or "__pycache__" in name
    ]
    if problems:
        sys.exit("\n".join(sorted(problems)))
    print(f"{wheel.name}: {len(in_wheel)} files; {sdist.name}: {len(in_sdist)}")


def source_files(path: str) -> list[str]:
    """A file, or the files below a folder, that are part of the project."""
    found = [ROOT / path] if (ROOT / path).is_file() else (ROOT / path).rglob("*.*")
    skipped = {"__pycache__", "node_modules", "target"}
    return [
        file.relative_to(ROOT).as_posix()
        for file in found
        if file.is_file()
        and not skipped & set(file.parts)
        and file.name not in {"package-lock.json", ".gitignore"}
    ]


if __name__ == "__main__":
    main(Path(sys.argv[1]))
