"""``flask oauth2 dev-provider``: run the provider until Ctrl-C."""

from __future__ import annotations

import json
import typing as t
from pathlib import Path

import click

from ...protocol.errors import ConfigurationError


@click.command("dev-provider")
@click.option("--port", type=int, default=9400, show_default=True, help="The port on localhost.")
@click.option(
    "--people",
    type=click.Path(exists=True, dir_okay=False, path_type=Path),
    help='A JSON file of who can sign in: {"ada": {"name": "Ada", "groups": ["staff"]}}.',
)
@click.option("--scope", multiple=True, help="A scope to grant besides those of OpenID Connect.")
@click.option(
    "--lifetime",
    type=click.FloatRange(min=1),
    default=3600,
    show_default=True,
    help="How long (s) an access token is valid.",
)
@click.option("--refresh-tokens/--no-refresh-tokens", default=True, help="Send refresh tokens.")
def dev_provider(
    port: int, people: Path | None, scope: tuple[str, ...], lifetime: float, refresh_tokens: bool
) -> None:
    """Run a provider on this machine to sign in at.

    It needs no account and no network, and signs anybody in as anybody. On its first page you
    choose what fails, to see how your app takes it.
    """
    from .server import CLIENT_ID, CLIENT_SECRET, make_dev_server

    try:
        server = make_dev_server(
            port,
            None if people is None else read_people(people),
            scopes=scope,
            lifetime=lifetime,
            refresh_tokens=refresh_tokens,
        )
    except (ConfigurationError, OSError) as error:
        raise click.ClickException(str(error)) from None
    issuer = f"http://localhost:{server.server_port}"
    click.echo(f"The provider is at {issuer}. Ctrl-C ends it. In your app:\n")
    click.echo(f'    sso = OpenIDConnect("{CLIENT_ID}", "{CLIENT_SECRET}", "{issuer}")')
    asked = " ".join(["profile", "email", *scope])
    click.echo(f'    app.register_blueprint(OAuth2Login(sso, name="sso", scope="{asked}"))\n')
    click.echo(
        "Open the app at http://127.0.0.1:5000, not at localhost: browsers share the cookies of one"
        " host among all of its ports."
    )
    try:
        server.serve_forever()
    except KeyboardInterrupt:
        click.echo()
    finally:
        server.server_close()


def read_people(path: Path) -> dict[str, dict[str, t.Any]]:
    """Return the people of a JSON file.

    :raises ConfigurationError: the file is something else.
    """
    try:
        people = json.loads(path.read_text("utf-8"))
    except ValueError as error:
        raise ConfigurationError(f"{path} is not JSON: {error}.", row="dev-provider") from None
    if not (
        isinstance(people, dict) and people and all(isinstance(c, dict) for c in people.values())
    ):
        raise ConfigurationError(
            f'{path} must be an object of people by "sub", such as {{"ada": {{"name": "Ada"}}}}.',
            row="dev-provider",
        )
    return people
