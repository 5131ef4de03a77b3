"""The console's tokens as Python values, for Plotly; the same names as assets/tokens.css.

    TOKENS[theme][name]   theme: "dark" | "light"; name: the custom property without "--"
    HEAT                  latency from cool to hot, the same in both themes

A test reads assets/tokens.css and holds both sides to the same values.
"""

from __future__ import annotations

from typing import Any, Literal

Theme = Literal["dark", "light"]
Figure = dict[str, Any]

FONT = 'system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", "Liberation Sans", sans-serif'
HEAT = ("#2a0f4e", "#5b1a6e", "#8f2a66", "#c23f52", "#e8653a", "#f79a2e", "#f9d65c")

TOKENS: dict[Theme, dict[str, str]] = {
    "dark": {
        "bg": "#151413",
        "surface": "#1b1a18",
        "raised": "#252321",
        "line": "#34312e",
        "ink": "#edeae6",
        "ink-2": "#b3ada6",
        "ink-3": "#8a847d",
        "accent": "#ff8a4c",
        "accent-ink": "#ff9a63",
        "ok": "#3fbfad",
        "warning": "#e9b44c",
        "critical": "#f4646a",
        "unknown": "#928c85",
        "latency-1": "#4472b0",
        "latency-2": "#79aaf2",
        "latency-3": "#c3dafd",
        "latency-band": "rgba(121, 170, 242, 0.12)",
        "series-1": "#79aaf2",
        "series-2": "#b79af2",
        "series-3": "#6cc3dc",
        "series-4": "#e294c2",
        "series-5": "#b5bb72",
        "series-6": "#b3ada6",
        "series-1-fill": "rgba(121, 170, 242, 0.12)",
        "critical-fill": "rgba(244, 100, 106, 0.25)",
    },
    "light": {
        "bg": "#f6f4f1",
        "surface": "#fffefc",
        "raised": "#efece7",
        "line": "#dbd6cf",
        "ink": "#1f1c19",
        "ink-2": "#57514a",
        "ink-3": "#7d766e",
        "accent": "#f26b21",
        "accent-ink": "#a8420a",
        "ok": "#0a766c",
        "warning": "#9a6100",
        "critical": "#c62a35",
        "unknown": "#6f6962",
        "latency-1": "#6495d8",
        "latency-2": "#2f6bc4",
        "latency-3": "#123a7c",
        "latency-band": "rgba(59, 120, 208, 0.12)",
        "series-1": "#2a67c2",
        "series-2": "#7a4cc9",
        "series-3": "#0e7a98",
        "series-4": "#ad3f88",
        "series-5": "#66701a",
        "series-6": "#57514a",
        "series-1-fill": "rgba(42, 103, 194, 0.10)",
        "critical-fill": "rgba(198, 42, 53, 0.20)",
    },
}


def heat_scale() -> list[list[Any]]:
    """HEAT as a Plotly colour scale: [[0.0, "#..."], ..., [1.0, "#..."]]."""
    last = len(HEAT) - 1
    return [[round(step / last, 4), colour] for step, colour in enumerate(HEAT)]


def template(theme: Theme) -> Figure:
    """The Plotly layout template of a theme, as plain data."""
    token = TOKENS[theme]
    axis = {
        "gridcolor": token["line"],
        "linecolor": token["line"],
        "zerolinecolor": token["line"],
        "tickcolor": token["line"],
        "tickfont": {"color": token["ink-2"], "size": 12},
    }
    return {
        "layout": {
            "font": {"family": FONT, "size": 12, "color": token["ink-2"]},
            "paper_bgcolor": "rgba(0,0,0,0)",
            "plot_bgcolor": "rgba(0,0,0,0)",
            "colorway": [token[f"series-{number}"] for number in range(1, 7)],
            "xaxis": axis,
            "yaxis": axis,
            "hoverlabel": {
                "bgcolor": token["raised"],
                "bordercolor": token["line"],
                "font": {"family": FONT, "size": 12, "color": token["ink"]},
            },
        }
    }


def browser_themes() -> dict[str, Any]:
    """What the browser needs to re-theme mounted charts: template and tokens per theme."""
    themes: tuple[Theme, ...] = ("dark", "light")
    return {theme: {"template": template(theme), "tokens": TOKENS[theme]} for theme in themes}
