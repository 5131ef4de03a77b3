"""The child process that draws one page of the console: a Chromium, headless, for one picture.

    stdin    a Job as JSON
    stdout   the picture, PNG or PDF; nothing where it failed
    stderr   why it failed, in its last line

It opens the console's own address and lets the page ask nobody else. The page makes itself
the picture (`pyrometer.pictures.pose`): title, range and time of capture printed in, whatever
can be pressed left out, tables unfolded.
"""

from __future__ import annotations

import os
import sys
import time
from typing import Any, NamedTuple

import orjson

SCALE = 2
PAGE_RATIO = 1.414
"""Height of a PDF's page to its width, as A4's."""
VIEW_HEIGHT_PX = 900
STEP_MS = 15_000
DRAWN_MS = 8_000
"""A page that still waits for figures then is drawn as it is."""
SETTLE_MS = 1_500
LOOK_EVERY_MS = 50
FLAGS = (
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
)
READY = "#console:is([data-phase=live], [data-phase=paused])"
LOADING = "[data-source=loading], [id$=-page][data-state=loading]"
DRAWN = f"() => pyrometer.state.answer && !pyrometer.router.view().querySelector('{LOADING}')"


class Job(NamedTuple):
    """What to draw. origin: http://127.0.0.1:PORT; address: path and query; width: CSS pixels.

    content: a whole HTML document that is drawn instead; it may ask nobody. key: for the server,
    where it asks for one.
    """

    origin: str
    address: str
    format: str
    width: int
    theme: str
    browser: str
    content: str = ""
    key: str = ""


def launch(playwright: Any, browser: str) -> Any:
    """The browser, in its sandbox where the system lets it have one."""
    problem: Exception | None = None
    for sandboxed in (False,) if os.geteuid() == 0 else (True, False):
        try:
            return playwright.chromium.launch(
                executable_path=browser, args=list(FLAGS), chromium_sandbox=sandboxed
            )
        except Exception as error:
            problem = error
    raise RuntimeError(f"the browser did not start: {problem}")


def draw(job: Job) -> bytes:
    """The picture. Raises what Playwright raises."""
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = launch(playwright, job.browser)
        try:
            page = browser.new_page(
                viewport={"width": job.width, "height": VIEW_HEIGHT_PX},
                device_scale_factor=SCALE,
                color_scheme=job.theme,
                reduced_motion="reduce",
                ignore_https_errors=job.origin.startswith("https:"),  # loopback, our own
                extra_http_headers={"x-api-key": job.key} if job.key else {},
            )
            page.set_default_timeout(STEP_MS)
            if job.content:
                return _document(page, job)
            page.route(lambda url: not url.startswith(f"{job.origin}/"), lambda one: one.abort())
            return _picture(page, job)
        finally:
            browser.close()


def _picture(page: Any, job: Job) -> bytes:
    page.goto(job.origin + job.address)
    page.wait_for_selector(READY)
    _wait_drawn(page)
    page.wait_for_timeout(SETTLE_MS)  # charts are drawn one a turn, and tell nobody
    page.evaluate("() => void pyrometer.pictures.pose()")
    if job.format == "png":
        content: bytes = page.screenshot(full_page=True, animations="disabled")
        return content
    page.emulate_media(media="screen")
    size = {"width": f"{job.width}px", "height": f"{round(job.width * PAGE_RATIO)}px"}
    content = page.pdf(**size, print_background=True)
    return content


def _wait_drawn(page: Any) -> None:
    """Not by the driver's own waiting: it evaluates text, which the page's policy forbids."""
    end_s = time.monotonic() + DRAWN_MS / 1e3
    while not page.evaluate(DRAWN) and time.monotonic() < end_s:
        page.wait_for_timeout(LOOK_EVERY_MS)


def _document(page: Any, job: Job) -> bytes:
    """A document of its own: PDF as its print styles say, or PNG of the whole."""
    page.route("**/*", lambda one: one.abort())
    page.set_content(job.content, wait_until="load")
    if job.format == "png":
        content: bytes = page.screenshot(full_page=True, animations="disabled")
        return content
    content = page.pdf(prefer_css_page_size=True, print_background=True, tagged=True)
    return content


def main() -> int:
    """Draw the job on stdin; the exit status is 0 where that worked."""
    try:
        content = draw(Job(*orjson.loads(sys.stdin.buffer.read())))
    except Exception as error:
        print(str(error).strip().splitlines()[0], file=sys.stderr)
        return 1
    sys.stdout.buffer.write(content)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
