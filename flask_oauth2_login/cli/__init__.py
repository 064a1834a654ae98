"""``flask oauth2 …``: commands for who develops or runs an app.

Flask finds them by the entry point ``flask.commands``, and every ``flask`` command imports this
module. So it imports nothing but Flask's command line, and a command's module when the command is
needed.
"""

from __future__ import annotations

import typing as t
from importlib import import_module

import click
from flask.cli import AppGroup

#: Where each command is: a module of this package, and a name in it.
COMMANDS = {
    "check": ("cli.check", "check"),
    "create-tables": ("cli.stores", "create_tables"),
    "dev-provider": ("testing.dev_provider.command", "dev_provider"),
    "new-key": ("cli.new_key", "new_key"),
    "providers": ("cli.providers", "providers"),
    "reseal": ("cli.stores", "reseal"),
    "sign-ins": ("cli.sign_ins", "sign_ins"),
    "sweep": ("cli.stores", "sweep"),
}


class Commands(AppGroup):
    """The group of the commands, each of which is imported when it is needed."""

    def list_commands(self, ctx: click.Context) -> list[str]:  # noqa: ARG002
        return sorted(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:  # noqa: ARG002
        if cmd_name not in COMMANDS:
            return None
        module, name = COMMANDS[cmd_name]
        package = __package__.rpartition(".")[0]
        return t.cast(click.Command, getattr(import_module(f"{package}.{module}"), name))

    def invoke(self, ctx: click.Context) -> t.Any:
        """Run a command. An error of a developer or an operator is a message, and status 1."""
        from ..protocol.errors import OAuth2Error

        try:
            return super().invoke(ctx)
        except OAuth2Error as error:
            raise click.ClickException(str(error)) from None


@click.group("oauth2", cls=Commands)
def oauth2() -> None:
    """Presets, checks and stored sign-ins of Flask-OAuth2-Login."""
