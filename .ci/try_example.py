"""Run a command that starts the example, sign in by the page it names, and end it by Ctrl-C."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import threading
from html import unescape
from urllib.parse import urljoin

import requests

#: Seconds for the command to make its virtual environment and start.
PATIENCE = 300


def main(command: str) -> None:
    # A child of a shell's background job would ignore it otherwise.
    signal.signal(signal.SIGINT, signal.default_int_handler)
    shell = ["/bin/sh", "-c", command]
    process = subprocess.Popen(  # noqa: S603  (the README's own)
        shell, stdout=subprocess.PIPE, text=True, start_new_session=True
    )
    watchdog = threading.Timer(PATIENCE, os.killpg, (process.pid, signal.SIGKILL))
    watchdog.start()
    try:
        url = next((found[0] for found in map(find_url, process.stdout or ()) if found), None)
        if url is None:
            sys.exit("the example named no page to open")
        sign_in(url)
        os.killpg(process.pid, signal.SIGINT)
        status = process.wait()
        # A shell itself may end by the signal that its command has handled.
        if status not in {0, -signal.SIGINT}:
            sys.exit(f"the example ended with status {status}")
    finally:
        watchdog.cancel()
        if process.poll() is None:
            os.killpg(process.pid, signal.SIGKILL)


def find_url(line: str) -> re.Match[str] | None:
    print(line, end="", flush=True)
    return re.search(r"http://[\w.]+:\d+/", line)


def sign_in(url: str) -> None:
    with requests.Session() as visitor:
        visitor.trust_env = False
        visitor.headers["Accept"] = "text/html"
        link = re.search(r'href="([^"]+)"[^>]*>(?:<img[^>]*>)?Sign in with', visitor.get(url).text)
        if link is None:
            sys.exit(f"{url} has no button to sign in")
        form = visitor.get(urljoin(url, unescape(link[1])))
        visitor.post(form.url, data={"sub": "ada"})
        profile = visitor.get(f"{url}profile?details=1")
    if "ada@example.com" not in profile.text:
        sys.exit(f"{profile.url} is not ada's profile")
    print(f"{profile.url} is ada's profile.", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
