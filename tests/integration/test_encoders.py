"""Heads that share an encoder: one run for a text that all have seen."""

from __future__ import annotations

import threading
from pathlib import Path

import numpy as np
import pytest
import skops.io
from sklearn.decomposition import TruncatedSVD
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression
from sklearn.pipeline import Pipeline, make_pipeline

from engine.config import Settings
from engine.engine import Engine
from engine.errors import ModelFailed
from engine.types import InferRequest, InferResult

WORDS = ["red", "green", "blue", "cat", "dog", "bird", "runs", "sleeps", "eats"]
RANDOM = np.random.default_rng(4)
TEXTS = np.array([" ".join(RANDOM.choice(WORDS, 6)) for _ in range(80)], dtype=object)
HEADS = ("animal", "colour", "verb")
ENCODER = '[[inputs]]\nname = "text"\ndatatype = "BYTES"\nshape = [-1]\n'

Trained = tuple[Path, Pipeline, dict[str, LogisticRegression]]


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Trained:
    """A repository with one encoder and three heads, and the estimators themselves."""
    models = tmp_path_factory.mktemp("heads") / "models"
    encoder = make_pipeline(TfidfVectorizer(), TruncatedSVD(4, random_state=0)).fit(TEXTS)
    write(models, "encoder", encoder, ENCODER)
    vectors, heads = encoder.transform(TEXTS), {}
    for head, word in zip(HEADS, ("cat", "red", "runs"), strict=True):
        labels = np.array([word in text for text in TEXTS]).astype(int)
        heads[head] = LogisticRegression().fit(vectors, labels)
        write(models, head, heads[head], 'encoder = "encoder"')
    write(models, "orphan", heads["verb"], 'encoder = "nobody"')
    return models, encoder, heads


def write(models: Path, name: str, estimator: object, toml: str) -> None:
    (models / name / "1").mkdir(parents=True)
    (models / name / "model.toml").write_text(toml)
    skops.io.dump(estimator, models / name / "1/model.skops")


@pytest.fixture
def engine(trained: Trained, tmp_path_factory: pytest.TempPathFactory) -> Engine:
    state = trained[0].parent / "state"
    return Engine(Settings(models=trained[0], state=state, reload_interval_s=0.0))


def ask(engine: Engine, head: str, texts: np.ndarray) -> InferResult:
    return engine.infer(InferRequest(head, {"text": texts}, outputs=("predict_proba",)))


def test_heads_answer_as_encoder_and_head_in_a_row(engine: Engine, trained: Trained) -> None:
    _, encoder, heads = trained
    for head, estimator in heads.items():
        expected = estimator.predict_proba(encoder.transform(TEXTS))
        given = ask(engine, head, TEXTS).outputs["predict_proba"]
        np.testing.assert_allclose(given, expected, atol=1e-4)
    engine.close()


def test_one_text_seen_by_three_heads_is_encoded_once(engine: Engine) -> None:
    results = [ask(engine, head, TEXTS[:1]) for head in HEADS]
    assert [(r.encoder_misses, r.encoder_hits) for r in results] == [(1, 0), (0, 1), (0, 1)]
    more = ask(engine, HEADS[0], TEXTS[:3])
    assert (more.encoder_misses, more.encoder_hits) == (2, 1)
    engine.close()


def test_concurrent_heads_encode_a_text_once(engine: Engine) -> None:
    for head in HEADS:
        ask(engine, head, TEXTS[10:11])
    barrier, results = threading.Barrier(len(HEADS)), list[InferResult]()

    def run(head: str) -> None:
        barrier.wait(10)
        results.append(ask(engine, head, TEXTS[20:40]))

    threads = [threading.Thread(target=run, args=(head,)) for head in HEADS]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(results) == len(HEADS)
    assert sum(result.encoder_misses for result in results) == len(set(TEXTS[20:40]))
    engine.close()


def test_flushing_the_embeddings_makes_the_encoder_run_again(engine: Engine) -> None:
    ask(engine, HEADS[0], TEXTS[:1])
    assert engine.clear_cache("embeddings")["items"] == 1
    assert ask(engine, HEADS[1], TEXTS[:1]).encoder_misses == 1
    engine.close()


def test_a_head_whose_encoder_is_absent_fails_by_name(engine: Engine) -> None:
    with pytest.raises(ModelFailed, match="encoder 'nobody' of orphan"):
        ask(engine, "orphan", TEXTS[:1])
    engine.close()
