"""model.toml: what it may say, and that each mistake is named with its key."""

from __future__ import annotations

import pytest

from engine.errors import ArtefactError
from engine.models.model_toml import AccuracyBudget, Declaration, parse_model_toml
from engine.types import TensorSpec

WHOLE = """
description = "spots fraud"
task = "classification"
preload = false
serve = 3
encoder = "words"
executor = "local"

[[inputs]]
name = "amounts"
datatype = "FP32"
shape = [-1, 2]
columns = ["amount", "age"]

[[inputs]]
name = "note"
datatype = "BYTES"

[cache]
results = false
ttl_s = 90

[response]
decimals = 4

[accuracy_budget]
metric = "roc_auc"
largest_loss = 0.01
prefer = "speed"
"""


def test_a_whole_file_says_all_that_it_may() -> None:
    declared = parse_model_toml(WHOLE.encode())
    assert (declared.description, declared.task) == ("spots fraud", "classification")
    assert (declared.preload, declared.serve, declared.encoder) == (False, "3", "words")
    assert declared.executor == "local"
    assert (declared.cache_results, declared.cache_ttl_s, declared.decimals) == (False, 90.0, 4)
    matrix, text = declared.inputs
    assert matrix.spec == TensorSpec("amounts", "FP32", (-1, 2))
    assert matrix.columns == ("amount", "age")
    assert text.spec == TensorSpec("note", "BYTES", (-1,))
    assert declared.budget == AccuracyBudget("roc_auc", 0.01, "speed")


def test_an_empty_file_says_what_none_does() -> None:
    assert parse_model_toml(b"") == Declaration()


INPUT = '[[inputs]]\nname = "x"\n'
BUDGET = "[accuracy_budget]\n"
MISTAKES = [
    ("x = ", "model.toml: Invalid"),
    ("\udcff", "model.toml: "),
    ("colour = 1", "unknown key 'colour'; known: accuracy_budget, cache"),
    ("preload = 1", "preload is 1; it must be bool"),
    ("description = 3", "description is 3; it must be str"),
    ("serve = 0", 'serve is 0; it must be "newest" or a version number'),
    ("serve = true", "serve is True"),
    ('serve = "2"', "serve is '2'"),
    ('encoder = "../x"', "encoder is '../x'; it must be a model's name"),
    ('executor = "moon"', "executor is 'moon'; it must be one of auto, local, ray"),
    ("inputs = 3", "inputs is 3; it must be list"),
    ("inputs = [3]", "[[inputs]] takes columns, datatype, name, shape"),
    ("[[inputs]]\nshape = [1]", "[[inputs]] takes"),
    (f"{INPUT}colour = 1", "[[inputs]] takes"),
    (f"{INPUT}datatype = 'FP128'", "inputs.x: unknown datatype 'FP128'"),
    (f"{INPUT}shape = []", "inputs.x: shape is []; it takes sizes, or -1"),
    (f"{INPUT}shape = [0]", "inputs.x: shape is [0]"),
    (f"{INPUT}shape = [-2]", "inputs.x: shape is [-2]"),
    (f"{INPUT}shape = [true]", "inputs.x: shape is [True]"),
    (f"{INPUT}shape = [1.5]", "inputs.x: shape is [1.5]"),
    (f"{INPUT}shape = [-1, 3]\ncolumns = ['a', 'b']", "2 columns do not fit shape [-1, 3]"),
    (f"{INPUT}columns = ['a']", "1 columns do not fit shape [-1]"),
    (f"{INPUT}shape = [-1, 2]\ncolumns = ['a', 'a']", "a column is named twice"),
    (f"{INPUT}{INPUT}", "an input is named twice"),
    ("[cache]\nsize = 1", "unknown key 'cache.size'; known: results, ttl_s"),
    ("[cache]\nresults = 'no'", "results is 'no'; it must be bool"),
    ("[cache]\nttl_s = -1", "ttl_s is -1; it must be a number of seconds >= 0"),
    ("[cache]\nttl_s = inf", "ttl_s is inf"),
    ("[cache]\nttl_s = nan", "ttl_s is nan"),
    ("[cache]\nttl_s = true", "ttl_s is True"),
    ("[response]\ndecimals = 16", "decimals is 16; it must be 0 to 15"),
    ("[response]\ndecimals = 2.0", "decimals is 2.0"),
    ("[response]\nformat = 1", "unknown key 'response.format'"),
    ("accuracy_budget = 3", "accuracy_budget is 3; it must be dict"),
    (f"{BUDGET}largest_loss = 0", "metric is None; it must be one of accuracy, f1_macro"),
    (f"{BUDGET}metric = 'luck'\nlargest_loss = 0", "metric is 'luck'"),
    (f"{BUDGET}metric = 'r2'\nlargest_loss = 2", "largest_loss is 2; it must be within 0..1"),
    (f"{BUDGET}metric = 'r2'", "largest_loss is None"),
    (f"{BUDGET}metric = 'r2'\nlargest_loss = 0\nprefer = 'x'", "prefer is 'x'"),
    (f"{BUDGET}metric = 'r2'\nlargest_loss = 0\nrows = 1", "'accuracy_budget.rows'"),
]


@pytest.mark.parametrize(("text", "said"), MISTAKES, ids=range(len(MISTAKES)))
def test_a_mistake_is_named_with_its_key(text: str, said: str) -> None:
    with pytest.raises(ArtefactError) as raised:
        parse_model_toml(text.encode(errors="surrogateescape"))
    assert said in str(raised.value)
    assert str(raised.value).startswith("model.toml: ")


def test_only_what_answers_depend_on_is_in_the_digest() -> None:
    plain = parse_model_toml(b"").semantics()
    for same in ("description = 'x'", "preload = false", "serve = 2", "[cache]\nresults = false"):
        assert parse_model_toml(same.encode()).semantics() == plain
    for other in (INPUT, "encoder = 'words'", f"{BUDGET}metric = 'r2'\nlargest_loss = 0"):
        assert parse_model_toml(other.encode()).semantics() != plain
