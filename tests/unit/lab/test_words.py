"""A run in words."""

from __future__ import annotations

from typing import Any

from bench.lab.words import figure, listing, sentence, table

LATENCY = {"mean": 1.0, "p50": 0.5, "p90": 1.0, "p95": 2.0, "p99": 12.34, "p999": 20.0, "max": 30}


def a_run(**changes: Any) -> dict[str, Any]:
    run: dict[str, Any] = {
        "id": "20260301T120000Z-0a1b2c",
        "kind": "load",
        "name": "mine",
        "valid": True,
        "invalid_because": None,
        "requests": 1000,
        "errors": 2,
        "error_texts": {"status 503": 2},
        "requested_per_s": 100.0,
        "achieved_per_s": 99.5,
        "lag_percent": 0.5,
        "latency_ms": LATENCY,
        "service_ms": LATENCY,
        "server_ms": {"p50": 0.1, "p95": 0.2, "p99": None},
        "spec": {
            "url": "http://x",
            "model": "m",
            "loop": "open",
            "arrivals": "poisson",
            "rate_per_s": 100.0,
            "seconds": 10.0,
            "connections": 8,
        },
    }
    return run | changes


def test_a_table_has_the_rates_the_errors_and_each_point_of_view() -> None:
    said = table(a_run())
    assert "m at http://x, open loop, poisson 100/s for 10 s over 8 connections" in said
    assert "requested 100/s, achieved 99.5/s, lag 0.50 %" in said
    assert "status 503" in said
    (latency,) = [line for line in said.splitlines() if line.startswith("from the intended send")]
    assert latency.split()[-6:] == ["0.5", "1", "2", "12.3", "20", "30"]
    (server,) = [line for line in said.splitlines() if line.startswith("server")]
    assert server.split()[1:] == ["0.1", "-", "0.2", "-", "-", "-"]


def test_a_closed_loop_has_no_service_row_of_its_own() -> None:
    spec = a_run()["spec"] | {"loop": "closed", "rate_per_s": None}
    said = table(a_run(spec=spec, requested_per_s=None, lag_percent=None))
    assert "from the send" in said
    assert "\nservice" not in said
    assert "requested" not in said


def test_the_sentence_says_what_matters_most() -> None:
    assert sentence(a_run(), []) == "Valid: 99.5 requests/s with a p99 of 12.3 ms."
    assert sentence(a_run(), ["p99 is 12 ms; at most 5 ms"]).startswith("Valid, but it misses")
    invalid = a_run(valid=False, invalid_because="sending fell behind")
    assert sentence(invalid, []) == "Invalid: sending fell behind."
    ramp = a_run(kind="ramp", highest_within_slo_per_s=5000.0, rose_to_the_end=False)
    assert sentence(ramp, []) == "The highest rate within the SLO is 5,000 requests/s."
    assert sentence(ramp | {"highest_within_slo_per_s": None}, []) == (
        "No rate was within the SLO."
    )
    red = a_run(kind="soak", soak={"green": False, "because": ["memory grows"]})
    assert sentence(red, []) == "Red: memory grows."


def test_figures_have_three_significant_digits() -> None:
    assert [figure(value) for value in (None, 0.01234, 12.34, 1234.5)] == [
        "-",
        "0.0123",
        "12.3",
        "1,234",
    ]


def test_an_empty_list_says_so() -> None:
    assert listing([]) == "There are no runs."
