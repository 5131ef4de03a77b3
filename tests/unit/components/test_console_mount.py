"""The console on a Flask application: routes, assets, no global state."""

from __future__ import annotations

import flask
import pytest
from flask.testing import FlaskClient

from app.console import ASSETS, bootstrap_css, build_console, theme_script_hash


@pytest.fixture
def client() -> FlaskClient:
    server = flask.Flask("console")
    build_console(server, title="Pyrometer", version="0.1.0")
    return server.test_client()


def test_the_page_is_served_with_the_theme_before_any_stylesheet(client: FlaskClient) -> None:
    page = client.get("/").text
    assert page.index("data-theme") < page.index('rel="stylesheet"')
    assert "<title>Pyrometer</title>" in page


def test_nothing_is_loaded_from_elsewhere(client: FlaskClient) -> None:
    page = client.get("/").text
    assert 'src="http' not in page
    assert 'href="http' not in page


def test_an_unknown_path_is_not_found_and_says_so(client: FlaskClient) -> None:
    answer = client.get("/performance/lve")
    assert answer.status_code == 404
    assert answer.json == {"error": "nothing is served at /performance/lve"}


def test_bootstrap_s_stylesheet_is_served_from_its_wheel(client: FlaskClient) -> None:
    answer = client.get("/vendor/bootstrap.min.css")
    assert answer.mimetype == "text/css"
    assert answer.data == bootstrap_css().read_bytes()


@pytest.mark.parametrize("name", sorted(p.name for p in ASSETS.iterdir() if p.suffix != ".py"))
def test_every_asset_is_served(client: FlaskClient, name: str) -> None:
    if not (ASSETS / name).is_file():
        pytest.skip("a folder")
    assert client.get(f"/assets/{name}").status_code == 200


def test_no_callback_runs_on_the_server(client: FlaskClient) -> None:
    dependencies = client.get("/_dash-dependencies").json
    assert dependencies is not None
    assert [one["clientside_function"]["function_name"] for one in dependencies] == ["tick"]


def test_two_consoles_live_side_by_side() -> None:
    pages = []
    for title in ("One", "Two"):
        server = flask.Flask(title)
        build_console(server, title=title, version="0.1.0")
        pages.append(server.test_client().get("/").text)
    assert "<title>One</title>" in pages[0]
    assert "<title>Two</title>" in pages[1]
    assert [page.count("_dash-renderer") for page in pages] == [1, 1]


def test_the_theme_script_has_a_policy_expression() -> None:
    assert theme_script_hash().startswith("'sha256-")
