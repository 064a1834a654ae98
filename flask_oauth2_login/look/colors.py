"""Colours that people can read: WCAG 2.2, success criterion 1.4.3."""

from __future__ import annotations

#: The luminance of a background at which black and white text have the same contrast.
_MIDDLE = (0.05 * 1.05) ** 0.5 - 0.05


def text_color_on(background: str) -> str:
    """Return black or white, whichever has the higher contrast: at least 4.5 with any colour.

    :param background: a colour of CSS: ``#rgb`` or ``#rrggbb``.
    """
    return "#000" if _luminance(background) > _MIDDLE else "#fff"


def _luminance(color: str) -> float:
    """Return the relative luminance of a colour, by the definition of WCAG."""
    digits = color[1:]
    if len(digits) == 3:
        digits = "".join(digit * 2 for digit in digits)
    channels = [int(digits[i : i + 2], 16) / 255 for i in (0, 2, 4)]
    red, green, blue = (
        c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue
