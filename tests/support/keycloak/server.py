"""A Keycloak server with the realm of ``staff-realm.json``, and its administration by REST."""

from __future__ import annotations

import dataclasses
import fcntl
import itertools
import json
import os
import re
import secrets
import shutil
import subprocess
import typing as t
from pathlib import Path

import pytest
import requests

from ..provider.tls import write_files
from ..servers import Server, free_port, need

FOLDER = Path(__file__).parent
REALM = FOLDER / "staff-realm.json"
#: Seconds for the server to come up. On a busy machine, the first start takes minutes.
PATIENCE = 400.0
#: Less memory, and code that is compiled sooner and less well.
JAVA = {"JAVA_OPTS_KC_HEAP": "-Xms64m -Xmx512m", "JAVA_OPTS_APPEND": "-XX:TieredStopAtLevel=1"}
#: The oldest Java that runs it.
OLDEST_JAVA = 17


@dataclasses.dataclass(frozen=True)
class Person:
    """Somebody who may sign in."""

    id: str
    name: str
    password: str


@dataclasses.dataclass(frozen=True)
class Client:
    """An app that people sign in at."""

    #: Keycloak's own id of it.
    uuid: str
    client_id: str
    secret: str


class Keycloak:
    """One realm of a server, and what its administrators do.

    :param domain: the host and port by which browsers reach it, over TLS.
    :param inner_url: where this machine reaches it without TLS.
    :param ca: the file with the authority of its certificate.
    :param secret: of the administrator, the client ``admin``.
    """

    def __init__(
        self, domain: str, inner_url: str, ca: str, secret: str, realm: str = "staff"
    ) -> None:
        self.realm = realm
        self.domain = domain
        self.inner_url = inner_url
        self.ca = ca
        self._secret = secret
        self._numbers = itertools.count(1)

    @property
    def issuer(self) -> str:
        return f"https://{self.domain}/realms/{self.realm}"

    def require_up(self) -> None:
        """Check that the realm is there.

        :raises requests.RequestException: it is not yet.
        """
        url = f"{self.inner_url}/realms/{self.realm}/.well-known/openid-configuration"
        requests.get(url, timeout=5).raise_for_status()

    def add_realm(self, realm: str) -> Keycloak:
        """Add a realm with the settings of ``staff-realm.json``."""
        settings = {**json.loads(REALM.read_text("utf-8")), "realm": realm}
        self._administer("POST", "realms", settings)
        return Keycloak(self.domain, self.inner_url, self.ca, self._secret, realm)

    def admin(self, method: str, path: str, json: t.Any = None, **params: str) -> t.Any:
        """Send a request to the realm's administration; return the id of what it made, or JSON.

        :param path: below the realm, such as ``"users"``.
        """
        return self._administer(method, f"realms/{self.realm}/{path}", json, **params)

    def _administer(self, method: str, path: str, json: t.Any = None, **params: str) -> t.Any:
        token = requests.post(
            f"{self.inner_url}/realms/master/protocol/openid-connect/token",
            data={
                "grant_type": "client_credentials",
                "client_id": "admin",
                "client_secret": self._secret,
            },
            timeout=30,
        ).json()["access_token"]
        response = requests.request(
            method,
            f"{self.inner_url}/admin/{path}",
            params=params,
            json=json,
            headers={"Authorization": f"Bearer {token}"},
            timeout=30,
        )
        assert response.ok, f"{method} {path}: {response.status_code} {response.text}"
        if response.status_code == 201:
            return response.headers["Location"].rpartition("/")[2]
        return response.json() if response.content else None

    # -- people

    def add_person(self, *realm_roles: str) -> Person:
        """Add somebody with roles of the realm."""
        name, password = f"person-{next(self._numbers)}", secrets.token_hex(8)
        id = self.admin(
            "POST",
            "users",
            {
                "username": name,
                "enabled": True,
                # Without these, the sign-in asks for them.
                "email": f"{name}@example.com",
                "emailVerified": True,
                "firstName": "Ada",
                "lastName": "Lovelace",
                "credentials": [{"type": "password", "value": password}],
            },
        )
        person = Person(id, name, password)
        self.change_roles("POST", person, *realm_roles)
        return person

    def change_roles(
        self, method: str, person: Person, *names: str, client: Client | None = None
    ) -> None:
        """Give somebody roles (POST), or take them away (DELETE).

        :param client: whose roles they are; None for the realm's.
        """
        roles, of_person = "roles", "role-mappings/realm"
        if client is not None:
            roles, of_person = (
                f"clients/{client.uuid}/roles",
                f"role-mappings/clients/{client.uuid}",
            )
        found = [self.admin("GET", f"{roles}/{name}") for name in names]
        self.admin(method, f"users/{person.id}/{of_person}", found)

    def group(self, name: str) -> str:
        """The id of a group."""
        (found,) = self.admin("GET", "groups", search=name)
        return str(found["id"])

    def disable(self, person: Person) -> None:
        self.admin("PUT", f"users/{person.id}", {"enabled": False})

    def refreshes(self, person: Person) -> list[str]:
        """What became of each refresh of somebody's token: ``REFRESH_TOKEN`` is a success."""
        events = self.admin("GET", "events", user=person.id)
        return [event["type"] for event in events]

    # -- apps

    def add_client(
        self,
        url: str,
        *roles: str,
        attributes: t.Mapping[str, str],
        mappers: t.Mapping[str, t.Mapping[str, str]],
        **settings: t.Any,
    ) -> Client:
        """Add a client for the app at a URL.

        :param roles: the names of the client's own roles.
        :param attributes: its attributes, beside or instead of those of each client.
        :param settings: further settings of the client.
        :param mappers: what its tokens have, by Keycloak's name of the kind of mapper.
        """
        # Dots in the id are dots in the path of its roles.
        client_id, secret = f"app-{next(self._numbers)}.example.com", secrets.token_hex(16)
        uuid = self.admin(
            "POST",
            "clients",
            {
                "clientId": client_id,
                "secret": secret,
                "redirectUris": [f"{url}/callback"],
                "attributes": {
                    "post.logout.redirect.uris": f"{url}/logout",
                    "backchannel.logout.url": f"{url}/backchannel-logout",
                    "backchannel.logout.session.required": "true",
                    **attributes,
                },
                **settings,
                "protocolMappers": [
                    {
                        "name": kind,
                        "protocol": "openid-connect",
                        "protocolMapper": kind,
                        "config": dict(config),
                    }
                    for kind, config in mappers.items()
                ],
            },
        )
        for role in roles:
            self.admin("POST", f"clients/{uuid}/roles", {"name": role})
        return Client(uuid, client_id, secret)


def _find_program() -> Path:
    """The script that starts Keycloak."""
    java = need("java", "default-jre-headless")
    shown = subprocess.run([java, "-version"], capture_output=True, text=True, check=False).stderr
    version = re.search(r'version "(\d+)', shown)
    found = sorted(FOLDER.glob("target/dependency/keycloak-*/bin/kc.sh"))
    reason = ""
    if version is None or int(version[1]) < OLDEST_JAVA:
        reason = f"needs Java {OLDEST_JAVA}: apt-get install default-jre-headless"
    elif not found:
        need("mvn", "maven")
        reason = "needs Keycloak: mvn -B -q -f tests/support/keycloak package"
    if reason:
        pytest.fail(reason) if os.environ.get("CI") else pytest.skip(reason)
    return found[-1]


@pytest.fixture(scope="session")
def keycloak(tmp_path_factory: pytest.TempPathFactory) -> t.Iterator[Keycloak]:
    """A Keycloak with an empty database, whose public name is another than the inner one."""
    program = _find_program()
    tls = write_files(tmp_path_factory.mktemp("keycloak"))
    port, inner_port, management_port = free_port(), free_port(), free_port()
    secret = secrets.token_hex(8)
    keycloak = Keycloak(f"localhost:{port}", f"http://127.0.0.1:{inner_port}", tls.ca, secret)
    imported = program.parents[1] / "data" / "import"
    imported.mkdir(parents=True, exist_ok=True)
    shutil.copy(REALM, imported)
    options = {
        "db": "dev-mem",
        "hostname": f"https://{keycloak.domain}",
        "hostname-backchannel-dynamic": "true",
        "https-port": port,
        "https-certificate-file": tls.server,
        "https-certificate-key-file": tls.server,
        "http-host": "127.0.0.1",
        "http-port": inner_port,
        "http-management-port": management_port,
    }
    server = Server(
        [
            str(program),
            "start-dev",
            "--import-realm",
            *(f"--{name}={value}" for name, value in options.items()),
        ],
        keycloak.inner_url,
        keycloak.require_up,
        environment={
            **JAVA,
            "KC_BOOTSTRAP_ADMIN_CLIENT_ID": "admin",
            "KC_BOOTSTRAP_ADMIN_CLIENT_SECRET": secret,
        },
        patience=PATIENCE,
    )
    try:
        # The first start builds the server in its folder, so another process must not start it too.
        with (program.parents[3] / "start.lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            server.start()
        yield keycloak
    finally:
        server.stop()
