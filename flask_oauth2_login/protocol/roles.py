"""Roles: where a provider's answers have them, and what the app calls them."""

from __future__ import annotations

import dataclasses
import logging
import typing as t
from collections.abc import Mapping

from .errors import ConfigurationError, see
from .identity import find_path
from .json_input import is_intact

log = logging.getLogger("flask_oauth2_login")

#: Where roles were found. These numbers are stored.
ID_TOKEN, USERINFO, ACCESS_TOKEN = range(3)
#: The most roles at one path, and the most characters of one.
MAX_ROLES, MAX_LENGTH = 100, 200

#: By its path, where roles were found, and the roles in the provider's words.
FoundRoles = dict[str, tuple[int, list[str]]]


@dataclasses.dataclass(frozen=True)
class RoleRules:
    """The options ``roles`` and ``role_names`` of a login."""

    #: Where roles are. Those of all paths count.
    paths: tuple[str, ...] = ()
    #: The app's name for each of the provider's; None to keep the provider's.
    names: t.Mapping[str, str] | None = None
    #: True if the developer named the paths, which is worth a request to UserInfo. A preset's path
    #: is not.
    is_demanded: bool = False

    def find(
        self,
        members: t.Any,
        source: int,
        found: FoundRoles | None = None,
        token: t.Mapping[str, t.Any] | None = None,
    ) -> FoundRoles:
        """Return the roles in what a provider says of a person, added to those found before.

        :param members: the claims of a token, or the members of the response of UserInfo.
        :param source: which of these it is.
        :param found: what was found elsewhere. It takes precedence.
        :param token: the token's response, in which paths with ``token:`` start.
        """
        result = dict(found or {})
        for path in self.missing(result):
            value = find_value(members, path, token)
            if value is not None:
                result[path] = (source, self._read(path, value))
            elif _is_left_out(members, path):
                log.warning(
                    "The provider left out what is at the path %r, because it is too much for a"
                    " token, so somebody has no roles from there. At Microsoft Entra, send the"
                    " groups assigned to the application only, or use app roles: roles='roles'. %s",
                    path,
                    see("roles-left-out"),
                )
                result[path] = (source, [])
        return result

    def missing(self, found: FoundRoles) -> list[str]:
        """Return the paths at which nothing was found."""
        return [path for path in self.paths if path not in found]

    def name(self, found: FoundRoles) -> list[str]:
        """Return a person's roles in the app's words, each once."""
        roles = [role for path in self.paths for role in found.get(path, (0, ()))[1]]
        if self.names is not None:
            roles = [self.names[role] for role in roles if role in self.names]
        return list(dict.fromkeys(roles))

    def _read(self, path: str, value: t.Any) -> list[str]:
        values = value if isinstance(value, list) else [value]
        roles = [each for each in values if isinstance(each, str) and each and is_intact(each)]
        fitting = [each for each in dict.fromkeys(roles) if len(each) <= MAX_LENGTH]
        if len(roles) < len(values) or len(fitting) < len(set(roles)):
            kinds = sorted({type(each).__name__ for each in values if not isinstance(each, str)})
            log.warning(
                "Roles at the path %r are left out: each must be a string of 1 to %d characters,"
                " and %s came. %s",
                path,
                MAX_LENGTH,
                " and ".join(kinds) or "another string",
                see("roles-left-out"),
            )
        if self.names is not None:
            fitting = [each for each in fitting if each in self.names]
        if len(fitting) > MAX_ROLES:
            log.warning(
                "Somebody has %d roles at the path %r, of which the first %d are kept. Name those"
                " that the app needs: role_names={…}. %s",
                len(fitting),
                path,
                MAX_ROLES,
                see("roles-left-out"),
            )
        return fitting[:MAX_ROLES]


NO_ROLES = RoleRules()


def with_refreshed_roles(
    former: FoundRoles,
    found: FoundRoles,
    *,
    has_id_token: bool,
    was_checked: bool,
    has_userinfo: bool = False,
) -> FoundRoles:
    """Return the roles of a sign-in with those of a refreshed token in place of the former ones.

    Roles that only a former token had are gone. Those of UserInfo stay, unless a token has them.

    :param found: the roles in the refreshed ID token and access token.
    :param has_id_token: False if there is no refreshed ID token. The former one's roles stay then,
        unless UserInfo has them.
    :param was_checked: False if the new access token could not be checked because the provider's
        keys can't be fetched. The former one's roles stay then.
    :param has_userinfo: True if UserInfo was asked again, and ``found`` has its roles.
    """
    stays = {
        ID_TOKEN: not has_id_token,
        ACCESS_TOKEN: not was_checked,
        USERINFO: not has_userinfo,
    }
    kept = {path: roles for path, roles in former.items() if stays.get(roles[0], False)}
    return {**kept, **found}


def read_rules(roles: t.Any, role_names: t.Any) -> RoleRules:
    """Return the rules for the options ``roles`` and ``role_names``.

    :raises ConfigurationError: one of them is not what it should be.
    """
    if role_names is not None and not (
        isinstance(role_names, Mapping)
        and all(isinstance(name, str) and name for pair in role_names.items() for name in pair)
    ):
        raise ConfigurationError(
            f"role_names={role_names!r} is not a dictionary of the provider's names to the app's:"
            " role_names={'sso-admins': 'admin'}.",
            row="roles-option",
        )
    names = None if role_names is None else dict(role_names)
    if roles is None:
        return RoleRules((), names)
    paths = [roles] if isinstance(roles, str) else roles
    if (
        not isinstance(paths, (list, tuple))
        or not paths
        or not all(isinstance(path, str) and path.strip() for path in paths)
    ):
        raise ConfigurationError(
            f"roles={roles!r} is not where the provider's answers have the roles: a path such as"
            " 'realm_access.roles', or a list of paths.",
            row="roles-option",
        )
    return RoleRules(tuple(dict.fromkeys(paths)), names, is_demanded=True)


def find_value(members: t.Any, path: str, token: t.Mapping[str, t.Any] | None) -> t.Any:
    """Return the value at a path, also if names in it have dots, such as a client's or a URL."""
    value = find_path(members, path, token)
    if value is not None or not isinstance(members, Mapping):
        return value
    for name, member in members.items():
        if path.startswith(f"{name}.") and isinstance(member, (dict, list)):
            value = find_value(member, path[len(name) + 1 :], None)
            if value is not None:
                return value
    return None


def _is_left_out(members: t.Any, path: str) -> bool:
    """Return True if a claim is left out because it is too large, as Microsoft Entra does."""
    if not isinstance(members, Mapping):
        return False
    elsewhere = members.get("_claim_names")
    name = path.partition(".")[0]
    if isinstance(elsewhere, Mapping) and {path, name} & elsewhere.keys():
        return True
    return name == "groups" and str(members.get("hasgroups")).lower() == "true"
