"""The plan of a model and its pin, as routes."""

from __future__ import annotations

from tests.contract.http import call


def test_a_plan_has_every_form_with_its_figures(port: int) -> None:
    status, _, body = call(port, "GET", "/performance/models/breast_cancer/plan")
    assert (status, body["model"], body["version"]) == (200, "breast_cancer", "1")
    forms = {candidate["form"]: candidate for candidate in body["plan"]["candidates"]}
    assert next(iter(forms)) == "scikit-learn"
    assert {"onnxruntime-f32", "treelite", "scikit-learn-trees"} <= forms.keys()
    chosen = forms[body["plan"]["chosen"]]
    assert chosen["verdict"] == "chosen"
    assert chosen["run_us"].keys() == {"1", "8", "32", "128"}
    assert call(port, "GET", "/performance/models/breast_cancer/plan?version=9")[0] == 404
    assert call(port, "GET", "/performance/models/nobody/plan")[0] == 404


def test_a_pin_is_shown_until_it_is_taken_back(port: int) -> None:
    path = "/performance/models/breast_cancer/pin"
    for pinned in (True, False):
        status, _, body = call(port, "POST", path, {"pinned": pinned})
        assert (status, body["pinned"]) == (200, pinned)
        plan = call(port, "GET", "/performance/models/breast_cancer/plan")[2]
        assert plan["pinned"] is pinned


def test_a_bad_pin_is_400_naming_the_field(port: int) -> None:
    path = "/performance/models/breast_cancer/pin"
    for body, word in (({"pinned": "yes"}, "pinned"), ({"pin": True}, "pin"), ({}, "pinned")):
        status, _, answer = call(port, "POST", path, body)
        assert status == 400
        assert word in answer["error"]
    assert call(port, "POST", "/performance/models/nobody/pin", {"pinned": True})[0] == 404
