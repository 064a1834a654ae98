"""``flask oauth2 providers``: the presets, and what to enter at a provider's console."""

from __future__ import annotations

import dataclasses
import textwrap
import typing as t

import click

from ..providers.described import Description, describe
from ..providers.rows import all_rows
from .optional_app import find_app, views_url
from .output import as_json, print_json, print_table

#: The most characters of a line of text.
WIDTH = 100


@click.command("providers")
@click.argument("name", required=False)
@as_json
@click.pass_context
def providers(ctx: click.Context, name: str | None, as_json: bool) -> None:
    """List the presets, or show what to enter at the console of the provider NAME.

    It needs no app. With an app, the app's own providers are listed too, and URLs are the app's.
    """
    app = find_app(ctx)
    own: t.Mapping[str, t.Any] = (app and app.config.get("OAUTH2_LOGIN_PROVIDERS")) or {}
    if name is None:
        _print_all(own, as_json=as_json)
        return
    described = describe(name, url=views_url(app, name), own=own)
    if as_json:
        print_json(dataclasses.asdict(described) | {"confidence": described.confidence})
    else:
        _print_one(described)


def _print_all(own: t.Mapping[str, t.Any], *, as_json: bool) -> None:
    rows = {row["name"]: row for row in all_rows()}
    known = {name: {**rows.get(name, {}), **own.get(name, {})} for name in {*rows, *own}}
    listed = [
        {
            "name": name,
            "label": row.get("label", name),
            "confirmed": row.get("confirmed", True),
            "is_own": name in own,
        }
        for name, row in sorted(known.items())
    ]
    if as_json:
        print_json(listed)
        return
    print_table([(each["name"], each["label"], _remark(each)) for each in listed])


def _remark(listed: t.Mapping[str, t.Any]) -> str:
    remarks = [] if listed["confirmed"] else ["unconfirmed"]
    return ", ".join([*remarks, *(["the app's own"] if listed["is_own"] else [])])


def _print_one(told: Description) -> None:
    click.echo(f"{told.label} ({told.name})\n")
    where = f" at {told.register_url}" if told.register_url else " with the provider"
    click.echo(f"Register the app{where}, and enter:")
    _print_indented([(entry.field, entry.value) for entry in told.entries])
    click.echo("\nSet in app.config:")
    _print_indented(
        [
            (each.key, each.field + (f" (default: {each.default})" if each.default else ""))
            for each in told.settings
        ]
    )
    click.echo(f"\nScopes: {' '.join(told.scopes) or 'none'}")
    if told.roles:
        click.echo(f"Roles: {', '.join(told.roles)}")
    click.echo()
    for sentence in (told.offline, *told.oddities, told.confidence):
        click.echo(
            textwrap.fill(sentence.replace("`", ""), WIDTH, break_on_hyphens=False,
                          break_long_words=False)
        )  # fmt: skip


def _print_indented(rows: list[tuple[str, str]]) -> None:
    print_table([(f"  {name}", value) for name, value in rows])
