"""A flame graph as one SVG file without any script: an icicle, its root at the top.

    title                                     answer: view=code of /performance/flame-graph
    subtitle                                  nodes:  frame, parent, self, total, against_total;
    less [blue grey orange] more than …               parent before child, -1 for roots
    ┌──────────── root ────────────┐
    │ caller ─────────┐ caller ─┐  │          a box: <title> with label, share and amount,
    │ leaf ──┐        │         │  │          a fill by module (compared: by difference of
    └────────┴────────┴─────────┴──┘          shares) and the label as far as there is room

Widths are shares of what was sampled now; compared, also "before" or "both", the mean of the
two, in which code that is gone has a width as well. Boxes under LEAST_PX are not drawn.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal, NamedTuple
from xml.sax.saxutils import escape, quoteattr

from components.flame_colours import PALETTE, diff_colour, module_colour
from components.theme import FONT, TOKENS, Theme

Widths = Literal["now", "before", "both"]
ROW_PX = 18
MARGIN_PX = 16
HEADER_PX = 58
LEGEND_PX = 22
LEAST_PX = 0.4
CHARACTER_PX = 6.4
PADDING_PX = 4
SWATCH_PX = 14
LABELS_MOST = 200
_FORBIDDEN = re.compile("[^\t\n\r -\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
_UNITS_NS = (1e9, "s"), (1e6, "ms"), (1e3, "µs")


class _Box(NamedTuple):
    node: int
    depth: int
    x_px: float
    width_px: float


def flame_svg(
    answer: Mapping[str, Any],
    theme: Theme,
    title: str,
    subtitle: str,
    width_px: int = 1200,
    widths: Widths = "now",
) -> str:
    """The whole file. subtitle: what was asked for, its time range and the time of capture."""
    token = TOKENS[theme]
    compared = answer.get("against") is not None
    boxes = _boxes(answer, widths if compared else "now", width_px - 2 * MARGIN_PX)
    top_px = HEADER_PX + (LEGEND_PX if compared else 0)
    rows = max((box.depth + 1 for box in boxes), default=1)
    left_out = answer.get("left_out") or 0
    height_px = top_px + rows * ROW_PX + MARGIN_PX + (ROW_PX if left_out else 0)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{width_px}" height="{height_px}"'
        f' viewBox="0 0 {width_px} {height_px}" font-family={quoteattr(FONT)} font-size="12"'
        f' role="img" aria-label={quoteattr(_xml(title))}>',
        f'<rect width="100%" height="100%" fill="{token["bg"]}"/>',
        _text(MARGIN_PX, 26, title[:LABELS_MOST], token["ink"], ' font-size="16"'),
        _text(MARGIN_PX, 45, subtitle[:LABELS_MOST], token["ink-2"]),
    ]
    if compared:
        parts += _legend(answer["against"], theme)
    if boxes:
        ink = PALETTE[theme]["ink"]
        parts.append(f'<g transform="translate({MARGIN_PX} {top_px})" fill="{ink}">')
        parts += _drawn(answer, boxes, theme)
        parts.append("</g>")
    else:
        parts.append(_text(MARGIN_PX, top_px + 13, "No samples in this window", token["ink-2"]))
    if left_out:
        words = f"{left_out:,} smaller nodes are counted as (other)"
        parts.append(_text(MARGIN_PX, height_px - MARGIN_PX, words, token["ink-2"]))
    return "\n".join([*parts, "</svg>\n"])


def _weights(answer: Mapping[str, Any], widths: Widths) -> list[float]:
    """Each node's width relative to the others'."""
    nodes, measure = answer["nodes"], answer["measure"]
    weights = [0.0] * len(nodes["parent"])
    if widths != "before":
        whole = answer["sampled"][measure]
        weights = [_share(total, whole) for total in nodes["total"]]
    if widths != "now":
        whole = answer["against"]["sampled"][measure]
        before = (_share(total, whole) for total in nodes["against_total"])
        weights = [now + then for now, then in zip(weights, before, strict=True)]
    return weights


def _boxes(answer: Mapping[str, Any], widths: Widths, width_px: float) -> list[_Box]:
    """Where each node that is wide enough goes, siblings side by side in their order."""
    parents, weights = answer["nodes"]["parent"], _weights(answer, widths)
    whole = sum(weight for parent, weight in zip(parents, weights, strict=True) if parent < 0)
    if whole <= 0:
        return []
    depth: list[int] = []
    free_px: list[float] = []
    root_px = 0.0
    boxes = []
    for node, (parent, weight) in enumerate(zip(parents, weights, strict=True)):
        wide_px = width_px * weight / whole
        x_px = root_px if parent < 0 else free_px[parent]
        if parent < 0:
            root_px += wide_px
        else:
            free_px[parent] += wide_px
        depth.append(0 if parent < 0 else depth[parent] + 1)
        free_px.append(x_px)
        if wide_px >= LEAST_PX:
            boxes.append(_Box(node, depth[node], x_px, wide_px))
    return boxes


def _drawn(answer: Mapping[str, Any], boxes: Sequence[_Box], theme: Theme) -> Iterator[str]:
    nodes, measure = answer["nodes"], answer["measure"]
    against = answer.get("against")
    for box in boxes:
        frame = answer["frames"][nodes["frame"][box.node]]
        total = nodes["total"][box.node]
        share = _share(total, answer["sampled"][measure])
        words = f"{frame['label']}\n{share:.1%}, {_amount(total, answer['unit'])}"
        if against is None:
            fill = module_colour(frame["module"], theme)
        else:
            before = _share(nodes["against_total"][box.node], against["sampled"][measure])
            fill = diff_colour(share - before, theme)
            words += f"\n{before:.1%} in {against['label']} ({(share - before) * 100:+.1f} points)"
        yield _box(box, _shortened(frame["label"], frame["name"], box.width_px), words, fill)


def _box(box: _Box, label: str, words: str, fill: str) -> str:
    """A nested svg clips the label to its box, whatever the width of the viewer's font."""
    y_px, wide_px = box.depth * ROW_PX, max(box.width_px - 0.5, LEAST_PX)
    place = f'x="{box.x_px:.2f}" y="{y_px}" width="{wide_px:.2f}" height="{ROW_PX - 1}"'
    inner = f'<svg {place}><text x="{PADDING_PX}" y="13">{_xml(label)}</text></svg>'
    return (
        f'<g><title>{_xml(words)}</title><rect {place} fill="{fill}"/>{inner if label else ""}</g>'
    )


def _legend(against: Mapping[str, Any], theme: Theme) -> Iterator[str]:
    fills = PALETTE[theme]["diff"]
    ink, x_px = TOKENS[theme]["ink-2"], MARGIN_PX + 50
    yield _text(MARGIN_PX, HEADER_PX + 10, "smaller", ink)
    for at, fill in enumerate(fills):
        yield (
            f'<rect x="{x_px + at * SWATCH_PX}" y="{HEADER_PX}" width="{SWATCH_PX}" height="12"'
            f' fill="{fill}"/>'
        )
    words = f"larger share than in {against['label']}"
    yield _text(x_px + len(fills) * SWATCH_PX + 6, HEADER_PX + 10, words, ink)


def _text(x_px: float, y_px: float, words: str, fill: str, more: str = "") -> str:
    return f'<text x="{x_px}" y="{y_px}" fill="{fill}"{more}>{_xml(words)}</text>'


def _shortened(label: str, name: str, width_px: float) -> str:
    """The label, or only the name, or as much of the name as fits; "" where that says nothing."""
    room = min(LABELS_MOST, int((width_px - 2 * PADDING_PX) / CHARACTER_PX))
    if len(label) <= room:
        return label
    if len(name) <= room:
        return name
    return f"{name[: room - 1]}…" if room >= 3 else ""


def _share(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0


def _amount(value: float, unit: str) -> str:
    if unit != "ns":
        return f"{value:,.0f} {unit if value != 1 else unit.removesuffix('s')}"
    for scale, name in _UNITS_NS:
        if value >= scale:
            return f"{value / scale:,.2f} {name}"
    return f"{value:.0f} ns"


def _xml(text: str) -> str:
    """Text as an XML document may hold it; characters that it forbids are left out."""
    return escape(_FORBIDDEN.sub("", text))
