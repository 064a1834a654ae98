"""The texts of our pages: those that code and templates have, and those of a catalogue."""

from __future__ import annotations

import ast
import re
import typing as t
from pathlib import Path

from jinja2 import Environment, nodes

import flask_oauth2_login

PACKAGE = Path(flask_oauth2_login.__file__).parent
TEMPLATES = sorted(PACKAGE.glob("templates/oauth2_login/*.html"))

#: The functions whose first argument is a text to translate. `N_` only marks it.
FUNCTIONS = frozenset({"N_", "translate", "gettext"})


def find_texts() -> set[str]:
    """All texts that are marked for translation."""
    return {*_texts_of_code(), *_texts_of_templates()}


def _texts_of_code() -> t.Iterator[str]:
    for path in PACKAGE.rglob("*.py"):
        for node in ast.walk(ast.parse(path.read_text("utf-8"))):
            if isinstance(node, ast.Call) and node.args and _name_of(node.func) in FUNCTIONS:
                (text, *_) = node.args
                if isinstance(text, ast.Constant) and isinstance(text.value, str):
                    yield str(text.value)


def _name_of(function: ast.expr) -> str:
    return getattr(function, "id", "") or getattr(function, "attr", "")


def _texts_of_templates() -> t.Iterator[str]:
    environment = Environment(autoescape=True)
    for path in TEMPLATES:
        for call in environment.parse(path.read_text("utf-8")).find_all(nodes.Call):
            if isinstance(call.node, nodes.Getattr) and call.node.attr == "gettext":
                (text,) = call.args
                assert isinstance(text, nodes.Const), f"{path.name}: {text}"
                yield str(text.value)


def bare_text(template: Path) -> str:
    """Return what a template shows people without a translation."""
    tokens = Environment(autoescape=True).lex(template.read_text("utf-8"))
    data = "".join(value for _, kind, value in tokens if kind == "data")
    return " ".join(re.sub("<[^>]*>", "", data).split())
