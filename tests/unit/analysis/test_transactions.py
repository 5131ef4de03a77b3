"""Parsing of transactions, and the features made of one and its history."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest

from app.analysis.transactions import (
    FEATURES,
    MAX_HISTORY,
    Transaction,
    features,
    parse_request,
    parse_transaction,
)
from engine.errors import InvalidField

GOOD: dict[str, Any] = {
    "from_address": "acct-1",
    "to_address": "0xAb_9.c:d",
    "amount": 12.5,
    "timestamp": 1_750_000_000,
}
NOW = Transaction("a", "b", 100.0, 1_750_000_000.0)


def feature(name: str, transaction: Transaction, *history: Transaction) -> float:
    return float(features(transaction, history)[FEATURES.index(name)])


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("from_address", ""),
        ("from_address", "a" * 129),
        ("from_address", "a b"),
        ("to_address", "a\n"),
        ("to_address", "é"),
        ("to_address", 7),
        ("to_address", None),
        ("amount", True),
        ("amount", "1"),
        ("amount", 0),
        ("amount", -1),
        ("amount", math.nan),
        ("amount", math.inf),
        ("amount", 1.1e18),
        pytest.param("amount", 10**5000, id="amount-huge"),
        ("timestamp", False),
        ("timestamp", -1),
        ("timestamp", math.nan),
        ("timestamp", 253_402_300_800),
        pytest.param("timestamp", 10**5000, id="timestamp-huge"),
        ("timestamp", "yesterday"),
        ("timestamp", "1969-12-31T23:59:59Z"),
        ("timestamp", None),
        ("metadata", [1]),
    ],
)
def test_a_value_outside_its_domain_is_refused_by_name(field: str, value: Any) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_transaction({**GOOD, field: value})
    assert caught.value.field == f"transaction.{field}"


@pytest.mark.parametrize("missing", GOOD)
def test_a_missing_field_is_named(missing: str) -> None:
    with pytest.raises(InvalidField, match="missing") as caught:
        parse_transaction({name: value for name, value in GOOD.items() if name != missing})
    assert caught.value.field == f"transaction.{missing}"


def test_the_limits_themselves_are_accepted() -> None:
    limits = {**GOOD, "from_address": "a" * 128, "amount": 1e18, "timestamp": 253_402_300_799}
    assert parse_transaction(limits) == Transaction(
        "a" * 128, GOOD["to_address"], 1e18, 253_402_300_799.0
    )
    assert parse_transaction({**GOOD, "timestamp": 0, "amount": 5e-324}).timestamp == 0


@pytest.mark.parametrize(
    "text",
    ["2025-06-15T15:06:40Z", "2025-06-15T15:06:40", "2025-06-15T17:06:40+02:00"],
)
def test_iso_times_are_utc_unless_they_name_a_zone(text: str) -> None:
    assert parse_transaction({**GOOD, "timestamp": text}).timestamp == 1_750_000_000.0


def test_metadata_is_ignored() -> None:
    assert parse_transaction({**GOOD, "metadata": {"any": [1]}}) == parse_transaction(GOOD)


def test_an_unknown_key_is_answered_with_the_nearest_known_one() -> None:
    with pytest.raises(InvalidField, match="nearest is amount") as caught:
        parse_transaction({**GOOD, "ammount": 1})
    assert caught.value.field == "transaction.ammount"
    with pytest.raises(InvalidField, match="nearest is historical_data") as caught:
        parse_request({"transaction": GOOD, "history_data": []})
    assert caught.value.field == "history_data"


def test_a_bad_history_entry_is_named_by_its_place() -> None:
    history = [GOOD, GOOD, GOOD, {**GOOD, "timestamp": "no"}]
    with pytest.raises(InvalidField) as caught:
        parse_request({"transaction": GOOD, "historical_data": history})
    assert caught.value.field == "historical_data[3].timestamp"


def test_history_is_bounded() -> None:
    _, history = parse_request({"transaction": GOOD, "historical_data": [GOOD] * MAX_HISTORY})
    assert len(history) == MAX_HISTORY
    with pytest.raises(InvalidField) as caught:
        parse_request({"transaction": GOOD, "historical_data": [GOOD] * (MAX_HISTORY + 1)})
    assert caught.value.field == "historical_data"


@pytest.mark.parametrize("body", [None, [], "x", {}, {"transaction": None}, {"transaction": [1]}])
def test_a_body_without_a_transaction_is_refused(body: Any) -> None:
    with pytest.raises(InvalidField):
        parse_request(body)


def test_only_strictly_earlier_entries_count() -> None:
    alone = features(NOW, ())
    later = replace(NOW, timestamp=NOW.timestamp + 1, amount=9e9)
    np.testing.assert_array_equal(features(NOW, (NOW, replace(NOW, amount=5.0), later)), alone)


def test_the_order_of_the_history_does_not_matter() -> None:
    history = [
        Transaction("a", "c", 3.0, NOW.timestamp - 5000),
        Transaction("a", "b", 7.0, NOW.timestamp - 60),
        Transaction("z", "b", 1.0, NOW.timestamp - 600),
    ]
    np.testing.assert_array_equal(features(NOW, history), features(NOW, history[::-1]))


def test_features_count_what_they_say() -> None:
    history = (
        Transaction("a", "c", 3.0, NOW.timestamp - 5000),
        Transaction("a", "b", 7.0, NOW.timestamp - 60),
        Transaction("z", "b", 1.0, NOW.timestamp - 600),
        Transaction("b", "z", 1.0, NOW.timestamp - 700),
    )
    assert feature("sender_count", NOW, *history) == 2
    assert feature("sender_last_hour_count", NOW, *history) == 1
    assert feature("sender_distinct_receivers", NOW, *history) == 2
    assert feature("sender_idle_log_s", NOW, *history) == pytest.approx(math.log1p(60))
    assert feature("receiver_received_count", NOW, *history) == 2
    assert feature("receiver_sent_count", NOW, *history) == 1
    assert feature("is_new_counterparty", NOW, *history) == 0
    assert feature("is_new_counterparty", NOW, history[0]) == 1
    assert feature("is_self_transfer", replace(NOW, to_address="a")) == 1


def test_the_hour_is_that_of_utc() -> None:
    at_six = replace(NOW, timestamp=86_400.0 * 100 + 6 * 3600)
    assert feature("hour_sin", at_six) == pytest.approx(1)
    assert feature("hour_cos", at_six) == pytest.approx(0)


@pytest.mark.parametrize("amount", [5e-324, 1.0, 1e18])
@pytest.mark.parametrize("timestamp", [0.0, 253_402_300_799.0])
def test_features_are_finite_at_the_limits(amount: float, timestamp: float) -> None:
    extreme = Transaction("a", "a", amount, timestamp)
    past = [Transaction("a", "b", 1e18 if i % 2 else 5e-324, 0.0) for i in range(MAX_HISTORY)]
    for history in ([], past[:1], past):
        row = features(extreme, history)
        assert row.shape == (len(FEATURES),)
        assert row.dtype == np.float64
        assert np.isfinite(row).all()
