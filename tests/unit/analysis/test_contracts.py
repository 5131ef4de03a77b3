"""Parsing of contracts, terms and their lines, contributions and findings."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from sklearn.feature_extraction.text import TfidfVectorizer

from app.analysis.contracts import (
    FLAWS,
    FOUND_FROM,
    MAX_CHARACTERS,
    MAX_EVIDENCE,
    MAX_RUN,
    METHOD,
    TOKEN_PATTERN,
    Explainer,
    contract_answer,
    parse_contract,
    terms_of,
)
from engine.errors import InvalidField
from examples.contracts_data import BAD, GOOD, generate

TEXTS = [
    *BAD.values(),
    *GOOD.values(),
    "",
    " \r\n",
    "é_a漢tx.origin\r\n9b",
    "a a\x00a",
    "\u017fs \u212ak",
]


@pytest.fixture
def vectoriser() -> TfidfVectorizer:
    made = TfidfVectorizer(lowercase=False, token_pattern=TOKEN_PATTERN, ngram_range=(1, MAX_RUN))
    return made.fit([*BAD.values(), *GOOD.values()])


@pytest.fixture
def explainer(vectoriser: TfidfVectorizer, tmp_path: Path) -> Explainer:
    random = np.random.default_rng(5)
    tokens = vectoriser.get_feature_names_out()
    np.savez(
        tmp_path / "explain.npz",
        tokens=np.array(tokens, dtype=str),
        idf=vectoriser.idf_,
        weights=random.normal(size=(len(tokens), len(FLAWS))),
        intercept=random.normal(size=len(FLAWS)),
    )
    return Explainer.load(tmp_path / "explain.npz")


@pytest.mark.parametrize("code", ["a", " x ", "é", "x" * MAX_CHARACTERS])
def test_a_contract_is_taken_as_it_is(code: str) -> None:
    assert parse_contract({"contract_code": code}) == code


@pytest.mark.parametrize(
    ("body", "field"),
    [
        (None, "body"),
        (["contract_code"], "body"),
        ("text", "body"),
        ({}, "contract_code"),
        ({"contract_code": None}, "contract_code"),
        ({"contract_code": 5}, "contract_code"),
        ({"contract_code": ["a"]}, "contract_code"),
        ({"contract_code": ""}, "contract_code"),
        ({"contract_code": " \r\n\t"}, "contract_code"),
        ({"contract_code": "x" * (MAX_CHARACTERS + 1)}, "contract_code"),
        ({"contract_code": "a", "language": "solidity"}, "language"),
        ({"contract_cod": "a"}, "contract_cod"),
    ],
)
def test_another_body_is_refused_and_the_field_named(body: Any, field: str) -> None:
    with pytest.raises(InvalidField) as caught:
        parse_contract(body)
    assert caught.value.field == field


def test_a_text_too_long_is_refused_with_its_length_and_the_limit() -> None:
    with pytest.raises(InvalidField, match=f"{MAX_CHARACTERS + 7} .*{MAX_CHARACTERS}"):
        parse_contract({"contract_code": "x" * (MAX_CHARACTERS + 7)})


@pytest.mark.parametrize("text", TEXTS)
def test_terms_are_those_of_the_vectoriser(vectoriser: TfidfVectorizer, text: str) -> None:
    assert [term for term, _ in terms_of(text)] == vectoriser.build_analyzer()(text)


def test_lines_are_those_of_the_text() -> None:
    assert terms_of("a\nb c\r\n\n\ntx.origin\n") == [
        ("a", 1),
        ("b", 2),
        ("c", 2),
        ("tx.origin", 5),
        ("a b", 1),
        ("b c", 2),
        ("c tx.origin", 2),
        ("a b c", 1),
        ("b c tx.origin", 2),
    ]


def test_the_longest_text_has_its_last_line_right() -> None:
    found = terms_of("a\n" * (MAX_CHARACTERS // 2))
    assert found[MAX_CHARACTERS // 2 - 1] == ("a", MAX_CHARACTERS // 2)


@pytest.mark.parametrize("text", TEXTS)
def test_contributions_are_the_row_times_the_weights(
    vectoriser: TfidfVectorizer, explainer: Explainer, text: str
) -> None:
    terms, parts = explainer.contributions(text)
    row = vectoriser.transform([text]).toarray()[0]
    assert parts.shape == (len(terms), len(FLAWS))
    assert set(terms) == set(vectoriser.get_feature_names_out()[row > 0])
    np.testing.assert_allclose(parts.sum(axis=0), row @ explainer.weights, atol=1e-12)


def test_findings_are_the_probable_flaws_the_likeliest_first(explainer: Explainer) -> None:
    code = "\n" + BAD["tx_origin"]
    probabilities = np.array([FOUND_FROM, 0.9, 0.4999, 0.1, 0.7, 0.0])
    answer = contract_answer(code, probabilities, explainer)
    assert answer["is_vulnerable"] is True
    assert [f["flaw"] for f in answer["findings"]] == [
        "tx_origin",
        "timestamp_dependence",
        "reentrancy",
    ]
    assert answer["scores"] == dict(zip(FLAWS, probabilities, strict=True))
    assert answer["factor_method"] == METHOD
    terms, parts = explainer.contributions(code)
    for finding in answer["findings"]:
        severity, description, recommendation = FLAWS[finding["flaw"]]
        assert finding["confidence"] == answer["scores"][finding["flaw"]]
        assert (finding["severity"], finding["description"]) == (severity, description)
        assert finding["recommendation"] == recommendation
        given = [piece["contribution"] for piece in finding["evidence"]]
        assert given == sorted(given, reverse=True)
        column = parts[:, list(FLAWS).index(finding["flaw"])]
        assert given == sorted(column[column > 0], reverse=True)[:MAX_EVIDENCE]
        for piece in finding["evidence"]:
            assert piece["token"] in terms
            lines = code.split("\n")
            first = piece["token"].split(" ")[0]
            assert all(first in lines[line - 1] for line in piece["lines"])


def test_no_probable_flaw_is_no_finding(explainer: Explainer) -> None:
    answer = contract_answer("a", np.full(len(FLAWS), 0.49), explainer)
    assert answer["is_vulnerable"] is False
    assert answer["findings"] == []


def test_the_generator_is_seeded_and_has_each_flaw_several_and_none() -> None:
    texts, labels = generate(400, 3)
    again, same = generate(400, 3)
    assert texts == again
    np.testing.assert_array_equal(labels, same)
    assert generate(400, 4)[0] != texts
    assert labels.any(axis=0).all()
    assert {0, 1, 2} <= set(labels.sum(axis=1))
