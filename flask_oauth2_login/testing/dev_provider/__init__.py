"""A provider on this machine, for development and tests: no account anywhere, and no network.

It is oidc-provider-mock with pages of ours, chosen people, scopes and failures. It signs anybody in
as anybody, so it is for loopback only.
"""

from .app import PEOPLE, make_app
from .server import DevProvider, run

__all__ = ["PEOPLE", "DevProvider", "make_app", "run"]
