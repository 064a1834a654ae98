"""Sphinx builds the documentation with these settings.

``sphinx-build -W docs docs/_build`` in the root of the repository, with the extra ``docs``.
"""

from __future__ import annotations

import runpy
import tomllib
import typing as t
from pathlib import Path

DOCS = Path(__file__).parent
ROOT = DOCS.parent

project = "Flask-OAuth2-Login"
author = copyright = "The Flask-OAuth2-Login developers"  # noqa: A001  (Sphinx's name)
release = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
version = ".".join(release.split(".")[:2])

extensions = ["myst_parser", "sphinx.ext.autodoc", "pallets_sphinx_themes"]
exclude_patterns = ["_build"]

# `[text](page.md#section)` leads to a heading, as it does where the repository is browsed.
myst_heading_anchors = 4
# Other domains of the theme do not resolve links of Markdown.
myst_ref_domains = ["std", "py"]
myst_enable_extensions = ["colon_fence"]

# In docstrings, `name` leads to what has that name in the reference.
default_role = "py:obj"
autodoc_member_order = "bysource"
autodoc_typehints = "none"
python_maximum_signature_line_length = 88

html_theme = "flask"
html_title = project
html_static_path = ["_static"]
html_css_files = ["docs.css"]
html_show_sourcelink = False
html_copy_source = False


def setup(app: t.Any) -> None:
    """Write the pages of the providers before Sphinx looks for pages."""
    write_pages = runpy.run_path(str(DOCS / "make_provider_pages.py"))["write_pages"]
    app.connect("builder-inited", lambda _: write_pages(DOCS / "providers"))
