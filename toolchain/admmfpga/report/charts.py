"""Small charts as SVG text: no script, no font, no other file."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from html import escape
from itertools import cycle, islice
from math import ceil, floor, log10

COLOURS = ("#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#888888")
"""Paul Tol's bright scheme."""

_LEFT, _RIGHT, _TOP, _BOTTOM = 64, 16, 30, 56


@dataclass(frozen=True)
class Axis:
    """A scale from values to pixels."""

    low: float
    high: float
    start: float
    end: float
    log: bool = False

    def __call__(self, value: float) -> float:
        low, high, value = (log10(v) if self.log else v for v in (self.low, self.high, value))
        return self.start + (self.end - self.start) * (value - low) / (high - low)

    def ticks(self) -> list[float]:
        """Round values: powers of ten (with 2 and 5 in between where there are few), or equal steps of 1, 2 or 5."""
        if self.log and self.high >= 8 * self.low:
            powers = range(floor(log10(self.low)), ceil(log10(self.high)) + 1)
            steps = (1, 2, 5) if len(powers) <= 4 else (1,)
            marks = [step * 10.0**power for power in powers for step in steps]
        else:
            step = 10.0 ** floor(log10((self.high - self.low) / 4))
            step *= next(m for m in (1, 2, 5, 10) if (self.high - self.low) / (m * step) <= 6)
            marks = [step * i for i in range(ceil(self.low / step), floor(self.high / step + 1e-9) + 1)]
        return [mark for mark in marks if self.low * (1 - 1e-9) <= mark <= self.high * (1 + 1e-9)]


def linear(values: Sequence[float], start: float, end: float) -> Axis:
    """From zero to a little above the greatest value."""
    return Axis(0.0, 1.05 * max([*values, 1e-9]), start, end)


def logarithmic(values: Sequence[float], start: float, end: float) -> Axis:
    """From a little below the least value to a little above the greatest; values are positive."""
    low, high = min(values, default=1.0), max(values, default=10.0)
    return Axis(low / 1.3, high * 1.3, start, end, log=True)


@dataclass(frozen=True)
class Series:
    """Named points; joined by a line if `joined`."""

    name: str
    points: Sequence[tuple[float, float]]
    joined: bool = False
    labels: Sequence[str] = ()


def stacked_bars(
    title: str, unit: str, bars: Mapping[str, Mapping[str, float]], width: int = 460, height: int = 300
) -> str:
    """Bars of parts, one on the other.

    Args:
        bars: amounts of parts by the bar's name; all have the same parts.
    """
    names, parts = list(bars), list(next(iter(bars.values())))
    y = linear([sum(parts.values()) for parts in bars.values()], height - _BOTTOM - 14, _TOP)
    step = (width - _LEFT - _RIGHT) / len(names)
    body = _y_axis(y, width, unit)
    for index, name in enumerate(names):
        x, base = _LEFT + index * step + 0.15 * step, 0.0
        for part, colour in zip(parts, cycle(COLOURS)):
            amount = bars[name][part]
            if amount > 0:
                tip = f"{name}, {part}: {number(amount)} {unit}"
                body.append(_rect(x, y(base + amount), 0.7 * step, y(base) - y(base + amount), colour, tip))
            base += amount
        body.append(_text(x + 0.35 * step, y(base) - 4, number(base), "middle", 9))
        body.append(_slanted(x + 0.45 * step, height - _BOTTOM, name))
    return _svg(title, width, height, body, parts)


def grouped_bars(
    title: str, unit: str, groups: Mapping[str, Mapping[str, float]], width: int = 640, height: int = 300
) -> str:
    """For each group one bar a series, next to each other.

    Args:
        groups: amounts by series by the group's name; a series may be missing.
    """
    series = list(dict.fromkeys(name for group in groups.values() for name in group))
    y = linear([amount for group in groups.values() for amount in group.values()], height - _BOTTOM - 14, _TOP)
    step = (width - _LEFT - _RIGHT) / max(1, len(groups))
    bar = 0.8 * step / max(1, len(series))
    body = _y_axis(y, width, unit)
    for index, (group, amounts) in enumerate(groups.items()):
        start = _LEFT + index * step + 0.1 * step
        for place, (name, colour) in enumerate(zip(series, cycle(COLOURS))):
            if name in amounts:
                top = y(amounts[name])
                tip = f"{group}, {name}: {number(amounts[name])} {unit}"
                body.append(_rect(start + place * bar, top, 0.92 * bar, y(0) - top, colour, tip))
        body.append(_slanted(start + 0.4 * step, height - _BOTTOM, group))
    return _svg(title, width, height, body, series)


def scatter(
    title: str,
    x_title: str,
    y_title: str,
    series: Sequence[Series],
    *,
    log_x: bool = False,
    log_y: bool = False,
    level: float | None = None,
    width: int = 460,
    height: int = 320,
) -> str:
    """Points and lines over two axes.

    Args:
        level: a dashed horizontal line at this y.
    """
    xs = [x for s in series for x, _ in s.points]
    ys = [y for s in series for _, y in s.points] + ([] if level is None else [level])
    scale: dict[bool, Callable[[Sequence[float], float, float], Axis]] = {True: logarithmic, False: linear}
    x_axis = scale[log_x](xs, _LEFT, width - _RIGHT)
    y_axis = scale[log_y](ys, height - _BOTTOM, _TOP)
    body = _y_axis(y_axis, width, y_title)
    for tick in x_axis.ticks():
        body.append(_line(x_axis(tick), _TOP, x_axis(tick), height - _BOTTOM, "#e4e4e4"))
        body.append(_text(x_axis(tick), height - _BOTTOM + 14, number(tick), "middle", 10))
    body.append(_text((_LEFT + width - _RIGHT) / 2, height - _BOTTOM + 30, x_title, "middle", 11))
    if level is not None:
        body.append(_line(_LEFT, y_axis(level), width - _RIGHT, y_axis(level), "#555555", "5 4"))
    for s, colour in zip(series, cycle(COLOURS)):
        places = [(x_axis(x), y_axis(y)) for x, y in s.points]
        if s.joined and len(places) > 1:
            path = " ".join(f"{x:.1f},{y:.1f}" for x, y in places)
            body.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="1.5"/>')
        labels = s.labels or [f"{number(x)}, {number(y)}" for x, y in s.points]
        for (x, y), label in zip(places, labels, strict=True):
            tip = f"<title>{escape(f'{s.name}: {label}')}</title>"
            body.append(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="4" fill="{colour}">{tip}</circle>')
    return _svg(title, width, height, body, [s.name for s in series])


def number(value: float) -> str:
    """Three figures, and k or M behind large ones."""
    for size, letter in ((1e9, "G"), (1e6, "M"), (1e4, "k")):
        if abs(value) >= size:
            divided = value / (1e3 if letter == "k" else size)
            return f"{divided:.3g}{letter}" if divided < 1000 else f"{divided:,.0f}{letter}"
    return f"{value:,.0f}" if abs(value) >= 1000 else f"{value:.3g}"


def _y_axis(axis: Axis, width: int, title: str) -> list[str]:
    body = [_text(_LEFT - 48, _TOP - 10, title, "start", 11)]
    for tick in axis.ticks():
        body.append(_line(_LEFT, axis(tick), width - _RIGHT, axis(tick), "#e4e4e4"))
        body.append(_text(_LEFT - 6, axis(tick) + 3, number(tick), "end", 10))
    return body


def _svg(title: str, width: int, height: int, body: Sequence[str], names: Sequence[str]) -> str:
    """The chart with its legend below."""
    columns = max(1, width // 150)
    rows = -(-len(names) // columns)
    legend = []
    for index, (name, colour) in enumerate(zip(names, islice(cycle(COLOURS), len(names)), strict=True)):
        x, y = 14 + (index % columns) * (width - 14) / columns, height + 4 + 16 * (index // columns)
        legend += [_rect(x, y, 10, 10, colour, ""), _text(x + 15, y + 9, name, "start", 11)]
    total = height + 16 * rows + 4
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {total}" width="{width}" height="{total}" '
        f'role="img" font-family="sans-serif"><title>{escape(title)}</title>'
        f"{_text(width / 2, 14, title, 'middle', 13)}{''.join(body)}{''.join(legend)}</svg>"
    )


def _rect(x: float, y: float, width: float, height: float, colour: str, tip: str) -> str:
    title = f"<title>{escape(tip)}</title>" if tip else ""
    return f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}" fill="{colour}">{title}</rect>'


def _line(x1: float, y1: float, x2: float, y2: float, colour: str, dash: str = "") -> str:
    dashed = f' stroke-dasharray="{dash}"' if dash else ""
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}"{dashed}/>'


def _text(x: float, y: float, text: str, anchor: str, size: int) -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-size="{size}" fill="#222">{escape(text)}</text>'


def _slanted(x: float, y: float, text: str) -> str:
    return (
        f'<text transform="translate({x:.1f},{y:.1f}) rotate(-30)" text-anchor="end" font-size="10" fill="#222">'
        f"{escape(text)}</text>"
    )
