"""Real servers for the tests: each on free loopback ports, in a temporary folder, once a session.

A server that is not installed skips a test, and fails it where the environment variable CI is set.
"""

from __future__ import annotations

import contextlib
import glob
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time
import typing as t
from pathlib import Path

import pytest

#: Seconds for a server to come up.
PATIENCE = 60.0


class Server:
    """A server process that can be stopped and started again, at the same place.

    :param command: the program and its arguments.
    :param url: where a client finds it.
    :param is_up: tries it; any exception means that it is not up yet.
    :param user: the user to run it as, if this is not to be the tests' own.
    :param environment: variables that it gets beside the tests' own.
    :param patience: seconds for it to come up.
    """

    def __init__(
        self,
        command: list[str],
        url: str,
        is_up: t.Callable[[], object],
        user: str | None = None,
        *,
        environment: t.Mapping[str, str] | None = None,
        patience: float = PATIENCE,
    ) -> None:
        self.command = command
        self.url = url
        self._is_up = is_up
        self._user = user
        self._environment = environment
        self._patience = patience
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        if self._process is None:
            self._process = _popen(self.command, self._user, self._environment)
            wait_until(self._is_up, self._process, self._patience)

    def stop(self) -> None:
        """Stop it at once, as a crash would, with all processes that it has started."""
        process, self._process = self._process, None
        if process is not None:
            with contextlib.suppress(ProcessLookupError):
                os.killpg(process.pid, signal.SIGKILL)
            process.wait()


def need(program: str, package: str, *places: str) -> str:
    """The path of a program.

    :param places: patterns of folders to look into besides those of PATH.
    """
    folders = [folder for place in places for folder in sorted(glob.glob(place))]
    found = shutil.which(program) or shutil.which(program, path=os.pathsep.join(folders))
    if found:
        return found
    reason = f"{program} is not installed: apt-get install {package}"
    if os.environ.get("CI"):
        pytest.fail(reason)
    pytest.skip(reason)


def free_port(below: int = 65536) -> int:
    """A port of loopback that nobody listens on."""
    while True:
        with socket.socket() as probe:
            probe.bind(("127.0.0.1", 0))
            port: int = probe.getsockname()[1]
        if port < below:
            return port


def wait_until(
    is_true: t.Callable[[], object],
    process: subprocess.Popen[bytes] | None = None,
    patience: float = PATIENCE,
) -> None:
    """Call something until it returns without an exception, and not with False.

    :param process: fail at once if it has ended.
    :param patience: fail after so many seconds.
    """
    deadline = time.monotonic() + patience
    while True:
        problem: Exception | None = None
        try:
            if is_true() is not False:
                return
        except Exception as error:
            problem = error
        if process is not None and process.poll() is not None:
            pytest.fail(f"The server ended with status {process.returncode}.")
        if time.monotonic() > deadline:
            pytest.fail(f"It did not come true in {patience} seconds: {problem!r}")
        time.sleep(0.05)


def _popen(
    command: list[str], user: str | None, environment: t.Mapping[str, str] | None = None
) -> subprocess.Popen[bytes]:
    """Start a process that leads a group of its own."""
    options: dict[str, t.Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
    if user is not None:
        group = pwd.getpwnam(user).pw_gid
        options |= {"user": user, "group": group, "extra_groups": []}
    return subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        cwd=tempfile.gettempdir(),
        env={**os.environ, **(environment or {})},
        start_new_session=True,
        **options,
    )


def _run(command: list[str], user: str | None = None) -> None:
    process = _popen(command, user)
    if process.wait(PATIENCE) != 0:
        pytest.fail(f"{command[0]} ended with status {process.returncode}.")


def _server_user(name: str) -> str | None:
    """The user to run a server as that does not like root."""
    return name if os.geteuid() == 0 else None


def _folder(user: str | None) -> Path:
    # Not pytest's: other users can't enter that.
    folder = Path(tempfile.mkdtemp(prefix="oauth2-login-"))
    if user is not None:
        shutil.chown(folder, user)
    return folder


def _serve(server: Server, folder: Path) -> t.Iterator[Server]:
    try:
        server.start()
        yield server
    finally:
        server.stop()
        shutil.rmtree(folder, ignore_errors=True)


def _redis_command(folder: Path, port: int, *more: str) -> list[str]:
    program = need("redis-server", "redis-server")
    options = ["--bind", "127.0.0.1", "--port", str(port), "--dir", str(folder)]
    return [program, *options, "--save", "", "--appendonly", "no", *more]


def _ping(port: int) -> None:
    import redis

    with redis.Redis(port=port) as client:
        client.ping()


@pytest.fixture(scope="session")
def redis_server() -> t.Iterator[Server]:
    """One Redis. What it has is kept when it is stopped, as on a server that is set up for that."""
    folder, port = _folder(None), free_port()
    kept = ("--appendonly", "yes", "--appendfsync", "always")
    command = _redis_command(folder, port, *kept)
    yield from _serve(Server(command, f"redis://127.0.0.1:{port}/0", lambda: _ping(port)), folder)


@pytest.fixture(scope="session")
def redis_cluster() -> t.Iterator[list[int]]:
    """The ports of a cluster of three masters."""
    import redis

    folder = _folder(None)
    # Nodes talk to each other on a port that is 10,000 higher.
    ports: list[int] = []
    while len(ports) < 3:
        port = free_port(55535)
        if port not in ports:
            ports.append(port)
    nodes: list[Server] = []
    try:
        for port in ports:
            home = folder / str(port)
            home.mkdir()
            command = _redis_command(home, port, "--cluster-enabled", "yes")
            url = f"redis://127.0.0.1:{port}/0"
            nodes.append(Server(command, url, lambda port=port: _ping(port)))  # type: ignore[misc]
            nodes[-1].start()
        cli = need("redis-cli", "redis-tools")
        addresses = [f"127.0.0.1:{port}" for port in ports]
        _run([cli, "--cluster", "create", *addresses, "--cluster-yes"])

        def is_ready() -> bool:
            for port in ports:
                with redis.Redis(port=port) as client:
                    if b"cluster_state:ok" not in client.execute_command("CLUSTER", "INFO"):
                        return False
            return True

        wait_until(is_ready)
        yield ports
    finally:
        for node in nodes:
            node.stop()
        shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="session")
def postgresql() -> t.Iterator[Server]:
    places = "/usr/lib/postgresql/*/bin"
    initdb = need("initdb", "postgresql", places)
    program = need("postgres", "postgresql", places)
    import psycopg

    user = _server_user("postgres")
    folder, port = _folder(user), free_port()
    data = str(folder / "data")
    _run([initdb, "-D", data, "-U", "postgres", "-A", "trust", "-E", "UTF8", "--no-sync"], user)
    settings = {
        "listen_addresses": "127.0.0.1",
        "port": port,
        "unix_socket_directories": folder,
        "fsync": "off",
        "shared_buffers": "32MB",
    }
    command = [program, "-D", data]
    for name, value in settings.items():
        command += ["-c", f"{name}={value}"]

    def is_up() -> None:
        psycopg.connect(host="127.0.0.1", port=port, user="postgres", dbname="postgres").close()

    url = f"postgresql+psycopg://postgres@127.0.0.1:{port}/postgres"
    yield from _serve(Server(command, url, is_up, user), folder)


@pytest.fixture(scope="session")
def mariadb() -> t.Iterator[Server]:
    install = need("mariadb-install-db", "mariadb-server")
    program = need("mariadbd", "mariadb-server", "/usr/sbin")
    import pymysql

    user = _server_user("mysql")
    folder, port = _folder(user), free_port()
    data = f"--datadir={folder / 'data'}"
    login = "--auth-root-authentication-method=normal"
    _run([install, "--no-defaults", data, login, "--skip-test-db"], user)
    command = [
        program,
        "--no-defaults",
        data,
        f"--port={port}",
        "--bind-address=127.0.0.1",
        f"--socket={folder / 'socket'}",
        "--innodb-flush-log-at-trx-commit=2",
        "--innodb-buffer-pool-size=32M",
    ]

    def is_up() -> None:
        with pymysql.connect(host="127.0.0.1", port=port, user="root") as connection:
            connection.cursor().execute("CREATE DATABASE IF NOT EXISTS logins")

    url = f"mysql+pymysql://root@127.0.0.1:{port}/logins"
    yield from _serve(Server(command, url, is_up, user), folder)
