"""Small parts of a report's HTML: cells, tables, headings, citations. Text stays text."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

from components.report_words import STATUS, amount, of_figure

Data = Mapping[str, Any]
FORMS = ("before", "warm", "plan")


class Cites:
    """Numbers of the sources by id."""

    def __init__(self, sources: Sequence[Data]) -> None:
        self._numbers = {source["id"]: source["number"] for source in sources}

    def mark(self, figure: Data) -> str:
        """A link to where a figure is from; how it was measured in its title."""
        place = self._numbers.get(figure.get("run"))
        if place is None:
            return ""
        how = escape(of_figure(figure), quote=True)
        return f'<sup><a href="#source-{place}" title="{how}">{place}</a></sup>'

    def figure(self, figure: Data, unit: str = "") -> str:
        """The value, its unit, its source."""
        return f"{escape(amount(figure, unit))}{self.mark(figure)}"


def heading(name: str, title: str, words: str = "") -> str:
    """A section's heading and its sentence."""
    said = f'<p class="note">{escape(words)}</p>' if words else ""
    return f'<h2 id="{name}">{escape(title)}</h2>{said}'


def row(*cells: str) -> str:
    return f"<tr>{''.join(cells)}</tr>"


def head(text: Any) -> str:
    """The cell that names its row."""
    return f'<th scope="row">{escape(str(text))}</th>'


def cell(content: str, kind: str = "") -> str:
    """A cell of finished HTML. kind: its classes."""
    return f'<td class="{kind}">{content}</td>' if kind else f"<td>{content}</td>"


def words(text: Any, kind: str = "") -> str:
    """A cell of text."""
    return cell(escape(str(text)), kind)


def figure_cell(cites: Cites, figure: Data, strong: bool = False) -> str:
    """A figure at the right."""
    return cell(cites.figure(figure), "end nowrap strong" if strong else "end nowrap")


def group(title: str, columns: int) -> str:
    """A row that names those below it."""
    name = f'<th colspan="{columns}" scope="rowgroup">{escape(title)}</th>'
    return f'<tr class="group">{name}</tr>'


def table(columns: Sequence[str], rows: Iterable[str], label: str, kind: str = "wide") -> str:
    """A table that scrolls by itself where the page is narrow. columns: "Name>" is at the right."""
    cells = []
    for name in columns:
        place = ' class="end"' if name.endswith(">") else ""
        title = name.rstrip(">")
        # A column without a title has no heading to be read out.
        tag = f'<th scope="col"{place}>{escape(title)}</th>' if title else f"<td{place}></td>"
        cells.append(tag)
    region = f'tabindex="0" role="region" aria-label="{escape(label, quote=True)}"'
    return (
        f'<div class="scroll" {region}><table class="{kind}"><thead>{row(*cells)}</thead>'
        f"<tbody>{''.join(rows)}</tbody></table></div>"
    )


def status_words(status: str) -> str:
    """Shape and word."""
    mark = STATUS.get(status, "unknown")
    return f'<span class="nowrap"><span class="mark mark-{mark}"></span>{escape(status)}</span>'
