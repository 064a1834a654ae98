"""What the environment has of a setting that an app lacks."""

from __future__ import annotations

import re
import typing as t

_PREFIX = "FLASK_"
_KEY = re.compile(r"\b(?:FLASK_)?([A-Z][A-Z0-9_]*_(?:CLIENT_ID|CLIENT_SECRET|KEY))\b")


def find_cause(error: str, environment: t.Mapping[str, str]) -> str | None:
    """Return why a setting that an error names did not reach ``app.config``; None if unknown.

    :param error: the text of a `ConfigurationError`.
    :param environment: the variables of the environment. No value is quoted.
    """
    for key in dict.fromkeys(_KEY.findall(error)):
        if environment.get(f"{_PREFIX}{key}"):
            return (
                f"The environment has {_PREFIX}{key}. Call app.config.from_prefixed_env() before"
                " app.register_blueprint(…)."
            )
        if environment.get(key):
            return (
                f"The environment has {key}. from_prefixed_env() reads {_PREFIX}{key}: rename the"
                " variable, or read it yourself."
            )
    return None
