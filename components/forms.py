"""Fields of a page's form: their labels and choices.

Dash has no plain input; assets/_forms.js makes those of the other kinds, once.
"""

from __future__ import annotations

from typing import Any, NamedTuple

from dash import html


class Field(NamedTuple):
    """A field of a form; key: its dotted path in what the form says.

    kind: number | percent | text | flag, whose inputs the script makes, or choice. wants: shown
    only while another field has this value, as "key=value"; "" always.
    """

    key: str
    label: str
    kind: str = "number"
    hint: str = ""
    choices: tuple[tuple[str, str], ...] = ()
    wants: str = ""


def field_label(page: str, field: Field) -> html.Label:
    """A field's label on a page, its select `PAGE-field-KEY` in it where it is a choice."""
    content: list[Any] = [html.Span(field.label, className="form-label")]
    if field.kind == "choice":
        options = [html.Option(words, value=value) for value, words in field.choices]
        place = f"{page}-field-{field.key.replace('.', '-')}"
        content.append(html.Select(options, id=place, className="form-input"))
    return html.Label(
        content,
        className=f"form-field form-field-{field.kind}",
        title=field.hint or None,
        **{"data-field": field.key, "data-kind": field.kind, "data-wants": field.wants},
    )
