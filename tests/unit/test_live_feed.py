"""What a viewer is sent."""

from __future__ import annotations

import zlib
from typing import Any

import orjson

from engine.telemetry.live import LiveFeed


def told(feed: LiveFeed, since: int) -> Any:
    return orjson.loads(feed.answer(since))


def snapshot(seq: int, **parts: object) -> dict[str, object]:
    return {"seq": seq, "time": 100.0 + seq, "instance": "i", **parts}


def test_a_part_is_sent_again_only_when_it_changed() -> None:
    feed = LiveFeed()
    feed.publish(1, snapshot(1, models=["a"], alerts=[]), [b"[1]"])
    feed.publish(2, snapshot(2, models=["a", "b"], alerts=[]), [b"[1]", b"[2]"])
    assert told(feed, 1) == snapshot(2, models=["a", "b"]) | {"points": [[2]]}
    feed.publish(3, snapshot(3, models=["a", "b"], alerts=["x"]), [b"[1]", b"[2]", b"[3]"])
    assert told(feed, 2) == snapshot(3, alerts=["x"]) | {"points": [[3]]}
    assert told(feed, 1) == snapshot(3, models=["a", "b"], alerts=["x"]) | {"points": [[2], [3]]}


def test_rows_of_which_a_few_fields_changed_come_as_a_patch_to_who_has_the_second_before() -> None:
    def rows(*counts: int) -> list[dict[str, object]]:
        return [{"name": f"m{n}", "plan": "x" * 50, "n": c} for n, c in enumerate(counts)]

    feed = LiveFeed()
    feed.publish(1, snapshot(1, models=rows(1, 1)), [b"[1]"])
    feed.publish(2, snapshot(2, models=rows(1, 2)), [b"[1]", b"[2]"])
    sent = told(feed, 1)
    assert sent["patches"] == {"models": {"1": {"n": 2}}}
    assert "models" not in sent
    assert told(feed, 0)["models"] == rows(1, 2)
    feed.publish(3, snapshot(3, models=rows(1, 2, 3)), [b"[1]", b"[2]", b"[3]"])
    assert told(feed, 2)["models"] == rows(1, 2, 3), "another row: not a patch"
    assert told(feed, 1)["models"] == rows(1, 2, 3)


def test_who_has_nothing_or_a_number_of_another_server_is_sent_everything() -> None:
    feed = LiveFeed()
    feed.publish(1, snapshot(1, models=["a"]), [b"[1]"])
    feed.publish(2, snapshot(2, models=["a"]), [b"[1]", b"[2]"])
    for since in (0, 99, -1):
        assert told(feed, since) == snapshot(2, models=["a"]) | {"points": [[1], [2]]}


def test_who_has_all_is_sent_the_time() -> None:
    feed = LiveFeed()
    feed.publish(1, snapshot(1, models=["a"]), [b"[1]"])
    assert told(feed, 1) == snapshot(1) | {"points": []}


def test_all_viewers_share_one_composition_and_one_compression() -> None:
    feed = LiveFeed()
    feed.publish(1, snapshot(1, models=["a"] * 100), [b"[1]"])
    packed = feed.answer(0, packs=True)
    assert feed.answer(0, packs=True) is packed
    assert zlib.decompress(packed, 31) == feed.answer(0)


def test_answers_kept_are_bounded() -> None:
    feed = LiveFeed()
    for seq in range(1, 101):
        feed.publish(seq, snapshot(seq), [b"[1]"] * seq)
    for since in range(1, 100):
        feed.answer(since)
    assert len(feed._published.answers) <= 32


def test_while_somebody_looks_the_next_answer_is_made_before_it_is_asked_for() -> None:
    feed = LiveFeed()
    feed.publish(1, snapshot(1, models=["a"]), [b"[1]"])
    feed.publish(2, snapshot(2, models=["b"]), [b"[1]", b"[2]"])
    assert feed._published.answers == {}, "nobody looks"
    feed.answer(1, packs=True)
    feed.publish(3, snapshot(3, models=["c"]), [b"[1]", b"[2]", b"[3]"])
    (made,) = feed._published.answers.items()
    assert made[0] == (2, True)
    assert orjson.loads(zlib.decompress(made[1], 31)) == told(feed, 2)
    feed.publish(4, snapshot(4, models=["d"]), [b"[3]", b"[4]"])
    feed.publish(5, snapshot(5, models=["e"]), [b"[4]", b"[5]"])
    assert feed._published.answers == {}, "nobody looked at the second before"
