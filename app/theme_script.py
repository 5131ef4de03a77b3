"""The script that runs before the first paint, so that no page flashes in the wrong theme."""

from __future__ import annotations

from base64 import b64encode
from hashlib import sha256

THEME_SCRIPT = """
(function () {
  var theme = new URLSearchParams(location.search).get("theme");
  function chosen() { return theme === "dark" || theme === "light"; }
  try {
    if (!chosen()) theme = localStorage.getItem("pyrometer-theme");
  } catch (refused) {
    theme = null;
  }
  if (!chosen()) {
    theme = matchMedia("(prefers-color-scheme: light)").matches ? "light" : "dark";
  }
  document.documentElement.setAttribute("data-theme", theme);
  document.documentElement.setAttribute("data-bs-theme", theme);
})();
"""


def script_hash(script: str) -> str:
    """The source expression that lets a Content-Security-Policy pass an inline script."""
    return f"'sha256-{b64encode(sha256(script.encode()).digest()).decode()}'"


def theme_script_hash() -> str:
    """That of THEME_SCRIPT."""
    return script_hash(THEME_SCRIPT)
