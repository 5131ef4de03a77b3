"""Answers of the console that never change, kept packed: a bounded number of bytes."""

from __future__ import annotations

from app.exchange import Request, Response

MOST_BYTES = 16 * 1024 * 1024
MOST_ANSWERS = 200
LONGEST_TARGET = 512
UNCHANGING = ("immutable", "max-age=31536000")
"""What Cache-Control has of files whose name or query changes with their content."""
SUITES = b"/_dash-component-suites/"
"""Below it lie files of installed packages: they stay as they are while the process lives."""
IF_NONE_MATCH = b"if-none-match"


class KeptAnswers:
    """Answers by target, for GET with gzip alone; the rest goes to the console each time."""

    def __init__(self) -> None:
        self._answers: dict[bytes, Response] = {}
        self.used_bytes = 0

    def find(self, request: Request) -> Response | None:
        """A kept answer, to be sent as it is."""
        kept = self._answers.get(request.target) if request.method == b"GET" else None
        if kept is None:
            return None
        tags = {value for name, value in kept.headers if name.lower() == "etag"}
        if tags & {tag.strip() for tag in request.header(IF_NONE_MATCH).split(",")}:
            return Response(304, b"", list(kept.headers))
        return Response(kept.status, kept.body, list(kept.headers))

    def keep(self, request: Request, response: Response) -> None:
        """Keep a packed answer that says of itself that it never changes, while there is room."""
        fields = {name.lower(): value for name, value in response.headers}
        said = fields.get("cache-control", "").replace(" ", "")
        fixed = any(word in said for word in UNCHANGING) or request.target.startswith(SUITES)
        fits = self.used_bytes + len(response.body) <= MOST_BYTES
        short = len(request.target) <= LONGEST_TARGET and request.target not in self._answers
        if request.method == b"GET" and response.status == 200 and fixed and fits and short:
            if len(self._answers) >= MOST_ANSWERS:
                oldest = self._answers.pop(next(iter(self._answers)))
                self.used_bytes -= len(oldest.body)
            self.used_bytes += len(response.body)
            self._answers[request.target] = response
