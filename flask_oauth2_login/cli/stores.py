"""``flask oauth2 create-tables``, ``reseal`` and ``sweep``: what stores need now and then."""

from __future__ import annotations

import click
from flask.cli import with_appcontext

from .. import key_rotation
from .logins import by_store, chosen, find_logins, login_option, on_the_server, tenant_option
from .output import counted


@click.command("create-tables")
@login_option
@with_appcontext
def create_tables(login: str | None) -> None:
    """Make the tables of the stores, where they are missing.

    Any number of processes may do so at the same time, such as several new pods.
    """
    for names, store in by_store(on_the_server(find_logins(login))).items():
        create = getattr(store, "create_tables", None)
        if create is not None:
            create()
        elif check := getattr(store, "check", None):
            check()
        kind = type(store).__name__
        state = "the tables exist." if create else "this store needs no tables, and is usable."
        click.echo(f"{names}: {kind}: {state}")


@click.command("reseal")
@login_option
@tenant_option
@with_appcontext
def reseal(login: str | None, tenant: str | None) -> None:
    """Seal the stored records with the newest SECRET_KEY.

    After that, the older secrets in SECRET_KEY_FALLBACKS are needed only for cookies in browsers.
    """
    for registration in on_the_server(chosen(login, tenant)):
        count = key_rotation.reseal(registration)
        click.echo(f"{registration.log_name}: {counted(count, 'record')} sealed anew.")


@click.command("sweep")
@login_option
@with_appcontext
def sweep(login: str | None) -> None:
    """Delete the records that have expired. Stores do so by themselves, now and then."""
    for names, store in by_store(on_the_server(find_logins(login))).items():
        click.echo(f"{names}: {counted(store.sweep(), 'record')} deleted.")
