"""What stands on the button of a login: the app's image, a logo, or an initial in a circle.

A logo of a provider is drawn here only if its owner lets others draw it. Of the providers that are
used most, that is Microsoft's alone: its guidelines for "Sign in with Microsoft" give the size and
the colours of the four squares. The others (Google, GitHub, Apple, Keycloak, Auth0, Okta, GitLab,
Discord, Slack) ask for their own artwork, unchanged, whatever the licence of an icon set says. They
have their initial, on their colour. An app that accepts an owner's conditions downloads the artwork
from there, and names it: ``OAuth2Login("google", logo="/static/google.svg")``.
"""

from __future__ import annotations

from markupsafe import Markup

#: The colours of providers, by their labels.
COLORS = {
    "Apple": "#000000",
    "Auth0": "#eb5424",
    "Discord": "#5865f2",
    "GitHub": "#24292f",
    "GitLab": "#e24329",
    "Google": "#1a73e8",
    "Keycloak": "#00728f",
    "Okta": "#00297a",
    "Slack": "#4a154b",
}
#: The colour of all others.
OTHER = "#57626d"

#: The attributes of each image. Screen readers leave it out, because the text says the same. The
#: size is for an app's own layout without our style: an SVG without one is as wide as the page.
_ATTRIBUTES = Markup(
    'class="oauth2-mark" width="24" height="24" aria-hidden="true" focusable="false"'
    ' viewBox="0 0 23 23"'
)

_MICROSOFT = Markup(
    "<svg {}>"
    '<path fill="#f25022" d="M1 1h10v10H1z"/><path fill="#7fba00" d="M12 1h10v10H12z"/>'
    '<path fill="#00a4ef" d="M1 12h10v10H1z"/><path fill="#ffb900" d="M12 12h10v10H12z"/></svg>'
).format(_ATTRIBUTES)


def make_mark(label: str, logo: str | None = None) -> Markup:
    """Return the image on a login's button, as HTML.

    :param label: the provider's name.
    :param logo: the URL of the app's own image for it.
    """
    if logo:
        return Markup('<img class="oauth2-mark" height="24" src="{}" alt="">').format(logo)
    if label == "Microsoft":
        return _MICROSOFT
    initial = next((letter for letter in label if letter.isalnum()), "")
    # Colours are attributes of SVG, because a strict Content-Security-Policy blocks styles. The
    # line around the circle sets dark ones apart from a dark page.
    return Markup(
        '<svg {}><circle cx="11.5" cy="11.5" r="11" fill="{}" stroke="#87929d"/>'
        '<text x="11.5" y="16" text-anchor="middle" font-size="13" fill="#fff">{}</text></svg>'
    ).format(_ATTRIBUTES, COLORS.get(label, OTHER), initial.upper())
