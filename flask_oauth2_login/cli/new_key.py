"""``flask oauth2 new-key``: a private key of the client, and what to enter at the provider."""

from __future__ import annotations

import json
import os
import typing as t
from pathlib import Path

import click

from ..protocol.new_key import ALGORITHMS, make_key
from ..protocol.private_keys import read_private_keys
from ..providers.overlays import config_key
from ..session.registration import Registration
from ..web.view_urls import KEYS_PATH
from .optional_app import find_app, find_login, views_url
from .output import tell


@click.command("new-key")
@click.argument("name")
@click.option(
    "--alg",
    type=click.Choice(ALGORITHMS),
    default=ALGORITHMS[0],
    show_default=True,
    help="What it signs by. FAPI 2.0 accepts all but RS256.",
)
@click.option(
    "--file",
    type=click.Path(path_type=Path),
    help="Write the key into this new file, which only you can read.",
)
@click.pass_context
def new_key(ctx: click.Context, name: str, alg: str, file: Path | None) -> None:
    """Make a private key for the login NAME, and say what to enter at the provider.

    Without --file, the key itself is all that is printed to the standard output, as a line for the
    environment: `flask oauth2 new-key NAME >> .env`. It needs no app.
    """
    app = find_app(ctx)
    login = find_login(app, name)
    key = make_key(alg)
    text = json.dumps(key, separators=(",", ":"))
    setting = config_key(name, "PRIVATE_KEY")
    if file is None:
        click.echo(f"FLASK_{setting}='{text}'")
    else:
        _write(file, text)
        tell(f"The key is in {file}, which only you can read.\n")
    value = f"app.config[{setting!r}]" if file is None else repr(str(file))
    if isinstance(login, Registration) and login.options.config_keys is None:
        tell(f"Give it to the handler of the login {name!r}: private_key={value}.")
    else:
        tell(f"A login of a preset reads app.config[{setting!r}]{f' = {value}' if file else ''}.")
        tell(f"A handler of your own takes it as private_key={value}.")
    if isinstance(login, Registration) and login.handler.private_key:
        tell(
            "The login has a key already: give both in a list, the old one first. When the provider"
            " has fetched the new one (after five minutes or more), let the new one be the first."
            " An hour later, remove the old one."
        )
    (own,) = read_private_keys(name, key)
    tell("\nEnter at the provider, as the client's JWKS URI:")
    tell(f"  {views_url(app, name)}/{KEYS_PATH}")
    tell("or, if it takes no address, the public key:")
    tell(f"  {_indented({'keys': [own.public_jwk]})}")
    tell(f"The client authenticates by private_key_jwt, and signs by {alg}.")


def _write(file: Path, text: str) -> None:
    """Write a key into a new file of this user's own.

    :raises click.ClickException: the file exists already, or can't be written.
    """
    try:
        descriptor = os.open(file, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
    except FileExistsError:
        raise click.ClickException(
            f"{file} exists already, and may have a key that is in use: choose another name."
        ) from None
    except OSError as error:
        raise click.ClickException(f"{file} can't be written: {error.strerror}.") from None
    with os.fdopen(descriptor, "w") as opened:
        opened.write(f"{text}\n")


def _indented(members: dict[str, t.Any]) -> str:
    return json.dumps(members, indent=2).replace("\n", "\n  ")
