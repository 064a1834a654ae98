"""Charts of lines as SVG: panels beside each other, with the same lines in each.

A chart has its own background, in light and in dark, so it can be read on any page.
"""

from __future__ import annotations

import dataclasses
import math
import typing as t
from html import escape

#: Sizes in pixels: of a panel's plot, of the margins around it, and of the space between labels.
PLOT_WIDTH, PLOT_HEIGHT = 240, 220
LEFT, RIGHT, TOP, BOTTOM = 52, 22, 74, 46
LABEL_HEIGHT = 11.5
LEGEND_HEIGHT = 26
#: A line with more points than this has values at its ends only.
MOST_POINTS = 12

#: Classes of lines, in the order in which they are given to lines that name none.
COLOURS = ("c1", "c2", "c3", "c4")
#: The class of the lines that others are compared with.
REFERENCE = "ref"

STYLE = """
svg { --back: #ffffff; --ink: #1f2328; --soft: #59636e; --grid: #d8dee4;
      --c1: #0a58ca; --c2: #b3400a; --c3: #1a7f37; --c4: #8250df; --ref: #59636e; }
@media (prefers-color-scheme: dark) {
  svg { --back: #0d1117; --ink: #e6edf3; --soft: #9aa4ae; --grid: #30363d;
        --c1: #6cb0ff; --c2: #ffa05c; --c3: #56d364; --c4: #c8a6ff; --ref: #9aa4ae; } }
text { font: 11px system-ui, -apple-system, "Segoe UI", "DejaVu Sans", sans-serif;
       fill: var(--ink); }
.title { font-size: 15px; font-weight: 600; } .panel { font-size: 12.5px; font-weight: 600; }
.axis, .tick { fill: var(--soft); } .back { fill: var(--back); }
.grid { stroke: var(--grid); stroke-width: 1; } .frame { stroke: var(--soft); stroke-width: 1; }
.line { fill: none; stroke-width: 2; } .ref.line { stroke-dasharray: 5 4; }
.value { font-size: 10px; stroke: var(--back); stroke-width: 3px; paint-order: stroke; }
"""
#: The style of lines, points and values of one class.
STYLE_OF_LINE = """
.{0}.line {{ stroke: var(--{0}); }} .{0}.dot, .{0}.value {{ fill: var(--{0}); }}
"""

Points = t.Sequence[tuple[float, float]]


@dataclasses.dataclass(frozen=True)
class Panel:
    """One plot.

    :param lines: by their names. A line of one point is drawn through the whole panel.
    """

    title: str
    lines: t.Mapping[str, Points]


@dataclasses.dataclass(frozen=True)
class Chart:
    """Panels with a title and a legend.

    :param references: the names of the lines that others are compared with.
    :param is_logarithmic: True if the horizontal axis is logarithmic.
    :param form: how a value is written beside its point.
    """

    title: str
    x_axis: str
    y_axis: str
    panels: t.Sequence[Panel]
    references: t.Collection[str] = ()
    is_logarithmic: bool = True
    form: str = "{:.2f}"

    def as_svg(self) -> str:
        """Return the chart as the text of a file."""
        step = LEFT + PLOT_WIDTH + RIGHT
        width, height = step * len(self.panels), TOP + PLOT_HEIGHT + BOTTOM + LEGEND_HEIGHT
        size = f'width="{width}" height="{height}" viewBox="0 0 {width} {height}"'
        title = escape(self.title)
        style = STYLE + "".join(map(STYLE_OF_LINE.format, (*COLOURS, REFERENCE)))
        parts = [
            f'<svg xmlns="http://www.w3.org/2000/svg" {size} role="img" aria-label="{title}">',
            f"<title>{title}</title><style>{style}</style>",
            f'<rect class="back" width="{width}" height="{height}"/>',
            _text(16, 25, self.title, "title"),
            _text(16, 42, self.y_axis, "axis"),
        ]
        colours = self._colours()
        highest = max(
            y for panel in self.panels for points in panel.lines.values() for _, y in points
        )
        for index, panel in enumerate(self.panels):
            axes = _Axes.of(panel, highest, left=LEFT + index * step, is_log=self.is_logarithmic)
            parts += self._draw(panel, axes, colours)
        parts += self._legend(colours, height - 12)
        return "\n".join([*parts, "</svg>", ""])

    def _colours(self) -> dict[str, str]:
        names = list(dict.fromkeys(name for panel in self.panels for name in panel.lines))
        others = iter(COLOURS)
        return {name: REFERENCE if name in self.references else next(others) for name in names}

    def _draw(self, panel: Panel, axes: _Axes, colours: t.Mapping[str, str]) -> t.Iterator[str]:
        bottom, right = TOP + PLOT_HEIGHT, axes.left + PLOT_WIDTH
        yield _text(axes.left, TOP - 12, panel.title, "panel")
        for value in axes.y_ticks:
            y = axes.y(value)
            yield f'<path class="grid" d="M{axes.left} {y:.1f}H{right}"/>'
            yield _text(axes.left - 7, y + 4, _number(value), "tick", "end")
        yield f'<path class="frame" fill="none" d="M{axes.left} {TOP}V{bottom}H{right}"/>'
        for value in axes.x_ticks:
            yield f'<path class="frame" d="M{axes.x(value):.1f} {bottom}v4"/>'
            yield _text(axes.x(value), bottom + 17, _number(value), "tick", "middle")
        middle = axes.left + PLOT_WIDTH / 2
        yield _text(middle, bottom + 34, self.x_axis, "axis", "middle")
        for name, points in panel.lines.items():
            yield from _line(axes, points, colours[name])
        yield from self._values(panel, axes, colours)

    def _values(self, panel: Panel, axes: _Axes, colours: t.Mapping[str, str]) -> t.Iterator[str]:
        """Write the values beside their points, none over another."""
        columns: dict[float, list[tuple[float, str, float]]] = {}
        for name, points in panel.lines.items():
            for x, y in points if len(points) <= MOST_POINTS else (points[0], points[-1]):
                if len(points) > 1 or name not in self.references:
                    # Below the line that others are compared with, above all others.
                    height = axes.y(y) + (13 if colours[name] == REFERENCE else -7)
                    columns.setdefault(x, []).append((height, colours[name], y))
        for x, found in columns.items():
            found.sort()
            heights = spread([height for height, _, _ in found], LABEL_HEIGHT, TOP + 4)
            for (_, colour, value), height in zip(found, heights, strict=True):
                text = self.form.format(value)
                yield _text(axes.x(x), height + 3, text, f"value {colour}", "middle")

    def _legend(self, colours: t.Mapping[str, str], y: float) -> t.Iterator[str]:
        x = float(LEFT)
        for name, colour in colours.items():
            yield f'<path class="line {colour}" d="M{x:.0f} {y - 4}h22"/>'
            yield _text(x + 28, y, name)
            x += 28 + 6.4 * len(name) + 24


@dataclasses.dataclass(frozen=True)
class _Axes:
    """Where a panel's values are in the picture."""

    left: float
    lowest_x: float
    highest_x: float
    highest_y: float
    is_log: bool
    x_ticks: t.Sequence[float]
    y_ticks: t.Sequence[float]

    @classmethod
    def of(cls, panel: Panel, highest: float, *, left: float, is_log: bool) -> _Axes:
        """Return axes with room for all points; the vertical one begins at 0."""
        values = sorted({x for points in panel.lines.values() for x, _ in points})
        step = nice_step(highest / 4)
        count = math.ceil(highest * 1.08 / step)
        y_ticks = [step * index for index in range(count + 1)]
        x_ticks = values
        if not is_log:
            width = nice_step(values[-1] / 4)
            x_ticks = [width * index for index in range(int(values[-1] // width) + 1)]
        lowest = values[0] if is_log else 0.0
        return cls(left, lowest, values[-1], y_ticks[-1], is_log, x_ticks, y_ticks)

    def x(self, value: float) -> float:
        """Return the horizontal place of a value."""
        low, here, high = self.lowest_x, value, self.highest_x
        if self.is_log:
            low, here, high = math.log(low), math.log(here), math.log(high)
        return self.left + 16 + (PLOT_WIDTH - 32) * (here - low) / ((high - low) or 1)

    def y(self, value: float) -> float:
        """Return the vertical place of a value."""
        return TOP + PLOT_HEIGHT * (1 - value / self.highest_y)


def spread(wanted: t.Sequence[float], distance: float, least: float) -> list[float]:
    """Return places near those that are wanted, in their order and apart from each other.

    :param wanted: in ascending order.
    :param least: no place is less.
    """
    groups: list[list[float]] = []
    for place in wanted:
        groups.append([place])
        # A group is centred around the places that its members want. Groups that meet are joined.
        while len(groups) > 1 and _last(groups[-2], distance, least) + distance > _first(
            groups[-1], distance, least
        ):
            joined = groups.pop()
            groups[-1].extend(joined)
    return [
        _first(group, distance, least) + index * distance
        for group in groups
        for index in range(len(group))
    ]


def _first(group: t.Sequence[float], distance: float, least: float) -> float:
    return max(least, sum(group) / len(group) - distance * (len(group) - 1) / 2)


def _last(group: t.Sequence[float], distance: float, least: float) -> float:
    return _first(group, distance, least) + distance * (len(group) - 1)


def nice_step(least: float) -> float:
    """Return the smallest step of 1, 2, 2.5 or 5, times a power of ten, that is not below this."""
    power = 10.0 ** math.floor(math.log10(least)) if least > 0 else 1.0
    return next(power * each for each in (1, 2, 2.5, 5, 10) if power * each >= least * 0.999)


def _line(axes: _Axes, points: Points, colour: str) -> t.Iterator[str]:
    if len(points) == 1 and colour == REFERENCE:
        y = axes.y(points[0][1])
        yield f'<path class="line {colour}" d="M{axes.left} {y:.1f}h{PLOT_WIDTH}"/>'
        return
    places = [(axes.x(x), axes.y(y)) for x, y in points]
    path = "L".join(f"{x:.1f} {y:.1f}" for x, y in places)
    yield f'<path class="line {colour}" d="M{path}"/>'
    if len(places) <= MOST_POINTS:
        for x, y in places:
            yield f'<circle class="dot {colour}" cx="{x:.1f}" cy="{y:.1f}" r="3"/>'


def _text(x: float, y: float, text: str, kind: str = "", anchor: str = "start") -> str:
    place = f'x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}"'
    return f'<text class="{kind}" {place}>{escape(text)}</text>'


def _number(value: float) -> str:
    return f"{value / 1000:.3g}k" if value >= 1000 else f"{value:.3g}"
