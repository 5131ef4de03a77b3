"""The style of a report's file: both themes from the console's tokens, and paper."""

from __future__ import annotations

from components.report_charts import flame_properties
from components.theme import FONT, TOKENS, Theme

USED = (
    *("bg", "surface", "raised", "line", "ink", "ink-2", "ink-3", "accent", "accent-ink"),
    *("ok", "warning", "critical", "unknown", "series-1", "series-2"),
)
RULES = """
* { box-sizing: border-box; }
html { background: var(--bg); }
body { margin: 0 auto; max-width: 1080px; padding: 40px 32px 64px; background: var(--surface);
  color: var(--ink); font: 14px/1.5 FONT; -webkit-text-size-adjust: 100%; overflow-wrap: anywhere; }
h1 { margin: 0 0 4px; font-size: 15px; font-weight: 600; color: var(--ink-2); }
h2 { margin: 44px 0 4px; font-size: 20px; font-weight: 600; line-height: 1.3; }
h3 { margin: 24px 0 4px; font-size: 15px; font-weight: 600; }
p { margin: 4px 0 12px; max-width: 78ch; }
a { color: var(--accent-ink); text-underline-offset: 2px; }
a:focus-visible { outline: 2px solid var(--accent); outline-offset: 1px; }
code { font: 12.5px/1.4 ui-monospace, Menlo, Consolas, monospace; }
.lead { margin: 0 0 16px; max-width: 34em; font-size: 28px; font-weight: 600; line-height: 1.25; }
.meta, .note { color: var(--ink-2); }
.meta { margin: 0; max-width: none; padding-bottom: 20px; border-bottom: 1px solid var(--line); }
.note { font-size: 13px; }
sup { line-height: 0; font-size: 10px; }
sup a { padding: 0 1px; text-decoration: none; }
.scroll { overflow-x: auto; }
.scroll:focus-visible { outline: 2px solid var(--accent); }
table { width: 100%; border-collapse: collapse; font-variant-numeric: tabular-nums; }
caption { text-align: left; color: var(--ink-2); }
th, td { padding: 5px 14px 5px 0; border-bottom: 1px solid var(--line); text-align: left;
  vertical-align: top; }
th { color: var(--ink-2); font-size: 12px; font-weight: 400; }
tbody th { color: var(--ink); font-size: 14px; }
td.end, th.end { text-align: right; }
td:last-child, th:last-child { padding-right: 0; }
tr.group th { padding-top: 18px; color: var(--ink-2); font-size: 12px; }
.small td, .small th { padding: 2px 12px 2px 0; font-size: 12px; }
table.few { width: auto; min-width: 320px; }
.drawn { width: 22%; }
.small code { font-size: 11.5px; white-space: nowrap; }
.why { color: var(--ink-2); font-size: 12px; }
.nowrap { white-space: nowrap; }
.strong { font-weight: 600; }
.mark { display: inline-block; width: 9px; height: 9px; margin-right: 7px; }
.mark-ok { border-radius: 50%; background: var(--ok); }
.mark-critical { background: var(--critical); }
.mark-unknown { border: 1.5px solid var(--unknown); border-radius: 50%; }
.key { display: flex; flex-wrap: wrap; gap: 4px 20px; margin: 4px 0 8px; padding: 0;
  list-style: none; color: var(--ink-2); font-size: 12px; }
.key i { display: inline-block; width: 14px; height: 9px; margin-right: 6px; }
svg.bars { display: block; width: 100%; max-width: 880px; height: auto; margin: 4px 0 12px;
  font-family: inherit; font-variant-numeric: tabular-nums; }
svg.flame { display: block; width: 100%; height: auto; margin: 8px 0;
  border: 1px solid var(--line); }
.share { display: block; height: 8px; min-width: 2px; margin-top: 6px; background: var(--accent); }
ol.advice { margin: 8px 0; padding: 0; list-style: none; counter-reset: place; }
ol.advice > li { position: relative; padding: 14px 0 14px 36px; border-top: 1px solid var(--line);
  counter-increment: place; }
ol.advice > li::before { content: counter(place); position: absolute; left: 0; top: 13px;
  color: var(--accent-ink); font-size: 20px; font-weight: 600; line-height: 1.2; }
ol.advice h3 { margin: 0; }
ol.advice p { margin: 2px 0; }
ol.advice ul { margin: 4px 0; padding-left: 18px; }
dl { display: grid; grid-template-columns: 120px minmax(0, 1fr); gap: 1px 12px; margin: 4px 0 16px;
  font-size: 12.5px; }
dt { color: var(--ink-2); }
dd { margin: 0; }
figure { margin: 24px 0; }
figure img { display: block; max-width: 100%; height: auto; border: 1px solid var(--line); }
figcaption { margin-top: 6px; color: var(--ink-2); font-size: 13px; }
figcaption b { color: var(--ink); }
:target { background: var(--raised); }
@media (max-width: 640px) {
  body { padding: 20px 14px 40px; }
  .lead { font-size: 22px; }
  th, td { padding-right: 10px; }
  table.wide { min-width: 620px; }
  table.targets, .targets tbody { display: block; }
  .targets thead { display: none; }
  .targets tbody tr { display: grid; grid-template-columns: minmax(0, 1fr) auto; gap: 0 12px;
    padding: 6px 0; border-bottom: 1px solid var(--line); }
  .targets tbody tr > * { padding: 0; border: 0; }
  .targets tbody tr > :nth-child(2) { grid-row: 2; color: var(--ink-2); font-size: 12px; }
  .targets tbody tr > :nth-child(3) { grid-row: 1; grid-column: 2; }
  .targets tbody tr > :nth-child(4) { grid-row: 2; grid-column: 2; text-align: right; }
  .targets tbody tr > :nth-child(5):empty { display: none; }
  .targets tbody tr > :nth-child(5)::before { content: "in the window "; color: var(--ink-2); }
  svg.bars { min-width: 560px; }
  dl { grid-template-columns: minmax(0, 1fr); }
  dd { margin-bottom: 6px; }
}
@page { size: A4; margin: 16mm 15mm 18mm; }
@page { @bottom-right { content: counter(page) " / " counter(pages); font: 9px sans-serif;
  color: #57514a; } }
@media print {
  html, body { background: none; }
  body { max-width: none; padding: 0; font-size: 10.5pt; }
  .lead { font-size: 19pt; }
  h2 { margin-top: 26pt; break-after: avoid; }
  h3, .key { break-after: avoid; }
  tr, ol.advice > li, figure, svg, dl, .key { break-inside: avoid; }
  .key { display: block; }
  .key li { display: inline-block; margin-right: 20px; }
  thead { display: table-header-group; }
  .new-page { margin-top: 26pt; }
  .scroll { overflow: visible; }
  th, td { padding-top: 3px; padding-bottom: 3px; }
  tbody th { font-size: 10pt; }
  td { font-size: 10pt; }
  .small td, .small th, .small code { font-size: 7pt; }
  a { color: inherit; text-decoration: none; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
}
"""


def _values(theme: Theme) -> str:
    values = {f"--{name}": TOKENS[theme][name] for name in USED} | flame_properties(theme)
    return " ".join(f"{name}: {value};" for name, value in values.items())


def style() -> str:
    """Light or dark as the reader's system, or as data-theme says; light on paper."""
    light, dark = _values("light"), _values("dark")
    themed = (
        f":root {{ color-scheme: light; {light} }}\n"
        f"@media screen and (prefers-color-scheme: dark) {{\n"
        f":root:not([data-theme=light]) {{ color-scheme: dark; {dark} }}\n}}\n"
        f"@media screen {{ :root[data-theme=dark] {{ color-scheme: dark; {dark} }} }}\n"
    )
    return themed + RULES.replace("FONT", FONT)
