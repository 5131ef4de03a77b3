"""The profiler's routes on a real server, through both doors."""

from __future__ import annotations

import gzip
import json
from typing import Any
from urllib.parse import urlencode

import pytest

from tests.contract.http import call, tensor
from tests.waiting import until

PATH = "/performance/flame-graph"


def ask(port: int, **query: Any) -> Any:
    status, _, body = call(port, "GET", f"{PATH}?{urlencode(query)}")
    assert status == 200, body
    return body


def infer(port: int, times: int = 50) -> None:
    for number in range(times):
        rows = {"inputs": [tensor([[float(number)] * 30])]}
        assert call(port, "POST", "/v2/models/breast_cancer/infer", rows)[0] == 200


def test_the_shares_of_code_add_up(port: int) -> None:
    infer(port)
    answer = ask(port, view="code", window="1m", measure="wall", kind="")
    nodes = answer["nodes"]
    assert sum(nodes["self"]) == answer["sampled"]["wall"] > 0
    roots = [
        total for total, parent in zip(nodes["total"], nodes["parent"], strict=True) if parent < 0
    ]
    assert sum(roots) == answer["sampled"]["wall"]
    assert all(parent < place for place, parent in enumerate(nodes["parent"]))
    assert answer["rate"]["achieved_hz"] > 0
    assert "pyrometer-loop" in answer["options"]["threads"]
    assert answer["frames"][nodes["frame"][0]]["label"]


def test_idle_threads_are_left_out_unless_asked_for(port: int) -> None:
    busy = ask(port, view="code", measure="samples")["sampled"]["samples"]
    idle = ask(port, view="code", measure="samples", kind="idle")["sampled"]["samples"]
    assert idle > 5 * max(1, busy)


def test_inverted_collapsed_and_focused_trees_keep_the_sum(port: int) -> None:
    asked = {"view": "code", "measure": "samples", "kind": "idle"}
    whole = ask(port, **asked)
    for flag in ("invert", "collapse"):
        turned = ask(port, **asked, **{flag: 1})
        assert sum(turned["nodes"]["self"]) == turned["sampled"]["samples"]
    label = whole["frames"][whole["top"][0]["frame"]]["label"]
    focus = ask(port, **asked, focus=label)["focus"]
    assert focus["label"] == label
    assert sum(focus["callers"]["self"]) == sum(focus["callees"]["self"]) > 0


def test_phases_are_told_by_model_and_route(port: int) -> None:
    infer(port, 5)
    until(lambda: "breast_cancer" in ask(port, view="phases", window="5m")["ids"], 10, "a second")
    answer = ask(port, view="phases", window="5m", model="breast_cancer")
    assert "breast_cancer//v2/models/{model}/infer/inference" in answer["ids"]
    assert answer["labels"][0] == "requests"
    children = [
        v for v, p in zip(answer["values"], answer["parents"], strict=True) if p == "requests"
    ]
    assert answer["values"][0] == pytest.approx(sum(children))
    assert ask(port, view="phases", window="5m", model="nobody")["values"] == [0]
    assert ask(port, view="phases")["window_s"] == 60


def test_a_comparison_has_both_sides(port: int) -> None:
    answer = ask(
        port, view="code", window="10s", against="before", against_window="1h", kind="idle"
    )
    assert answer["against"]["label"] == "the 1h before"
    assert len(answer["nodes"]["against_total"]) == len(answer["nodes"]["total"])
    assert sum(answer["nodes"]["against_self"]) == answer["against"]["sampled"]["cpu"]


def test_a_capture_runs_once_at_a_time_and_is_kept(port: int) -> None:
    status, _, begun = call(port, "POST", "/performance/profile", {"seconds": 1, "hz": 199})
    assert status == 202
    assert call(port, "POST", "/performance/profile", {"seconds": 1})[0] == 409

    def ended() -> Any:
        listed = call(port, "GET", "/performance/profile")[2]["captures"]
        return next(one for one in listed if one["id"] == begun["id"] and one["progress"] == 1)

    def is_over() -> bool:
        listed = call(port, "GET", "/performance/profile")[2]["captures"]
        return any(one["id"] == begun["id"] and one["progress"] == 1 for one in listed)

    until(is_over, 10, "the end of the capture")
    assert ended()["samples"] > 199
    answer = ask(port, view="code", capture=begun["id"], measure="samples", kind="idle")
    assert answer["rate"]["asked_hz"] == 199
    assert answer["sampled"]["samples"] > 199
    folded = ask(
        port, view="code", capture=begun["id"], format="folded", measure="wall", kind="idle"
    )
    assert b"Thread._bootstrap" in folded
    status, _, adopted = call(port, "POST", "/performance/profile/import?name=old", folded)
    assert (status, adopted["kind"], adopted["label"]) == (200, "import", "old")
    imported = ask(port, view="code", capture=adopted["id"], against_capture=begun["id"])
    assert imported["sampled"]["cpu"] > 0
    assert imported["unit"] == "samples", "folded stacks do not say what they count"
    assert imported["against"]["label"] == f"capture {begun['id']}"
    earlier = ask(port, view="code", capture=begun["id"], against="before", kind="idle")
    assert earlier["against"]["window"]["to"] <= earlier["window"]["from"] + 0.1
    kept = ask(port, view="code", capture=adopted["id"], format="folded")
    assert len(kept.splitlines()) == len(folded.splitlines()), "counts are exported as counts"
    for one in (begun["id"], adopted["id"]):
        assert call(port, "POST", "/performance/profile/delete", {"id": one})[0] == 200
    assert call(port, "POST", "/performance/profile/delete", {"id": begun["id"]})[0] == 404


def test_every_format_is_a_file_to_keep(port: int) -> None:
    asked = urlencode({"view": "code", "measure": "samples", "kind": "idle"})
    kinds = {"folded": "text/plain", "speedscope": "application/json", "svg": "image/svg+xml"}
    for shape in ("folded", "speedscope", "pprof", "svg"):
        status, headers, body = call(port, "GET", f"{PATH}?{asked}&format={shape}")
        assert status == 200
        assert headers["content-disposition"].startswith('attachment; filename="pyrometer-')
        assert headers["content-type"].startswith(kinds.get(shape, "application/octet-stream"))
        if shape == "pprof":
            assert b"_bootstrap" in gzip.decompress(body)
        else:
            assert "_bootstrap" in (body.decode() if isinstance(body, bytes) else json.dumps(body))


@pytest.mark.parametrize(
    ("query", "status", "word"),
    [
        ("view=nothing", 400, "view"),
        ("view=code&measure=heat", 400, "measure"),
        ("view=code&format=gif", 400, "format"),
        ("view=phases&format=folded", 400, "format"),
        ("view=phases&window=3h&route=/v2", 400, "route"),
        ("view=code&format=folded&invert=1", 400, "invert"),
        ("view=code&format=pprof&against=before", 400, "against"),
        ("view=code&window=5y", 400, "window"),
        ("view=code&from=yesterday&to=2", 400, "from"),
        ("view=code&from=200&to=100", 400, "window"),
        ("view=code&from=nan&to=1", 400, "from"),
        ("view=code&kind=lazy", 400, "kind"),
        ("view=code&collapse=yes", 400, "collapse"),
        ("view=code&capture=none", 404, "capture"),
        ("view=code&request=none", 404, "request"),
        ("view=code&focus=nothing", 400, "focus"),
        ("view=code&against=after", 400, "against"),
        (f"view=code&model={'x' * 501}", 400, "model"),
    ],
)
def test_a_bad_question_is_refused_by_name(port: int, query: str, status: int, word: str) -> None:
    answered, _, body = call(port, "GET", f"{PATH}?{query}")
    assert answered == status, body
    assert word in body["error"]


@pytest.mark.parametrize(
    ("path", "body", "word"),
    [
        ("", {"seconds": 0}, "seconds"),
        ("", {"seconds": "ten"}, "seconds"),
        ("", {"hz": 5000}, "hz"),
        ("", {"rate": 5}, "rate"),
        ("/import", b"", "profile"),
        ("/import", b"\xff\xfe\x00", ""),
        ("/import", b'{"$schema": "x"}', ""),
        ("/delete", {}, "id"),
    ],
)
def test_bad_bodies_are_refused_by_name(port: int, path: str, body: Any, word: str) -> None:
    status, _, answer = call(port, "POST", f"/performance/profile{path}", body)
    assert status == 400, answer
    assert word in answer["error"]
