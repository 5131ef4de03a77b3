"""Drawings of a report as inline SVG that takes its colours from the page's custom properties.

bars       a row for each model: before, warm and plan on one logarithmic axis
shares     one bar, split
flame      components.flame_svg, its fills and ink turned into the page's own
"""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from components.flame_colours import PALETTE
from components.flame_svg import flame_svg
from components.report_words import amount, number
from components.theme import TOKENS

WIDTH, LABEL, VALUE = 720, 150, 150
BAR, GAP, GROUP = 9, 2, 18
FORMS = ("before", "warm", "plan")
COLOURS = {"before": "var(--ink-3)", "warm": "var(--series-1)", "plan": "var(--accent)"}
TEXT_SIZE = 12
FLAME_WIDTH = 1080
_HEIGHT = re.compile(r'height="(\d+)"')


def bars(rows: Sequence[Mapping[str, Any]], title: str) -> str:
    """Before, warm and plan of one figure, a group for each model. "" where nothing is known."""
    values = [row[form]["value"] for row in rows for form in FORMS]
    known = [value for value in values if value]
    if not known:
        return ""
    low = 10.0 ** math.floor(math.log10(min(known)))
    high = 10.0 ** math.ceil(math.log10(max(known) * 1.0001))
    span = math.log10(high / low) or 1.0
    room = WIDTH - LABEL - VALUE

    def x_of(value: float) -> float:
        return LABEL + room * math.log10(value / low) / span

    group = len(FORMS) * (BAR + GAP) + GROUP
    height = len(rows) * group + 26
    parts = [
        f'<svg class="bars" viewBox="0 0 {WIDTH} {height}" role="img" '
        f'aria-label="{escape(title)}" font-size="{TEXT_SIZE}">'
    ]
    parts += _axis(low, high, height, x_of)
    for place, row in enumerate(rows):
        top = place * group + 4
        middle = top + (len(FORMS) * (BAR + GAP)) / 2
        parts.append(
            f'<text x="0" y="{middle + 4:.0f}" fill="var(--ink)">{escape(str(row["model"])[:24])}'
            "</text>"
        )
        for number_, form in enumerate(FORMS):
            parts += _bar(row, form, top + number_ * (BAR + GAP), x_of)
        gain = row.get("gain")
        if gain:
            words = f"{number(gain)}x {'less' if row['best'] == 'low' else 'more'}"
            parts.append(
                f'<text x="{WIDTH}" y="{middle + 4:.0f}" text-anchor="end" fill="var(--ink)" '
                f'font-weight="600">{words}</text>'
            )
    return "".join([*parts, "</svg>"])


def _axis(low: float, high: float, height: int, x_of: Any) -> Iterable[str]:
    steps = round(math.log10(high / low))
    for power in range(steps + 1):
        value = low * 10**power
        x = x_of(value)
        yield (
            f'<line x1="{x:.1f}" x2="{x:.1f}" y1="0" y2="{height - 20}" stroke="var(--line)"/>'
            f'<text x="{x:.1f}" y="{height - 6}" text-anchor="middle" fill="var(--ink-2)">'
            f"{number(value)}</text>"
        )


def _bar(row: Mapping[str, Any], form: str, y: float, x_of: Any) -> Iterable[str]:
    value = row[form]["value"]
    if not value:
        why = "no data" if value is None else "0"
        yield (
            f'<text x="{LABEL + 4}" y="{y + BAR:.1f}" fill="var(--ink-2)" font-size="10">'
            f"{form}: {why}</text>"
        )
        return
    x, words = x_of(value), amount(row[form], row["unit"])
    yield (
        f'<g><title>{form}: {words}</title><rect x="{LABEL}" y="{y:.1f}" '
        f'width="{max(2.0, x - LABEL):.1f}" height="{BAR}" fill="{COLOURS[form]}"/>'
        f'<text x="{max(LABEL + 2.0, x) + 5:.1f}" y="{y + BAR - 0.5:.1f}" font-size="10.5" '
        f'fill="var(--ink-2)">{words}</text></g>'
    )


def flame(answer: Mapping[str, Any], title: str, subtitle: str) -> str:
    """The flame graph as wide as the page, in the colours of its theme."""
    drawn = flame_svg(answer, "light", title, subtitle, FLAME_WIDTH)
    for colour, name in _properties("light").items():
        drawn = drawn.replace(f'"{colour}"', f'"var({name})"')
    head, _, rest = drawn.partition(">")
    # Its viewBox stays; the width is the page's.
    head = _HEIGHT.sub("", head.replace(f'width="{FLAME_WIDTH}"', 'class="flame"'), count=1)
    return f"{head}>{rest}"


def _properties(theme: Any) -> dict[str, str]:
    """The fills of a flame graph, and the custom properties that take their place."""
    palette, token = PALETTE[theme], TOKENS[theme]
    found = {colour: f"--flame-{place}" for place, colour in enumerate(palette["modules"])}
    found |= {palette["neutral"]: "--flame-none", token["bg"]: "--surface"}
    return found | {palette["ink"]: "--flame-ink", token["ink-2"]: "--ink-2"}


def flame_properties(theme: Any) -> dict[str, str]:
    """Values of those custom properties that are not tokens, by name."""
    palette = PALETTE[theme]
    found = {f"--flame-{place}": colour for place, colour in enumerate(palette["modules"])}
    return found | {"--flame-none": palette["neutral"], "--flame-ink": palette["ink"]}
