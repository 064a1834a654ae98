"""``flask oauth2 sign-ins``: count, list and end what people have signed in."""

from __future__ import annotations

import dataclasses
import typing as t
from datetime import UTC, datetime

import click
from flask.cli import with_appcontext

from ..session.registration import Registration
from ..sign_ins import SignIn, count_sign_ins, end_sign_ins, list_sign_ins
from .logins import chosen, login_option, on_the_server, tenant_option
from .output import as_json, counted, print_json, print_table, tell


@click.command("sign-ins")
@click.argument("owner", required=False)
@click.option("--end", "ids", metavar="ID", multiple=True, help="End this sign-in of OWNER.")
@click.option("--end-all", is_flag=True, help="End all sign-ins of OWNER, with every store.")
@login_option
@tenant_option
@as_json
@with_appcontext
def sign_ins(
    owner: str | None,
    ids: tuple[str, ...],
    end_all: bool,
    login: str | None,
    tenant: str | None,
    as_json: bool,
) -> None:
    """Count the sign-ins of everybody, or list or end those of OWNER.

    OWNER is the app's key for the person, as on_login set it: by default LOGIN:TENANT:ID, with the
    login's name and the person's id at the provider. Without tenants, that is LOGIN::ID.
    """
    if owner is None and (ids or end_all):
        raise click.UsageError("Name the OWNER whose sign-ins are to end.")
    if ids and end_all:
        raise click.UsageError("Use either --end or --end-all.")
    logins = chosen(login, tenant)
    if owner is None:
        _count(on_the_server(logins), as_json=as_json)
    elif end_all:
        _end(logins, owner, (), as_json=as_json)
    elif ids:
        _end(on_the_server(logins), owner, ids, as_json=as_json)
    else:
        _list(on_the_server(logins), owner, as_json=as_json)


def _count(logins: list[Registration], *, as_json: bool) -> None:
    counts = {registration.name: count_sign_ins(registration) for registration in logins}
    if as_json:
        print_json(counts)
    else:
        print_table([(name, str(count)) for name, count in counts.items()])


def _list(logins: list[Registration], owner: str, *, as_json: bool) -> None:
    found = [each for registration in logins for each in list_sign_ins(registration, owner)]
    if as_json:
        print_json([_as_dict(each) for each in found])
    elif found:
        head = ("ID", "LOGIN", "SIGNED IN", "LAST USED", "BROWSER")
        print_table([head, *map(_as_row, found)])
    else:
        tell(f"{owner} is signed in nowhere.")


def _end(logins: list[Registration], owner: str, ids: t.Collection[str], *, as_json: bool) -> None:
    ended = {
        registration.name: end_sign_ins(registration, owner, ids, except_current=False)
        for registration in logins
    }
    if as_json:
        print_json({"ended": ended})
    for registration in logins if not as_json else ():
        count = ended[registration.name]
        if registration.store is None:
            click.echo(
                f"{registration.name}: all sign-ins up to now have ended, on this machine. Tokens"
                " are revoked when their browsers come back."
            )
        else:
            click.echo(f"{registration.name}: {counted(count, 'sign-in')} ended.")


def _as_dict(sign_in: SignIn) -> dict[str, t.Any]:
    known = dataclasses.asdict(sign_in)
    del known["current"]
    return known


def _as_row(sign_in: SignIn) -> tuple[str, ...]:
    return (
        sign_in.id,
        sign_in.login,
        _date(sign_in.created_at),
        _date(sign_in.last_used_at),
        sign_in.user_agent or "unknown",
    )


def _date(seconds: int) -> str:
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%d %H:%M UTC")
