"""From a contract's text and the classifier's probabilities to findings with evidence."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from engine.errors import InvalidField

TOKEN_PATTERN = r"[A-Za-z_][A-Za-z0-9_.]*"
"""An identifier with its members, `tx.origin` or `msg.sender.call`, as one token. ASCII
classes only, since Python's \\w is Unicode and the compiled tokeniser's is not; for the
same reason nothing is lower-cased."""

MAX_RUN = 3
"""Runs of up to three tokens are terms: fewer miss the order of statements that makes a
reentrant call, more add nothing on the generated contracts."""

MAX_CHARACTERS = 200_000
FOUND_FROM = 0.5
MAX_EVIDENCE = 5
METHOD = "exact contribution of each token to the linear score"

FLAWS: Mapping[str, tuple[str, str, str]] = {
    "reentrancy": (
        "high",
        "Ether is sent before the balance is written; the receiver can call back in.",
        "Write state before the call, or use a reentrancy guard.",
    ),
    "tx_origin": (
        "high",
        "Authorisation by tx.origin lets any contract the owner calls act as the owner.",
        "Compare msg.sender instead.",
    ),
    "unchecked_call": (
        "medium",
        "The result of a low-level call is dropped; a failure goes unnoticed.",
        "Require the returned success flag.",
    ),
    "unchecked_arithmetic": (
        "medium",
        "Arithmetic in an unchecked block can wrap around.",
        "Drop the unchecked block, or prove the bounds.",
    ),
    "timestamp_dependence": (
        "low",
        "A block's producer can shift block.timestamp by seconds.",
        "Do not decide by it where seconds matter.",
    ),
    "unprotected_selfdestruct": (
        "high",
        "Anybody can destroy the contract.",
        "Restrict the function to the owner, or remove it.",
    ),
}
"""Flaw -> severity, description, recommendation; the classifier's outputs in this order."""


def parse_contract(body: Any) -> str:
    """The contract's text. Raises InvalidField naming the field."""
    if not isinstance(body, Mapping):
        raise InvalidField("body", "must be an object with contract_code")
    for key in body:
        if key != "contract_code":
            raise InvalidField(str(key)[:80], "is unknown; the only field is contract_code")
    code = body.get("contract_code")
    if not isinstance(code, str) or not code.strip():
        raise InvalidField("contract_code", "must be a text that is not blank")
    if len(code) > MAX_CHARACTERS:
        raise InvalidField(
            "contract_code", f"has {len(code)} characters; the limit is {MAX_CHARACTERS}"
        )
    return code


def terms_of(code: str) -> list[tuple[str, int]]:
    """Runs of 1 to MAX_RUN tokens as the vectoriser sees them, with the 1-based line."""
    found = []
    line, counted_to = 1, 0
    for match in re.finditer(TOKEN_PATTERN, code):
        # Counted on from the last token: from the start each time, a long text takes seconds.
        line += code.count("\n", counted_to, match.start())
        counted_to = match.start()
        found.append((match.group(), line))
    return [
        (" ".join(token for token, _ in found[start : start + size]), found[start][1])
        for size in range(1, MAX_RUN + 1)
        for start in range(len(found) - size + 1)
    ]


@dataclass(frozen=True)
class Explainer:
    """The classifier as one linear map: tf-idf row (L2-normed) @ weights + intercept.

    weights: (vocabulary, flaws), SVD components times the head's coefficients.
    """

    places: Mapping[str, int]
    idf: np.ndarray
    weights: np.ndarray
    intercept: np.ndarray

    @classmethod
    def load(cls, path: Path) -> Explainer:
        """Read explain.npz. Raises OSError or ValueError for a file that is none."""
        with np.load(path, allow_pickle=False) as archive:
            places = {str(token): place for place, token in enumerate(archive["tokens"])}
            return cls(places, archive["idf"], archive["weights"], archive["intercept"])

    def contributions(self, code: str) -> tuple[list[str], np.ndarray]:
        """Terms present and their contributions (terms, flaws); sum + intercept = decision."""
        counts = Counter(term for term, _ in terms_of(code) if term in self.places)
        terms = list(counts)
        index = [self.places[term] for term in terms]
        row = np.array([counts[term] for term in terms]) * self.idf[index]
        norm = np.sqrt((row**2).sum()) or 1.0
        return terms, (row / norm)[:, np.newaxis] * self.weights[index]


def contract_answer(code: str, probabilities: np.ndarray, explainer: Explainer) -> dict[str, Any]:
    """Findings for flaws with probability >= FOUND_FROM, the likeliest first."""
    terms, parts = explainer.contributions(code)
    lines: dict[str, set[int]] = {}
    for term, line in terms_of(code):
        lines.setdefault(term, set()).add(line)
    findings = []
    for place in np.argsort(-probabilities, kind="stable"):
        if probabilities[place] < FOUND_FROM:
            break
        flaw = list(FLAWS)[place]
        severity, description, recommendation = FLAWS[flaw]
        top = np.argsort(-parts[:, place], kind="stable")[:MAX_EVIDENCE]
        findings.append(
            {
                "flaw": flaw,
                "severity": severity,
                "confidence": float(probabilities[place]),
                "description": description,
                "recommendation": recommendation,
                "evidence": [
                    {
                        "token": terms[i],
                        "contribution": float(parts[i, place]),
                        "lines": sorted(lines[terms[i]])[:20],
                    }
                    for i in top
                    if parts[i, place] > 0
                ],
            }
        )
    return {
        "is_vulnerable": bool(findings),
        "findings": findings,
        "scores": {flaw: float(p) for flaw, p in zip(FLAWS, probabilities, strict=True)},
        "factor_method": METHOD,
    }
