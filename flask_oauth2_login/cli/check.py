"""``flask oauth2 check``: the doctor."""

from __future__ import annotations

import dataclasses
import os
import textwrap
import typing as t

import click
from flask import Flask, has_app_context
from flask.cli import ScriptInfo

from ..doctor.environment import find_cause
from ..doctor.examination import examine
from ..doctor.findings import LEVELS, Finding
from ..protocol.errors import ConfigurationError
from ..session.context import this_app
from .logins import tenant_option
from .output import as_json, counted, print_json

#: The most characters of a line of text.
WIDTH = 100


@click.command("check")
@click.option("--online", is_flag=True, help="Ask the providers, too. Nobody is signed in by that.")
@tenant_option
@as_json
@click.pass_context
def check(ctx: click.Context, online: bool, tenant: str | None, as_json: bool) -> None:
    """Look for what is wrong with the app's logins, and say how to mend it.

    The exit status is 1 if there is an error, such as for a CI job.
    """
    info = ctx.ensure_object(ScriptInfo)
    findings = list(_find(info, tenant, is_online=online))
    if as_json:
        is_ok = all(finding.level != "error" for finding in findings)
        print_json({"ok": is_ok, "findings": [_as_members(each) for each in findings]})
    else:
        _print(findings)
    if any(finding.level == "error" for finding in findings):
        ctx.exit(1)


def _find(info: ScriptInfo, tenant: str | None, *, is_online: bool) -> t.Iterator[Finding]:
    try:
        app: Flask = this_app() if has_app_context() else info.load_app()
        with app.app_context():
            # An app that a function makes can't be found by another process.
            path = None if info.create_app is not None else info.app_import_path or ""
            yield from examine(app, import_path=path, is_online=is_online, tenant=tenant)
    except ConfigurationError as error:
        yield Finding(
            "error",
            "registration",
            error.message,
            "The app does not start, or has nothing to sign in with.",
            find_cause(error.message, os.environ) or "Do what the message says.",
            row=error.row,
        )


def _as_members(finding: Finding) -> dict[str, t.Any]:
    members = dataclasses.asdict(finding) | {"see": finding.address}
    del members["row"]
    return members


def _print(findings: t.Iterable[Finding]) -> None:
    """Print the findings for people, the gravest last, where a terminal shows them."""
    # What is so at several logins is told once.
    whose: dict[Finding, list[str]] = {}
    for finding in sorted(findings, key=lambda each: LEVELS.index(each.level), reverse=True):
        names = whose.setdefault(dataclasses.replace(finding, login=None), [])
        names.extend([finding.login] if finding.login else [])
    for finding, names in whose.items():
        prefix = f"{', '.join(names)}: " if names else ""
        click.echo(_wrap(f"{finding.level.upper()}  ", f"{prefix}{finding.what}"))
        for label, text in (
            ("Why: ", finding.why),
            ("Fix: ", finding.fix),
            ("See: ", finding.address),
        ):
            if text:
                click.echo(_wrap(f"    {label}", text))
    counts = {level: sum(each.level == level for each in whose) for level in LEVELS}
    click.echo(f"\n{counted(counts['error'], 'error')}, {counted(counts['warning'], 'warning')}.")


def _wrap(head: str, text: str) -> str:
    return textwrap.fill(
        text,
        WIDTH,
        initial_indent=head,
        subsequent_indent=" " * len(head),
        break_long_words=False,
        break_on_hyphens=False,
    )
