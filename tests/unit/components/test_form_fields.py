"""Fields that scripts make wear the forms' one class, and no style sheet describes it anew."""

from __future__ import annotations

import re
from pathlib import Path

ASSETS = Path(__file__).parents[3] / "assets"
MADE = re.compile(r'element\("(?:input|select|textarea)", "([^" ]+)')
SPECIAL = frozenset(
    {
        *("flame-select", "flame-search", "picker-input", "palette-input"),  # within bars
        *("try-box", "picker-box", "visually-hidden"),  # no text is typed into them
        "alert-rules",  # a whole file
    }
)
FIELD = re.compile(r"([^{}]+)\{[^{}]*height: 28px;[^{}]*border: 1px solid var\(--line\)[^{}]*\}")


def test_every_field_of_a_page_is_a_form_input() -> None:
    found = {
        (script.name, name)
        for script in ASSETS.glob("*.js")
        for name in MADE.findall(script.read_text(encoding="utf-8"))
    }
    assert len(found) > 10
    assert {pair for pair in found if pair[1] not in SPECIAL | {"form-input"}} == set()


def test_the_fields_look_is_written_once() -> None:
    rules = {
        (sheet.name, " ".join(selector.split("*/")[-1].split()))
        for sheet in ASSETS.glob("*.css")
        for selector in FIELD.findall(sheet.read_text(encoding="utf-8"))
    }
    fields = {rule for rule in rules if "input" in rule[1] or "field" in rule[1]}
    assert fields == {("forms.css", '.form-input:not([type="checkbox"])')}
