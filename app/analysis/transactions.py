"""A chain transaction as callers send it, and the features a model judges it by.

Training (examples/) and serving use the same `features`, so they cannot drift apart.
"""

from __future__ import annotations

import difflib
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

import numpy as np

from engine.errors import InvalidField

MAX_HISTORY = 1000
MAX_AMOUNT = 1e18
MAX_TIMESTAMP = 253_402_300_799.0
"""31 December 9999, the last second ISO 8601's four-digit years can name."""

HOUR_S, DAY_S = 3600.0, 86400.0
NEVER_S = 365 * DAY_S
_ADDRESS = re.compile(r"[A-Za-z0-9_.:\-]{1,128}")
_FIELDS = ("from_address", "to_address", "amount", "timestamp", "metadata")

FEATURES = (
    "log_amount",
    "hour_sin",
    "hour_cos",
    "is_self_transfer",
    "sender_count",
    "sender_mean_log_amount",
    "amount_deviation",
    "sender_idle_log_s",
    "sender_last_hour_count",
    "sender_distinct_receivers",
    "is_new_counterparty",
    "receiver_received_count",
    "receiver_sent_count",
)


@dataclass(frozen=True, slots=True)
class Transaction:
    """One transfer. amount > 0 in the chain's unit; timestamp in Unix seconds."""

    from_address: str
    to_address: str
    amount: float
    timestamp: float


def parse_request(body: Any) -> tuple[Transaction, tuple[Transaction, ...]]:
    """The transaction to judge and its history. Raises InvalidField naming the field."""
    if not isinstance(body, Mapping):
        raise InvalidField("body", "must be an object with a transaction")
    _known(body, ("transaction", "historical_data"), "")
    if "transaction" not in body:
        raise InvalidField("transaction", "is missing")
    history = body.get("historical_data")
    if history is None:
        history = []
    if not isinstance(history, list) or len(history) > MAX_HISTORY:
        raise InvalidField("historical_data", f"must be a list of at most {MAX_HISTORY}")
    return parse_transaction(body["transaction"]), tuple(
        parse_transaction(item, f"historical_data[{place}]") for place, item in enumerate(history)
    )


def parse_transaction(value: Any, field: str = "transaction") -> Transaction:
    """One transaction. Raises InvalidField naming the field and what it holds."""
    if not isinstance(value, Mapping):
        raise InvalidField(field, "must be an object")
    _known(value, _FIELDS, f"{field}.")
    metadata = value.get("metadata")
    if metadata is not None and not isinstance(metadata, Mapping):
        raise InvalidField(f"{field}.metadata", "must be an object")
    return Transaction(
        from_address=_address(value.get("from_address"), f"{field}.from_address"),
        to_address=_address(value.get("to_address"), f"{field}.to_address"),
        amount=_amount(value.get("amount"), f"{field}.amount"),
        timestamp=_timestamp(value.get("timestamp"), f"{field}.timestamp"),
    )


def _known(value: Mapping[str, Any], names: Sequence[str], prefix: str) -> None:
    for key in value:
        if key not in names:
            shown = str(key)[:80]
            near = difflib.get_close_matches(shown, names, n=1, cutoff=0.0)[0]
            raise InvalidField(f"{prefix}{shown}", f"is unknown; the nearest is {near}")


def _address(value: Any, field: str) -> str:
    if not isinstance(value, str) or not _ADDRESS.fullmatch(value):
        raise InvalidField(
            field, f"is {_shown(value)}; it must be 1 to 128 characters of A-Z a-z 0-9 _ . : -"
        )
    return value


def _amount(value: Any, field: str) -> float:
    if type(value) not in (int, float) or not 0 < value <= MAX_AMOUNT:
        raise InvalidField(field, f"is {_shown(value)}; it must be a number > 0, <= {MAX_AMOUNT:g}")
    return float(value)


def _timestamp(value: Any, field: str) -> float:
    seconds: float | None = None
    if type(value) in (int, float):
        # Compared before it is converted: an int may be too large for a float.
        seconds = float(value) if 0 <= value <= MAX_TIMESTAMP else None
    elif isinstance(value, str) and len(value) <= 64:
        try:
            moment = datetime.fromisoformat(value)
        except ValueError:
            moment = None
        if moment is not None:
            # A time without a zone is UTC.
            aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
            seconds = (aware - datetime(1970, 1, 1, tzinfo=UTC)).total_seconds()
    if seconds is None or not 0 <= seconds <= MAX_TIMESTAMP:
        raise InvalidField(
            field, f"is {_shown(value)}; it must be Unix seconds or ISO 8601, years 1970 to 9999"
        )
    return seconds


def _shown(value: Any) -> str:
    if value is None:
        return "missing"
    if type(value) is int and value.bit_length() > 256:
        return "a number of more than 256 bits"  # Python refuses to print very long ones.
    return repr(value)[:80]


def before(transaction: Transaction, history: Iterable[Transaction]) -> list[Transaction]:
    """The part of a history that was over when the transaction came, oldest first."""
    past = [other for other in history if other.timestamp < transaction.timestamp]
    return sorted(past, key=lambda other: other.timestamp)


def features(transaction: Transaction, history: Iterable[Transaction]) -> np.ndarray:
    """float64 (len(FEATURES),), finite; only entries strictly earlier count as history."""
    past = before(transaction, history)
    sent = [other for other in past if other.from_address == transaction.from_address]
    log_amounts = [math.log1p(other.amount) for other in sent]
    log_amount = math.log1p(transaction.amount)
    mean = sum(log_amounts) / len(log_amounts) if log_amounts else log_amount
    spread = math.sqrt(sum((x - mean) ** 2 for x in log_amounts) / len(sent)) if sent else 0.0
    idle_s = transaction.timestamp - sent[-1].timestamp if sent else NEVER_S
    receivers = {other.to_address for other in sent}
    hour = 2 * math.pi * (transaction.timestamp % DAY_S) / DAY_S
    recent = sum(other.timestamp > transaction.timestamp - HOUR_S for other in sent)
    to = transaction.to_address
    return np.array(
        [
            log_amount,
            math.sin(hour),
            math.cos(hour),
            transaction.from_address == to,
            len(sent),
            mean,
            (log_amount - mean) / (spread + 0.25),
            math.log1p(idle_s),
            recent,
            len(receivers),
            to not in receivers,
            sum(other.to_address == to for other in past),
            sum(other.from_address == to for other in past),
        ],
        dtype=np.float64,
    )
