"""Flame graphs as SVG: every name inert, every label readable, widths that are shares."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path
from typing import Any, get_args
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st

from components.flame_colours import (
    DIFF_BOUNDS,
    HUES,
    PALETTE,
    diff_colour,
    flame_palette,
    fnv1a_32,
    module_colour,
)
from components.flame_svg import LEAST_PX, MARGIN_PX, ROW_PX, flame_svg
from components.theme import Theme
from tests.unit.components.test_theme_tokens import contrast

THEMES = get_args(Theme)
SVG = "{http://www.w3.org/2000/svg}"
HOSTILE = "<script>alert(1)</script>"
ASSETS = Path(__file__).parents[3] / "assets"

Node = tuple[str, int, int]


def answer(*nodes: Node, against: list[int] | None = None, **more: Any) -> dict[str, Any]:
    """nodes: (name, parent, total)."""
    names = list(dict.fromkeys(name for name, _, _ in nodes))
    whole = sum(total for _, parent, total in nodes if parent < 0)
    before = sum(t for t, (_, parent, _) in zip(against or [], nodes, strict=False) if parent < 0)
    sampled = {"label": "the hour before", "sampled": {"cpu": before}}
    return {
        "measure": "cpu",
        "unit": "ns",
        "sampled": {"cpu": whole},
        "frames": [
            {"label": f"{name} (pkg/{at}.py:{at})", "name": name, "module": f"m{at}.x"}
            for at, name in enumerate(names)
        ],
        "nodes": {
            "frame": [names.index(name) for name, _, _ in nodes],
            "parent": [parent for _, parent, _ in nodes],
            "total": [total for _, _, total in nodes],
            "against_total": against,
        },
        "left_out": 0,
        "against": None if against is None else sampled,
        **more,
    }


USUAL = answer(("root", -1, 2_000_000_000), ("left", 0, 1_500_000_000), ("leaf", 1, 1_000_000))


def drawn(given: dict[str, Any], theme: Theme = "dark", **more: Any) -> ElementTree.Element:
    return ElementTree.fromstring(flame_svg(given, theme, "Flame graph", "10:00 to 10:10", **more))


def boxes(root: ElementTree.Element) -> list[tuple[str, float, float, float, str]]:
    """(tooltip, x, y, width, fill) of each."""
    found = []
    for group in root.iterfind(f".//{SVG}g[{SVG}title]"):
        rect, words = group.find(f"{SVG}rect"), group.findtext(f"{SVG}title")
        assert rect is not None
        assert words is not None
        x, y, width = (float(rect.get(name, "")) for name in ("x", "y", "width"))
        found.append((words, x, y, width, rect.get("fill", "")))
    return found


def test_boxes_are_as_wide_as_their_shares() -> None:
    root, left, leaf = boxes(drawn(USUAL))
    whole = 1200 - 2 * MARGIN_PX
    assert [box[3] for box in (root, left)] == pytest.approx([whole - 0.5, whole * 0.75 - 0.5])
    assert [box[2] for box in (root, left, leaf)] == [0, ROW_PX, 2 * ROW_PX]
    assert root[0] == "root (pkg/0.py:0)\n100.0%, 2.00 s"
    assert left[0] == "left (pkg/1.py:1)\n75.0%, 1.50 s"
    assert leaf[0].endswith("0.1%, 1.00 ms")


def test_siblings_and_roots_stand_side_by_side() -> None:
    given = answer(("a", -1, 6), ("b", 0, 3), ("c", 0, 2), ("d", -1, 4))
    a, b, c, d = boxes(drawn(given, width_px=1000 + 2 * MARGIN_PX))
    assert [box[1] for box in (a, b, c, d)] == [0, 0, 300, 600]


def test_boxes_too_narrow_to_be_seen_are_not_drawn() -> None:
    given = answer(("a", -1, 1_000_000), ("b", 0, 10), ("c", 1, 5))
    assert len(boxes(drawn(given))) == 1


def test_labels_are_shortened_to_their_box() -> None:
    names = ("a" * 90, "b" * 10, "c")
    given = answer((names[0], -1, 1000), (names[1], 0, 60), (names[2], 0, 13))
    labels = [text.text for text in drawn(given, width_px=600).iterfind(f".//{SVG}svg/{SVG}text")]
    assert labels == ["a" * 86 + "…", "bbb…"]


@pytest.mark.parametrize("theme", THEMES)
def test_fills_are_by_top_level_package(theme: Theme) -> None:
    fills = [box[4] for box in boxes(drawn(USUAL, theme))]
    assert fills == [module_colour(f"m{at}", theme) for at in range(3)]


def test_a_comparison_is_coloured_by_the_difference_of_shares() -> None:
    given = answer(("a", -1, 100), ("b", 0, 60), ("c", 0, 40), against=[1000, 300, 700])
    found = {box[0][0]: box for box in boxes(drawn(given))}
    assert found["a"][4] == PALETTE["dark"]["diff"][len(DIFF_BOUNDS)]
    assert found["b"][4] == PALETTE["dark"]["diff"][-1]
    assert found["c"][4] == PALETTE["dark"]["diff"][0]
    assert found["b"][0].endswith("60.0%, 60 ns\n30.0% in the hour before (+30.0 points)")


def test_code_that_is_gone_has_a_width_of_the_mean_of_both() -> None:
    given = answer(("a", -1, 100), ("b", -1, 0), against=[500, 500])
    wide = {box[0][0]: box[3] for box in boxes(drawn(given, widths="both"))}
    assert wide["a"] == pytest.approx(3 * wide["b"], rel=0.01)
    assert [box[0][0] for box in boxes(drawn(given))] == ["a"]


@pytest.mark.parametrize(("total", "words"), [(1, "1 sample"), (1234, "1,234 samples")])
def test_samples_are_counted_in_words(total: int, words: str) -> None:
    (box,) = boxes(drawn(answer(("a", -1, total), unit="samples")))
    assert box[0].endswith(f"100.0%, {words}")


def test_the_header_says_what_and_when() -> None:
    words = [text.text for text in drawn(USUAL).iterfind(f"{SVG}text")]
    assert words == ["Flame graph", "10:00 to 10:10"]


def test_no_samples_and_nodes_left_out_are_said() -> None:
    empty = ElementTree.tostring(drawn(answer()), encoding="unicode")
    assert "No samples in this window" in empty
    assert "7 smaller nodes are counted as (other)" in "".join(
        drawn({**USUAL, "left_out": 7}).itertext()
    )


@pytest.mark.parametrize("name", [HOSTILE, "]]>", '"&amp;', "javascript:alert(1)", "x" * 10_000])
def test_hostile_names_stay_text(name: str) -> None:
    given = answer((name, -1, 10), ("b", 0, 5), against=[1, 1])
    given["against"]["label"] = name
    text = flame_svg(given, "dark", name, name)
    root = ElementTree.fromstring(text)
    assert boxes(root)[0][0].startswith(f"{name} (pkg")
    assert {element.tag.removeprefix(SVG) for element in root.iter()} == {
        *("svg", "rect", "text", "g", "title")
    }
    assert not re.search(r"<script|\son\w+=|href", text)


@given(st.text(st.characters(codec=None), max_size=40))
def test_any_text_makes_a_well_formed_file(name: str) -> None:
    text = flame_svg(answer((name, -1, 10)), "light", name, name)
    ElementTree.fromstring(text.encode())


def test_five_thousand_boxes_of_two_hundred_rows() -> None:
    nodes = [("a", -1, 5000), *(("a", max(0, at - 25), 5000 - at) for at in range(1, 5000))]
    assert len(drawn(answer(*nodes)).findall(f".//{SVG}rect")) > 100
    assert LEAST_PX > 0


@pytest.mark.parametrize("theme", THEMES)
def test_ink_is_readable_on_every_fill(theme: Theme) -> None:
    palette = PALETTE[theme]
    fills = (*palette["modules"], *palette["diff"], palette["neutral"])
    assert min(contrast(fill, palette["ink"]) for fill in fills) >= 4.5
    assert len(set(palette["modules"])) == HUES
    assert len(set(palette["diff"])) == 2 * len(DIFF_BOUNDS) + 1


@pytest.mark.parametrize("theme", THEMES)
def test_modules_of_a_package_share_a_fill(theme: Theme) -> None:
    assert module_colour("sklearn.ensemble._forest", theme) == module_colour("sklearn", theme)
    assert module_colour("", theme) == PALETTE[theme]["neutral"]


@pytest.mark.parametrize(
    ("delta", "step"),
    [(0, 5), (0.0029, 5), (-0.0029, 5), (0.003, 6), (-0.003, 4), (1, 10), (-1, 0), (0.1, 9)],
)
def test_differences_have_steps(delta: float, step: int) -> None:
    assert diff_colour(delta, "light") == PALETTE["light"]["diff"][step]


def test_an_unknown_difference_is_grey() -> None:
    assert diff_colour(float("nan"), "dark") == PALETTE["dark"]["diff"][5]


# Machado, Oliveira and Fernandes 2009, severity 1, on linear RGB.
BLINDNESS = {
    "protanopia": (
        *((0.152286, 1.052583, -0.204868), (0.114503, 0.786281, 0.099216)),
        (-0.003882, -0.048116, 1.051998),
    ),
    "deuteranopia": (
        *((0.367322, 0.860646, -0.227968), (0.280085, 0.672501, 0.047413)),
        (-0.011820, 0.042940, 0.968881),
    ),
}


def seen(colour: str, blindness: str) -> list[int]:
    """The colour, 0 to 255, as such an eye has it."""
    linear = [(int(colour[at : at + 2], 16) / 255) ** 2.2 for at in (1, 3, 5)]
    rows = BLINDNESS[blindness]
    mixed = (sum(a * b for a, b in zip(row, linear, strict=True)) for row in rows)
    return [round(255 * max(0.0, value) ** (1 / 2.2)) for value in mixed]


@pytest.mark.parametrize("theme", THEMES)
@pytest.mark.parametrize("blindness", BLINDNESS)
def test_more_and_less_are_told_apart_by_colour_blind_eyes(theme: Theme, blindness: str) -> None:
    """Blue less red is what such an eye tells blue from orange by; it falls at every step."""
    fills = [seen(fill, blindness) for fill in PALETTE[theme]["diff"]]
    blueness = [blue - red for red, _, blue in fills]
    assert blueness == sorted(blueness, reverse=True)
    assert blueness[0] > 60
    assert blueness[-1] < -60


@pytest.mark.parametrize(
    ("text", "value"), [("", 0x811C9DC5), ("a", 0xE40C292C), ("foobar", 0xBF9CF968)]
)
def test_the_hash_is_fnv_1a(text: str, value: int) -> None:
    assert fnv1a_32(text) == value


def test_the_palette_for_the_browser_is_plain_data() -> None:
    palette = flame_palette()
    assert palette["diff_bounds"] == list(DIFF_BOUNDS)
    for theme in THEMES:
        assert palette[theme]["modules"] == list(PALETTE[theme]["modules"])
        assert palette[theme]["ink"] == PALETTE[theme]["ink"]


@pytest.mark.skipif(shutil.which("node") is None, reason="no node to run the browser's hash with")
def test_the_browser_has_the_same_hash() -> None:
    names = ["engine", "sklearn", "", "モデル", "𝔭𝔶"]
    code = f"""
      globalThis.window = globalThis;
      window.pyrometer = {{ dom: {{}} }};
      require({str(ASSETS / "flame_colours.js")!r});
      console.log({names!r}.map(window.pyrometer.flame.colours.hash).join(" "));
    """
    told = subprocess.run(["node", "-e", code], capture_output=True, text=True, check=True).stdout
    assert [int(value) for value in told.split()] == [fnv1a_32(name) for name in names]
