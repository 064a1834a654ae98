"""Write a page for each provider into ``docs/providers``, and the table of ``docs/providers.md``.

.. code-block:: sh

    python docs/make_provider_pages.py

Everything comes from the rows of the presets. A page that was written by hand stays as it is.
"""

from __future__ import annotations

import re
import sys
import typing as t
from pathlib import Path

from flask_oauth2_login.providers.described import Description, Setting, describe
from flask_oauth2_login.providers.oddities import listed, show_places
from flask_oauth2_login.providers.presets import preset_names
from flask_oauth2_login.providers.rows import all_rows

DOCS = Path(__file__).parent
#: The first line of each page that is made. A page that begins otherwise was written by hand.
MARK = "<!-- Made by docs/make_provider_pages.py -->"

#: Variables that the provider gets in the User-Agent. Their defaults are long.
_SENT = ("app", "contact")
_HEAD = "| preset | provider | variables | sources | notes |\n|---|---|---|---|---|\n"


def main() -> None:
    written = write_pages(DOCS / "providers")
    index = DOCS / "providers.md"
    index.write_text(with_table(index.read_text("utf-8")), "utf-8")
    sys.stdout.write(f"{written} pages are in {DOCS / 'providers'}.\n")


def write_pages(folder: Path) -> int:
    """Write the page of each provider that has none by hand; return how many."""
    folder.mkdir(exist_ok=True)
    names = [name for name in preset_names() if not is_by_hand(folder / f"{name}.md")]
    for name in names:
        told = describe(name, url=f"https://<host>/{name}")
        (folder / f"{name}.md").write_text(make_page(told), "utf-8")
    return len(names)


def is_by_hand(page: Path) -> bool:
    return page.exists() and not page.read_text("utf-8").startswith(MARK)


# -- a page


def make_page(told: Description) -> str:
    parts = [MARK, f"# {told.label}", _register(told), _configure(told), _scopes(told)]
    if told.roles:
        paths = listed([f"`{show_places(path)}`" for path in told.roles])
        parts.append(f"## Roles\n\n`identity.roles` is what its answers have at {paths}.")
    if told.oddities:
        parts.append("## What is particular\n\n" + "\n".join(f"- {line}" for line in told.oddities))
    parts.append(f"## How far to trust this\n\n{told.confidence}")
    return "\n\n".join(parts) + "\n"


def _register(told: Description) -> str:
    where = f"at <{told.register_url}>" if told.register_url.startswith("https://") else ""
    if "<" in told.register_url:
        where = f"at `{told.register_url}`"
    rows = "\n".join(f"| {entry.field} | `{entry.value}` |" for entry in told.entries)
    return (
        f"## Register\n\nRegister an app {where or f'with {told.label}'}, and enter:\n\n"
        f"| field | value |\n|---|---|\n{rows}"
    )


def _configure(told: Description) -> str:
    rows = "\n".join(f"| `{each.key}` | {_meaning(each)} |" for each in told.settings)
    return (
        f"## Configure\n\n| key of `app.config` | value |\n|---|---|\n{rows}\n\n"
        "```python\nfrom flask_oauth2_login import OAuth2Login\n\n"
        f'app.register_blueprint(OAuth2Login("{told.name}"), url_prefix="/{told.name}")\n```'
    )


def _meaning(setting: Setting) -> str:
    field = setting.field if setting.is_known else f"`{setting.field}`"
    return field if setting.default is None else f"{field}, by default `{setting.default}`"


def _scopes(told: Description) -> str:
    scopes = ", ".join(f"`{scope}`" for scope in told.scopes)
    asked = f"A sign-in requests {scopes}; `scope=` replaces that."
    return f"## Scopes\n\n{asked if scopes else 'A sign-in requests no scope.'} {told.offline}"


# -- the table of all of them


def with_table(page: str) -> str:
    """Return the page that lists all presets, with a table of the rows as they are."""
    start = page.index(_HEAD)
    end = re.compile(r"^(?!\|)", re.MULTILINE).search(page, start)
    rows = "".join(map(_row, all_rows()))
    page = page[:start] + _HEAD + rows + (page[end.start() :] if end else "")
    return re.sub(r"There are \d+\.", f"There are {len(all_rows())}.", page)


def _row(row: t.Mapping[str, t.Any]) -> str:
    name, told = row["name"], describe(row["name"])
    by_hand = is_by_hand(DOCS / "providers" / f"{name}.md")
    preset = f"[`{name}`](providers/{name}.md)" if by_hand else f"`{name}`"
    url = row.get("register_url", "")
    label = f"[{told.label}]({url})" if url and "{" not in url else told.label
    variables = [
        f"`{variable}`" + (f" ({value})" if value and variable not in _SENT else "")
        for variable, value in row.get("variables", {}).items()
    ]
    sources = f"{told.sources}{'' if told.confirmed else ', unconfirmed'}"
    cells = [preset, label, ", ".join(variables) or "\N{EN DASH}", sources, row.get("notes", "")]
    return f"| {' | '.join(cells)} |\n"


if __name__ == "__main__":
    main()
