"""The Models page in a real browser: the table, what can be done with a model, its own page."""

from __future__ import annotations

import json
import shlex
import subprocess
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

from tests.conftest import RunningServer
from tests.contract.http import call
from tests.e2e.test_live_page import send_load

pytestmark = pytest.mark.browser
OPENS_ITSELF = True
ODD = "<script>alert(1)</script>" + "x" * 10_000


@pytest.fixture
def models(page: Any, live_server: RunningServer) -> Any:
    page.goto(f"{live_server.url}/models")
    page.wait_for_selector("#model-list-body tr")
    return page


@pytest.fixture
def one(page: Any, live_server: RunningServer, bundled_models: Path) -> Any:
    """breast_cancer's page, with some requests to tell of."""
    send_load(live_server, bundled_models, 40)
    page.goto(f"{live_server.url}/models?model=breast_cancer")
    page.wait_for_selector("#model-try [data-sample='1'][aria-pressed=true]")
    return page


def names(page: Any) -> list[str]:
    found: list[str] = page.locator("#model-list-body .models-link").all_inner_texts()
    return found


def row(page: Any, name: str) -> Any:
    return page.locator(f"#model-list-body tr[data-model={name}]")


def press(page: Any, name: str, action: str) -> None:
    row(page, name).locator(f"[data-model-action={action}]").click()


def sent(page: Any) -> Any:
    """Press Send; returns the request's answer."""
    with page.expect_response("**/infer") as found:
        page.click("#model-try-send")
    page.wait_for_selector("#model-answer[data-status]")
    return found.value


# The table


def test_the_table_has_every_model_with_the_servers_figures(
    models: Any, live_server: RunningServer
) -> None:
    listed = call(live_server.port, "GET", "/performance/models")[2]["models"]
    assert names(models) == sorted(model["name"] for model in listed)
    for model in listed:
        line = row(models, model["name"])
        assert line.locator(".state-word").inner_text() == model["state"]
        assert line.locator(".col-version .cell-1").inner_text() == model["version"]
        if model["backend"]:
            assert line.locator(".col-plan .cell-1").inner_text() == model["backend"]
            speed = line.locator(".col-plan .cell-2").inner_text()
            assert ("×" in speed) == (model["speedup"] not in (None, 1))


def test_sort_and_filter_are_in_the_address(models: Any, live_server: RunningServer) -> None:
    models.click("#model-list-table .models-sort[data-sort=model]")
    models.wait_for_selector("#model-list-table th.col-model[aria-sort=descending]")
    assert names(models) == sorted(names(models), reverse=True)
    models.fill("#model-list-q", "er")
    models.wait_for_function("location.search.includes('q=er')")
    wanted = ["risk_scorer", "contract_classifier", "breast_cancer"]
    assert names(models) == wanted
    models.reload()
    models.wait_for_selector("#model-list-body tr")
    assert names(models) == wanted
    models.fill("#model-list-q", "nothing like it")
    models.wait_for_selector("#empty-model-list:has-text('No model whose name has')")
    models.click("#empty-model-list >> text=Clear the filter")
    models.wait_for_function("document.querySelectorAll('#model-list-body tr').length === 5")


def test_a_cold_model_is_warmed_up_with_figures(models: Any, live_server: RunningServer) -> None:
    call(
        live_server.port, "POST", "/performance/cache/clear", {"tier": "models", "model": "digits"}
    )
    row(models, "digits").and_(models.locator("[data-state=cold]")).wait_for(timeout=10_000)
    press(models, "digits", "warmup")
    row(models, "digits").and_(models.locator("[data-state=warm]")).wait_for(timeout=60_000)
    toast = models.locator("#toasts .toast", has_text="Warmed up digits")
    toast.wait_for()
    assert "first answer" in toast.inner_text()


def test_unloading_asks_first_and_a_reload_brings_it_back(models: Any) -> None:
    press(models, "risk_scorer", "unload")
    asked = row(models, "risk_scorer").locator(".confirm")
    assert "answers no request until it is loaded again" in asked.inner_text()
    models.keyboard.press("Escape")
    asked.wait_for(state="detached")
    assert models.evaluate("document.activeElement.dataset.modelAction") == "unload"
    models.keyboard.press("Enter")
    row(models, "risk_scorer").locator("[data-action=confirm]").click()
    row(models, "risk_scorer").and_(models.locator("[data-state=cold]")).wait_for(timeout=10_000)
    models.locator("#toasts .toast", has_text="freed").wait_for()
    press(models, "risk_scorer", "reload")
    row(models, "risk_scorer").and_(models.locator("[data-state=warm]")).wait_for(timeout=60_000)
    models.locator("#toasts .toast", has_text="Version 1 is warm as").wait_for()


def test_a_flush_says_what_would_go_and_what_went(
    models: Any, live_server: RunningServer, bundled_models: Path
) -> None:
    send_load(live_server, bundled_models, 12)
    press(models, "breast_cancer", "flush")
    asked = row(models, "breast_cancer").locator(".confirm-text")
    asked.wait_for()
    assert "of breast_cancer? Its next requests run the model again" in asked.inner_text()
    row(models, "breast_cancer").locator("[data-action=confirm]").click()
    models.locator("#toasts .toast", has_text="of breast_cancer flushed").wait_for()


def test_a_pin_is_taken_back_by_the_same_button(models: Any) -> None:
    button = row(models, "fraud_detector").locator("[data-model-action=pin]")
    button.click()
    row(models, "fraud_detector").get_by_text("pinned").wait_for()
    assert button.inner_text() == "Unpin"
    button.click()
    row(models, "fraud_detector").get_by_text("pinned").wait_for(state="detached")


def test_a_failed_action_says_so(models: Any) -> None:
    models.route("**/pin", lambda route: route.fulfill(status=503, json={"error": "no room"}))
    press(models, "fraud_detector", "pin")
    models.locator("#toasts .toast[data-status=critical]", has_text="no room").wait_for()


def test_odd_names_stay_text_and_break_nothing(page: Any, live_server: RunningServer) -> None:
    def renamed(route: Any) -> None:
        answer = route.fetch().json()
        for model in answer.get("models", []):
            model["description"] = model["backend"] = model["error"] = ODD
            model["name"] = ODD if model["name"] == "digits" else model["name"]
        answer["problems"] = {ODD: ODD}
        route.fulfill(json=answer)

    page.route("**/performance/live?*", renamed)
    page.goto(f"{live_server.url}/models")
    page.wait_for_selector("#model-list-body tr")
    assert page.locator("#models-page script").count() == 0
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440
    page.locator("#model-list-body .models-link", has_text="<script>").click()
    page.wait_for_selector("#model-one:not([hidden])")
    assert page.inner_text("#model-name") == ODD
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440


# One model


def test_a_model_opens_from_the_table_and_back_returns(models: Any) -> None:
    models.fill("#model-list-q", "cancer")
    models.wait_for_function("location.search.includes('q=cancer')")
    row(models, "breast_cancer").locator(".models-link").press("Enter")
    models.wait_for_selector("#model-plan tr[data-form]")
    assert models.evaluate("document.activeElement.id") == "model-name"
    assert models.title().startswith("breast_cancer - Models")
    models.go_back()
    models.wait_for_selector("#model-list:not([hidden])")
    assert names(models) == ["breast_cancer"]
    assert models.title().startswith("Models")
    models.go_forward()
    models.wait_for_selector("#model-one:not([hidden])")
    models.click("#model-back")
    models.wait_for_selector("#model-list:not([hidden])")
    assert "model=" not in models.url


def test_a_model_that_is_not_there_is_said_in_words(page: Any, live_server: RunningServer) -> None:
    page.goto(f"{live_server.url}/models?model={quote(ODD[:1500])}")
    page.wait_for_selector("#model-one[data-state=missing]")
    assert "There is no model <script>" in page.inner_text("#model-problem")
    assert page.evaluate("document.documentElement.scrollWidth") <= 1440


def test_the_plan_shows_every_form_with_its_times_and_reasons(
    one: Any, live_server: RunningServer
) -> None:
    one.wait_for_selector("#model-plan tr[data-form]")
    plan = call(live_server.port, "GET", "/performance/models/breast_cancer/plan")[2]["plan"]
    for candidate in plan["candidates"]:
        line = one.locator(f"#model-plan tr[data-form='{candidate['form']}']")
        assert line.get_attribute("data-verdict") == candidate["verdict"]
        assert candidate["reason"][1:] in line.inner_text()
        for rows, us in candidate["run_us"].items():
            number, unit = line.locator(f"td[data-rows='{rows}']").inner_text().split()
            shown = float(number.replace(",", "")) * (1000 if unit == "ms" else 1)
            assert shown == pytest.approx(us, rel=0.01)
    served = {(line[0], line[1]) for line in plan["ranges"]}
    winner = one.locator(f"#model-plan tr[data-form='{min(served)[1]}'] td[data-rows='1']")
    assert winner.get_attribute("data-serves") == "true"
    lanes = one.locator("#model-plan tr[data-verdict=chosen] .plan-dot")
    assert lanes.count() >= 4


def test_the_histogram_is_that_of_the_range(one: Any, live_server: RunningServer) -> None:
    one.wait_for_selector("#model-latency .latency-bar")
    told = call(live_server.port, "GET", "/performance/models/breast_cancer/latency")[2]
    assert one.locator("#model-latency .latency-bar").count() <= 60
    one.locator(".latency-plot").focus()
    one.keyboard.press("ArrowRight")
    one.wait_for_selector("#readout-model-latency:has-text(' to ')")
    assert "of breast_cancer" not in one.inner_text("#readout-model-latency")
    assert told["requests"] >= 40
    one.evaluate("pyrometer.time.set({ from: 1000000, to: 1000600 })")
    one.wait_for_selector("#model-latency:has-text('No requests to this model')")


def test_schema_quality_and_versions_are_told(one: Any) -> None:
    one.wait_for_selector("#model-versions [data-version='1']")
    schema = one.inner_text("#model-schema")
    assert "predict_proba" in schema
    assert one.locator("#model-schema .schema-columns >> text=worst radius").count() == 1
    assert "roc_auc" in one.inner_text("#model-quality")
    assert "serves" in one.inner_text("#model-versions")


def test_what_cannot_be_read_is_asked_for_again(page: Any, live_server: RunningServer) -> None:
    page.route("**/performance/models/digits/plan*", lambda route: route.abort())
    page.goto(f"{live_server.url}/models?model=digits")
    page.wait_for_selector("#model-plan:has-text('could not be read')")
    page.wait_for_selector("#model-try textarea")
    page.unroute("**/performance/models/digits/plan*")
    page.click("#model-plan >> text=Try again")
    page.wait_for_function("!document.querySelector('#model-plan').innerText.includes('read:')")


# Try it


def test_a_sample_is_sent_and_answered(one: Any, live_server: RunningServer) -> None:
    one.click("#model-try [data-sample='3']")
    one.wait_for_function("location.search.includes('sample=3')")
    one.locator("#model-try [data-output=predict_proba]").check()
    answer = sent(one).json()
    held = call(live_server.port, "GET", "/performance/models/breast_cancer/samples")[2]
    given = {**held["inputs"][0], "shape": [1, 30], "data": held["inputs"][0]["data"][60:90]}
    asked = {"inputs": [given], "outputs": [{"name": "predict"}, {"name": "predict_proba"}]}
    expected = call(live_server.port, "POST", "/v2/models/breast_cancer/infer", asked)[2]
    assert answer["outputs"] == expected["outputs"]
    table = one.inner_text("#model-answer .answer-table")
    label = ["malignant", "benign"][expected["outputs"][0]["data"][0]]
    assert f"{expected['outputs'][0]['data'][0]} {label}" in table
    assert "outputs=" in one.url
    one.reload()
    one.wait_for_selector("#model-try [data-sample='3'][aria-pressed=true]")
    assert one.locator("#model-try [data-output=predict_proba]").is_checked()


def test_the_waterfall_adds_up_and_the_flags_are_the_servers(one: Any) -> None:
    one.locator("#model-try [data-caches]").uncheck()
    answer = sent(one)
    assert answer.request.headers["cache-control"] == "no-cache"
    total = float(answer.headers["x-processing-time"])
    parts = one.locator("#model-answer .waterfall-bars .waterfall-ms").all_inner_texts()
    assert sum(map(float, parts)) == pytest.approx(total, rel=0.02, abs=0.01)
    assert "caches not asked" in one.inner_text(".answer-flags")
    one.locator("#model-try [data-caches]").check()
    sent(one)
    assert sent(one).headers["x-cache-hit"] == "true"
    one.wait_for_selector(".answer-flags:has-text('answered from cache')")


def test_the_curl_line_repeats_it_exactly(one: Any) -> None:
    one.locator("#model-try input[type=text]").first.fill("1e-7")
    one.locator("#model-try [data-output=predict_proba]").check()
    answer = sent(one)
    line = shlex.split(one.inner_text("#model-answer-curl"))
    assert line[line.index("-d") + 1] == answer.request.post_data
    done = subprocess.run(line, capture_output=True, check=True, timeout=20)
    assert json.loads(done.stdout)["outputs"] == answer.json()["outputs"]


def test_what_cannot_be_sent_is_said_beside_its_field(one: Any) -> None:
    posts: list[str] = []
    one.on("request", lambda request: "infer" in request.url and posts.append(request.url))
    fields = one.locator("#model-try input[type=text]")
    fields.nth(0).fill("many")
    fields.nth(7).fill("1e39")
    fields.nth(4).fill("")
    fields.nth(4).press("Enter")
    problems = [text for text in one.locator(".try-problem").all_inner_texts() if text]
    assert problems == [
        "mean radius is “many”; it takes a number",
        "mean concave points is beyond 3.40e+38 in size",
    ]
    assert "mean radius, mean concave points" in one.inner_text("#model-try-status")
    assert fields.nth(0).get_attribute("aria-invalid") == "true"
    assert fields.nth(0).evaluate("node => node === document.activeElement")
    assert posts == []
    fields.nth(0).fill("14.1")
    fields.nth(7).fill("0.05")
    assert sent(one).status == 200


def test_the_servers_refusal_stands_beside_the_field_it_names(one: Any) -> None:
    words = "input 'worst area' holds NaN, infinity or a value beyond 3.4e+38 in size"
    one.route("**/infer", lambda route: route.fulfill(status=400, json={"error": words}))
    sent(one)
    field = one.locator(".try-field", has_text="worst area").first
    assert field.locator(".try-problem").inner_text() == words
    assert words in one.inner_text("#model-answer")


def test_rows_can_be_given_as_csv_or_json_and_read_as_json(one: Any) -> None:
    one.click("#model-try >> text=JSON or CSV")
    area = one.locator("#model-try textarea")
    area.wait_for()
    line = area.input_value()
    area.fill(f"{line}\n{line}\n{line}")
    assert sent(one).json()["outputs"][0]["shape"] == [3]
    assert one.locator("#model-answer .answer-many tbody tr").count() == 3
    one.click("#model-answer-view")
    one.wait_for_selector(".answer-json:not([hidden])")
    assert json.loads(one.inner_text(".answer-json"))["model_name"] == "breast_cancer"
    area.fill("1, 2, 3")
    one.click("#model-try-send")
    one.wait_for_selector(".try-problem:has-text('has 3 values; a row has 30')")
    area.fill("[[1, 2], [3]]")
    one.click("#model-try-send")
    one.wait_for_selector(".try-problem:has-text('rows of different lengths')")


def test_a_wide_tensor_and_a_text_have_areas(page: Any, live_server: RunningServer) -> None:
    page.goto(f"{live_server.url}/models?model=digits&sample=2")
    page.wait_for_selector("#model-try [data-sample='2'][aria-pressed=true]")
    words = page.input_value("#model-try textarea").replace(",", " ").split()
    page.fill("#model-try textarea", "\n".join(" ".join(words[i : i + 8]) for i in range(0, 64, 8)))
    assert sent(page).json()["outputs"][0]["shape"] == [1]
    page.goto(f"{live_server.url}/models?model=contract_classifier")
    page.wait_for_selector("#model-try [data-sample='1'][aria-pressed=true]")
    page.fill("#model-try textarea", 'contract A {\n  // it\'s "quoted" <b>\n}')
    answer = sent(page)
    assert json.loads(answer.request.post_data)["inputs"][0]["data"][0].count("\n") == 2
    done = subprocess.run(
        shlex.split(page.inner_text("#model-answer-curl")), capture_output=True, check=True
    )
    assert json.loads(done.stdout)["outputs"] == answer.json()["outputs"]


TAKEN = (
    ("1.50", "FP64", False, {"json": "1.5"}),
    ("", "FP64", True, {"json": "null"}),
    ("", "FP64", False, {"problem": "needs a value"}),
    ("NaN", "FP32", False, {"problem": "may not be missing"}),
    ("7e4", "FP16", False, {"problem": "is beyond 6.55e+4 in size"}),
    ("9007199254740993", "INT64", False, {"json": "9007199254740993"}),
    ("256", "UINT8", False, {"problem": "is outside UINT8, 0 to 255"}),
    ("1.5", "INT32", False, {"problem": "is “1.5”; it takes a whole number"}),
    ("True", "BOOL", False, {"json": "true"}),
    (' "a"\n', "BYTES", False, {"json": '" \\"a\\"\\n"'}),
)
"""A text, the datatype of its field, whether that may be missing, and what becomes of it."""


def test_a_value_is_what_its_datatype_takes(models: Any) -> None:
    call_ = "([text, field]) => pyrometer.models.values.literal(text, field)"
    for text, datatype, missing, expected in TAKEN:
        field = {"datatype": datatype, "missing": missing, "most": 0}
        assert models.evaluate(call_, [text, field]) == expected, (text, datatype)


def test_a_phone_shows_table_and_model_without_scrolling_sideways(
    page: Any, live_server: RunningServer
) -> None:
    page.set_viewport_size({"width": 390, "height": 844})
    for path in ("/models", "/models?model=breast_cancer"):
        page.goto(f"{live_server.url}{path}")
        page.wait_for_selector("#model-list-body tr, #model-try-send", state="attached")
        page.wait_for_timeout(500)
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
