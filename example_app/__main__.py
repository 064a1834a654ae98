"""``python -m example_app``: the app, and two providers to sign in at, until Ctrl-C."""

from __future__ import annotations

import argparse
import contextlib
import json
import logging
import signal
import tempfile
from pathlib import Path

from flask import Flask
from werkzeug.serving import make_server

from flask_oauth2_login.testing.dev_provider import run

from . import create_app
from .providers import LABELS, read_environment

#: Who can sign in, by provider, with what the provider says of them.
PEOPLE = json.loads((Path(__file__).parent / "people.json").read_text("utf-8"))


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m example_app", description=__doc__)
    add = parser.add_argument
    add("--port", type=int, default=5000, help="of the app; 0 takes a free one")
    add("--provider-port", type=int, default=9400, help="likewise; the next is the second's")
    options = parser.parse_args()
    # As Ctrl-C: what is open is closed.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    # The server's log of requests has the provider's answers in it, codes included.
    logging.getLogger("werkzeug").setLevel(logging.WARNING)
    with contextlib.suppress(KeyboardInterrupt), contextlib.ExitStack() as stack:
        # With the next start's key nobody could read what is stored.
        folder = stack.enter_context(tempfile.TemporaryDirectory())
        issuers = {}
        for number, name in enumerate([] if read_environment() else LABELS):
            port = options.provider_port and options.provider_port + number
            provider = stack.enter_context(run(port, PEOPLE[name], name=LABELS[name]))
            issuers[name] = provider.issuer
        serve(create_app(issuers, folder), options.port, " and ".join(issuers.values()))


def serve(app: Flask, port: int, providers: str) -> None:
    # Another host name than the local providers': a cookie knows no ports.
    server = make_server("127.0.0.1", port, app, threaded=True)
    print(f"Open http://127.0.0.1:{server.server_port}/. Ctrl-C ends it.", flush=True)
    if providers:
        print(f"Its providers, which can also fail on demand, are at {providers}.", flush=True)
    try:
        server.serve_forever()
    finally:
        server.server_close()


if __name__ == "__main__":
    main()
