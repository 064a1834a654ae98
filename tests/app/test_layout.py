"""Where modules are, and which way their imports point: downwards, and never in a circle.

An import for the sake of a type counts as any other: who reads a module has to know that one, too.
"""

from __future__ import annotations

import ast
import itertools
import typing as t
from pathlib import Path

import pytest

import flask_oauth2_login

ROOT = Path(flask_oauth2_login.__file__).parent

#: Folders, and modules beside them, from the top to the bottom. Each may import those below it.
#: Other modules beside them are to be put in here.
ORDER = (
    "",  # the package itself: public names
    "cli", "testing",
    "doctor", "blueprint", "arguments", "registering", "views", "hooks", "checks",
    "jobs", "sign_ins", "key_rotation", "globals",
    "providers", "signin", "signout", "web", "look", "session", "config", "client", "stores",
    "signals", "protocol", "later",
)  # fmt: skip

#: The most lines of a module, so that it can be read at one go.
MAX_LINES = 350

#: Documented names of modules that are elsewhere by now. They only import what is there, and no
#: other module imports them, so they are the one exception from the order.
FORMER_NAMES = {"stores.conformance": "testing.stores"}


class Import(t.NamedTuple):
    """One module that another one imports."""

    importer: str
    line: int
    imported: str

    def __str__(self) -> str:
        return f"{self.importer or '__init__'}, line {self.line}: {self.imported or '__init__'}"


def module_name(path: Path) -> str:
    """A module's name within the package; of a folder, and of the package, their own."""
    parts = path.relative_to(ROOT).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


MODULES = {module_name(path): path for path in sorted(ROOT.rglob("*.py"))}


def place(module: str) -> str:
    """The row of `ORDER` that a module belongs to."""
    return module.partition(".")[0]


def read_imports(module: str) -> t.Iterator[Import]:
    """What a module imports of the package, anywhere in its code."""
    path = MODULES[module]
    package = [flask_oauth2_login.__name__, *path.relative_to(ROOT).parent.parts]
    for node in ast.walk(ast.parse(path.read_text("utf-8"))):
        if isinstance(node, ast.ImportFrom):
            within = package[: len(package) - node.level + 1] if node.level else []
            source = ".".join([*within, *([node.module] if node.module else [])])
            names = [(f"{source}.{alias.name}", source) for alias in node.names]
        elif isinstance(node, ast.Import):
            names = [(alias.name, alias.name) for alias in node.names]
        else:
            continue
        for candidates in names:
            for name in candidates:
                top, _, rest = name.partition(".")
                if top == flask_oauth2_login.__name__ and rest in MODULES:
                    yield Import(module, node.lineno, rest)
                    break


IMPORTS = [found for module in MODULES for found in read_imports(module)]


def reached_from(module: str) -> set[str]:
    """All modules that one imports, by way of others too, within its own place."""
    reached: set[str] = set()
    ahead = [module]
    while ahead:
        here = ahead.pop()
        for _, _, imported in (found for found in IMPORTS if found.importer == here):
            if imported not in reached and place(imported) == place(module):
                reached.add(imported)
                ahead.append(imported)
    return reached


def test_the_imports_are_found() -> None:
    found = {(each.importer, each.imported) for each in IMPORTS}
    assert {
        ("", "blueprint"),  # from .blueprint import
        ("blueprint", "jobs"),  # from . import
        ("signin.flow", "protocol.errors"),  # from ..protocol.errors import
        ("signin.flow", "signin.attempt"),  # from .attempt import
        ("client.userinfo", "protocol.id_token"),  # for the sake of a type
        ("session.store_option", "stores.redis"),  # in a function
    } <= found


def test_every_module_has_a_place() -> None:
    assert {place(module) for module in MODULES} == set(ORDER)


def test_imports_point_downwards() -> None:
    upwards = [
        str(each)
        for each in IMPORTS
        if ORDER.index(place(each.importer)) > ORDER.index(place(each.imported))
        and FORMER_NAMES.get(each.importer) != each.imported
    ]
    assert upwards == []


@pytest.mark.parametrize("former", FORMER_NAMES)
def test_a_former_name_holds_imports_alone_and_nothing_imports_it(former: str) -> None:
    statements = ast.parse(MODULES[former].read_text("utf-8")).body[1:]
    assert all(isinstance(statement, ast.ImportFrom) for statement in statements)
    assert {each.imported for each in IMPORTS if each.importer == former} == {FORMER_NAMES[former]}
    assert [str(each) for each in IMPORTS if each.imported == former] == []


@pytest.mark.parametrize("folder", ORDER)
def test_no_modules_of_a_folder_import_each_other_in_a_circle(folder: str) -> None:
    inside = {name: reached_from(name) for name in MODULES if place(name) == folder}
    circles = [
        (one, other)
        for one, other in itertools.combinations_with_replacement(inside, 2)
        if other in inside[one] and one in inside[other]
    ]
    assert circles == []


def test_no_module_is_too_long_to_read() -> None:
    lengths = {name: len(path.read_text("utf-8").splitlines()) for name, path in MODULES.items()}
    assert {name for name, lines in lengths.items() if lines > MAX_LINES} == set()
