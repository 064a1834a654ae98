"""What a preset is known to do in its own way, as sentences for people.

Each option that a row may have is in :data:`SENTENCES` or in :data:`ORDINARY`.
"""

from __future__ import annotations

import re
import typing as t

from ..client.answer_urls import SOURCES_OF, places_in
from ..protocol.identity import picks_verified

Row = t.Mapping[str, t.Any]

#: What is told of a row elsewhere, or what says nothing of its own.
ORDINARY = frozenset({
    "name", "label", "protocol", "issuer", "authorization_url", "token_url", "userinfo_url",
    "api_url", "scope", "offline", "roles", "variables", "register_url", "console", "sources",
    "confirmed", "private_key", "userinfo_query", "userinfo_form", "email_path", "revoke_url",
    "answer_domains", "notes", "assertion_audience", "par_url", "authorization_details",
})  # fmt: skip

_ANSWERS = {
    "callback": "the authorization response",
    "token": "the token response",
    "userinfo": "the answer that says who it is",
}
_URLS = {
    "token_url": "the token endpoint",
    "refresh_url": "the endpoint that refreshes tokens",
    "userinfo_url": "the endpoint that says who signed in",
    "email_url": "the endpoint for the e-mail address",
    "api_url": "its API",
}
_PLACE = re.compile(r"\{([a-z_]+)(?:\.([A-Za-z0-9_.-]+))?\}")
#: The most characters of a parameter's value that are shown.
_MOST = 60


def oddities(row: Row) -> list[str]:
    """Return what a preset does in its own way, in whole sentences.

    :param row: the row of a preset, or of an app's own provider in the same words.
    """
    told = []
    for word, sentence in SENTENCES.items():
        if word in row:
            text = sentence if isinstance(sentence, str) else sentence(row[word], row)
            told.append(text.replace("{}", show_places(str(row[word]))))
    told += _of_urls(row)
    if "issuer" not in row and not row.get("revoke_url"):
        told.append(
            "It has no known endpoint for revocation (RFC 7009): its tokens outlive a sign-out."
        )
    return [text for text in [*told, str(row.get("notes", ""))] if text]


def show_places(text: str) -> str:
    """Return a text of a row with its variables as people read them: ``https://<domain>/``."""
    return _PLACE.sub(lambda found: f"<{found[2] or found[1]}>", text)


def in_words(params: t.Mapping[str, t.Any]) -> str:
    """Return parameters as an enumeration: ```access_type=offline` and `prompt=consent```."""
    texts = []
    for name, value in params.items():
        found = _PLACE.fullmatch(str(value))
        if found and found[1] in _ANSWERS:
            texts.append(f"`{name}` (`{found[2]}` of {_ANSWERS[found[1]]})")
        else:
            texts.append(f"`{name}={value}`" if len(str(value)) <= _MOST else f"`{name}`")
    return listed(texts)


def listed(texts: t.Sequence[str]) -> str:
    """Return several texts as an enumeration."""
    return " and ".join(filter(None, [", ".join(texts[:-1]), *texts[-1:]]))


def quoted(words: t.Iterable[str]) -> str:
    """Return several words as an enumeration, each as code."""
    return listed([f"`{word}`" for word in words])


def _client_auth(value: t.Any, _row: Row) -> str:
    if value == "none":
        return "It gives no client secret."
    if value == "private_key_jwt":
        return "It gives no client secret: the client signs a JWT for each request by its own key."
    return "The client authenticates by HTTP Basic." if value == "client_secret_basic" else ""


def _assertion_algorithm(value: t.Any, row: Row) -> str:
    by_key = row.get("client_auth") == "private_key_jwt"
    return f"The key is for `{value}`." if by_key else ""


def _headers(value: t.Any, _row: Row) -> str:
    texts = [show_places(f"{name}: {text}") for name, text in value.items()]
    return f"Each request to it has the header{'s' * (len(texts) > 1)} {quoted(texts)}."


def _token_request(value: t.Any, _row: Row) -> str:
    if value == "query":
        return "The token request is a GET with everything in its URL, the client secret too."
    return "The token request is written as JSON." if value == "json" else ""


def _token_names(value: t.Any, _row: Row) -> str:
    texts = [f"`{own}` for `{name}`" for name, own in value.items()]
    return f"Its token endpoint has names of its own: {listed(texts)}."


def _bearer_method(value: t.Any, _row: Row) -> str:
    where, _, name = value.partition(":")
    if where == "query":
        name = name or "access_token"
        return f"API calls carry the token in the query, as `{name}`. Servers may log it."
    return f"API calls carry the token in the header `{name}`." if name else ""


def _userinfo_method(value: t.Any, row: Row) -> str:
    if value == "GRAPHQL":
        return "A GraphQL query asks who signed in."
    form = row.get("userinfo_form")
    return f"A POST asks who signed in{f', with {quoted(form)} in a form' if form else ''}."


def _email_url(_value: t.Any, row: Row) -> str:
    if picks_verified(str(row.get("email_path", "email"))):
        return "A second request asks for an e-mail address that the provider has verified."
    return "A second request asks for the e-mail address."


def _identity(value: t.Any, row: Row) -> str:
    texts = []
    if str(value.get("id")).startswith("token:"):
        texts.append("The token response says who signed in.")
    if not {"email", "issuer", "email_url"} & {*value, *row}:
        texts.append("It tells no e-mail address.")
    elif value.get("email_verified") == [] and "email_url" not in row:
        texts.append(
            "It does not say that an e-mail address is proven, so `email_verified` is False."
        )
    return " ".join(texts)


def _response_mode(value: t.Any, _row: Row) -> str:
    texts = []
    if str(value).startswith("form_post"):
        texts.append(
            f"It sends the authorization response as a form (`{value}`): the cookie of a sign-in"
            " under way is `SameSite=None; Secure`."
        )
    if str(value).endswith("jwt"):
        texts.append("It signs the authorization response (JARM).")
    return " ".join(texts)


def _algorithms(value: t.Any, _row: Row) -> str:
    is_hmac = any(str(name).startswith("HS") for name in value)
    return "It signs ID tokens with the client secret." if is_hmac else ""


#: What to say of an option. In a text, ``{}`` is the option's value.
SENTENCES: t.Mapping[str, str | t.Callable[[t.Any, Row], str]] = {
    "client_auth": _client_auth,
    "assertion_algorithm": _assertion_algorithm,
    "signed_secret": "It gives no client secret: each token request has a JWT in its place, which"
    " your private key signs.",
    "client_id_param": "It calls the parameter `client_id` `{}`.",
    "redirect_name": "`redirect_uri` is sent as the name that it gave to the registered URL.",
    "response_mode": _response_mode,
    "par": lambda value, _: "Each authorization request is pushed to it first." if value else "",
    "jar": lambda value, _: "Your private key signs each authorization request." if value else "",
    "resource": "Its tokens are for `{}`.",
    "answer_hmac": "It signs the authorization response with the client secret, which is checked.",
    "pkce": lambda value, _: "" if value else "It accepts no PKCE, so no challenge is sent.",
    "scope_separator": "It wants `{}` between scopes. Write them with spaces all the same.",
    "scope_aliases": lambda value, _: f"It grants {quoted(value)} under names of its own.",
    "authorize_params": lambda value, _: f"The authorization request has {in_words(value)}.",
    "token_request": _token_request,
    "repeat_scope": "The token request has the scopes once more.",
    "token_params": lambda value, _: f"The token request has {in_words(value)}.",
    "token_names": _token_names,
    "token_path": "The token response has the token in its member `{}`.",
    "token_types": lambda value, _: f"The type of its tokens is {quoted(value)}.",
    "metadata_url": "Its metadata are not where its issuer says.",
    "nonce": lambda value, _: "" if value else "Its ID tokens have no nonce, so none is sent.",
    "algorithms": _algorithms,
    "userinfo_method": _userinfo_method,
    "identity": _identity,
    "email_url": _email_url,
    "headers": _headers,
    "bearer_method": _bearer_method,
    "bearer_scheme": "API calls carry the token after the word `{}` in place of `Bearer`.",
    "refresh_url": "Tokens are refreshed at a URL of their own, `{}`.",
    "refresh_params": lambda value, _: f"The request to refresh a token has {in_words(value)}.",
    "revoke": lambda value, _: "" if value else "A sign-out does not revoke its tokens.",
}


def _of_urls(row: Row) -> t.Iterator[str]:
    """Tell which answers complete the provider's URLs."""
    completed: dict[tuple[str, tuple[str, ...]], list[str]] = {}
    for word, what in _URLS.items():
        for source in SOURCES_OF.get(word, ()):
            if names := tuple(sorted(places_in([row.get(word)], source))):
                completed.setdefault((source, names), []).append(what)
    for (source, names), urls in completed.items():
        yield f"The URL of {listed(urls)} needs {quoted(names)} of {_ANSWERS[source]}."
    if domains := row.get("answer_domains"):
        yield f"Such a URL leads to a host of {quoted(domains)} only."
