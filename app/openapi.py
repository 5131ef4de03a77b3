"""The OpenAPI description of every route, made from the table of routes and what is said here."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import orjson

from app.access.scopes import need_of
from app.benchmark_spec import BOUNDS, CHOICES, MAY_BE_NULL, MOST_NAME, WHOLE
from app.exchange import Exchange, Handler, Response
from app.report_flags import KINDS as REPORT_KINDS
from engine.version import VERSION

Schema = Mapping[str, Any]
PATH = "/openapi.json"


def _object(properties: Mapping[str, Schema], required: tuple[str, ...] = ()) -> Schema:
    schema: dict[str, Any] = {"type": "object", "properties": properties}
    schema["additionalProperties"] = False
    return schema | ({"required": list(required)} if required else {})


def _text(example: str, most: int = 200) -> Schema:
    return {"type": "string", "minLength": 1, "maxLength": most, "example": example}


TEXT: Schema = {"type": "string"}
UTC: Schema = {"type": "number", "exclusiveMinimum": 0, "maximum": 1e10, "example": 1.79e9}
FLAG: Schema = {"type": "string", "enum": ["0", "1"]}
DURATION: Schema = {"type": "string", "pattern": r"^[0-9]{1,4}(s|m|h|d)$", "example": "1h"}
AUTHOR = _text("ada", 80)


def _one_of(*words: str) -> Schema:
    return {"type": "string", "enum": list(words)}


TENSOR: Schema = {
    "type": "object",
    "required": ["name", "datatype", "shape"],
    "properties": {
        "name": TEXT,
        "datatype": {"type": "string", "example": "FP64"},
        "shape": {"type": "array", "items": {"type": "integer"}},
        "data": {"type": "array", "items": {}},
    },
}
INFER: Schema = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "id": TEXT,
        "inputs": {"type": "array", "minItems": 1, "items": TENSOR},
        "outputs": {"type": "array", "items": {"type": "object", "required": ["name"]}},
        "parameters": {"type": "object"},
    },
}
ANALYSIS: Schema = {
    "type": "object",
    "required": ["transaction"],
    "properties": {
        "transaction": {"type": "object"},
        "historical_data": {"type": "array", "items": {"type": "object"}},
    },
}


def _benchmark() -> Schema:
    """A specification of a benchmark, with the console's bounds and choices."""
    properties: dict[str, Any] = {
        "name": {"type": "string", "maxLength": MOST_NAME},
        "url": {"type": ["string", "null"], "maxLength": 200},
        "model": _text("breast_cancer"),
        "version": {"type": ["string", "null"], "maxLength": 200},
        "payload": {"cache": {"type": "boolean"}, "path": {"type": ["string", "null"]}},
        "slo": {},
        "ramp": {},
    }
    fields: dict[str, Schema] = {field: _one_of(*words) for field, words in CHOICES.items()}
    for field, (low, high) in BOUNDS.items():
        kind = "integer" if field in WHOLE else "number"
        kinds = [kind, "null"] if field in MAY_BE_NULL else kind
        fields[field] = {"type": kinds, "minimum": low, "maximum": high}
    for field, schema in fields.items():
        place, _, name = field.rpartition(".")
        (properties[place] if place else properties)[name] = schema
    for place in ("payload", "slo", "ramp"):
        properties[place] = _object(properties[place])
    properties["ramp"] = {**properties["ramp"], "type": ["object", "null"]}
    return _object(properties, ("model",))


BENCHMARK = _benchmark()
_VARIANT: Schema = _object(
    {
        "name": {"type": "string", "pattern": r"^[A-Za-z0-9._\-]{1,40}$", "example": "plain"},
        "version": _text("1", 9),
        "backend": _text("scikit-learn", 80),
        "batching": _one_of("on", "off"),
        "max_wait_us": {"type": "number", "minimum": 0, "maximum": 1e6},
        "caches": _one_of("on", "off"),
        "weight": {"type": "number", "minimum": 1e-3, "maximum": 1e3},
    }
)
_GUARD: Schema = _object(
    {"limit": {"type": "number", "minimum": 0}, "least": {"type": "integer", "minimum": 10}}
)
EXPERIMENT: Schema = _object(
    {
        "name": _text("plain beside planned", 80),
        "model": _text("fraud_detector", 128),
        "mode": _one_of("split", "shadow"),
        "control": _VARIANT,
        "candidates": {"type": "array", "minItems": 1, "maxItems": 4, "items": _VARIANT},
        "header": {"type": "string", "pattern": r"^[a-zA-Z0-9\-]{1,64}$", "example": "x-user-id"},
        "fraction": {"type": "number", "minimum": 0, "maximum": 1},
        "measure": _one_of("request", "inference", "cpu"),
        "analysis": _object(
            {
                "kind": _one_of("planned", "always-valid"),
                "requests": {"type": "integer", "minimum": 100, "maximum": 100_000_000},
            },
            ("kind",),
        ),
        "alpha": {"type": "number", "minimum": 1e-4, "maximum": 0.2},
        "guards": {
            "type": "object",
            "properties": {"errors": _GUARD, "p99": _GUARD, "disagreement": {"type": "object"}},
        },
        "start": {"type": "boolean"},
    },
    ("name", "model", "candidates"),
)
_EXPERIMENT_PATH = "/performance/experiments/{experiment}"
_INFER_PATH = "/v2/models/{model}/infer"
BODIES: Mapping[str, Schema] = {
    _INFER_PATH: INFER,
    "/v2/models/{model}/versions/{version}/infer": INFER,
    "/v2/repository/index": {"type": "object", "properties": {"ready": {"type": "boolean"}}},
    "/v2/repository/models/{model}/load": {"type": "object"},
    "/v2/repository/models/{model}/unload": {"type": "object"},
    "/analyze/fraud": ANALYSIS,
    "/analyze/risk": ANALYSIS,
    "/analyze/contract": _object({"contract_code": TEXT}, ("contract_code",)),
    "/performance/models/{model}/pin": _object(
        {"pinned": {"type": "boolean"}, "version": TEXT}, ("pinned",)
    ),
    "/performance/warmup": _object({"models": {"type": "array", "items": TEXT}}),
    "/performance/cache/clear": _object(
        {
            "tier": {"type": "string", "enum": ["models", "results", "embeddings", "responses"]},
            "model": TEXT,
        }
    ),
    "/performance/profile": _object(
        {
            "seconds": {"type": "number", "minimum": 0.1, "maximum": 300},
            "hz": {"type": "number", "minimum": 1, "maximum": 499},
        }
    ),
    "/performance/profile/import": {"type": "object"},
    "/performance/benchmarks": BENCHMARK,
    "/performance/benchmarks/cancel": _object({}),
    "/performance/benchmarks/delete": _object(
        {"id": _text("20260102T030405Z-0123ab", 40)}, ("id",)
    ),
    "/performance/profile/delete": _object({"id": _text("0123456789ab", 40)}, ("id",)),
    "/performance/reports": _object({"from": UTC, "to": UTC}),
    "/performance/reports/delete": _object({"id": _text("20260102T030405Z-0123ab", 40)}, ("id",)),
    "/performance/reports/measure": _object(
        {"seconds": {"type": "number", "minimum": 15, "maximum": 600}}
    ),
    "/performance/reports/measure/cancel": _object({}),
    "/performance/alerts/rules": _object(
        {"rules": _text("[[rule]]\n...", 65_536), "author": AUTHOR}, ("rules", "author")
    ),
    "/performance/alerts/preview": _object(
        {"rules": _text("[[rule]]\n...", 65_536), "window": DURATION}, ("rules",)
    ),
    "/performance/alerts/acknowledge": _object(
        {"alert": _text("memory/warning", 100), "author": AUTHOR, "note": TEXT},
        ("alert", "author"),
    ),
    "/performance/alerts/silence": _object(
        {
            "rule": _text("memory", 80),
            "for": DURATION,
            "author": AUTHOR,
            "reason": _text("a known leak", 300),
        },
        ("rule", "for", "author", "reason"),
    ),
    "/performance/alerts/unsilence": _object({"id": _text("0123456789ab", 40)}, ("id",)),
    "/performance/alerts/test": _object({}),
    "/performance/experiments": EXPERIMENT,
    "/performance/experiments/undo": _object({"model": _text("fraud_detector", 128)}, ("model",)),
    f"{_EXPERIMENT_PATH}/stop": _object({"reason": _text("enough", 300)}),
    f"{_EXPERIMENT_PATH}/promote": _object(
        {"variant": _text("plain", 40), "force": {"type": "boolean"}}
    ),
    "/performance/fleet/drain": _object({"id": _text("replica-1")}, ("id",)),
    "/performance/fleet/restart": _object({"model": _text("fraud_detector")}, ("model",)),
    **{f"{_EXPERIMENT_PATH}/{action}": _object({}) for action in ("start", "rollback", "delete")},
}
_WINDOW = ("window", DURATION, "How far back, until now; 1h where it is absent.")
_REPORT_FILE = (
    ("theme", _one_of("dark", "light"), "Of html and png, whatever the reader's system says."),
    ("download", FLAG, "1: as a file to save."),
)
_MODEL = ("model", TEXT, "One model; all service traffic where it is absent.")
QUERIES: Mapping[str, tuple[tuple[str, Schema, str], ...]] = {
    "/performance/live": (
        ("since", {"type": "integer", "minimum": 0, "maximum": 10**14}, "The last seq you have."),
    ),
    "/performance/fleet/export": (
        ("since", {"type": "integer", "minimum": 0, "maximum": 10**14}, "The last seq you have."),
        ("run", TEXT, "The run that it is of; of another one everything kept is told."),
    ),
    **{
        f"/performance/models/{{model}}{part}": (
            ("version", TEXT, "A version; the serving one if none."),
        )
        for part in ("", "/plan", "/samples")
    },
    "/performance/models/{model}/latency": (
        ("window", DURATION, "How far back, until now; 10m where it is absent."),
        *((name, UTC, "A stretch of time instead of a window.") for name in ("from", "to")),
    ),
    "/performance/metrics/history": (
        _WINDOW,
        *((name, UTC, "A stretch of time instead of a window.") for name in ("from", "to")),
        ("columns", TEXT, "Names of figures, separated by commas; all where it is absent."),
        ("step", DURATION, "Length of a point; a 600th of the window where it is absent."),
        _MODEL,
    ),
    "/performance/metrics/heatmap": (
        _WINDOW,
        *((name, UTC, "A stretch of time instead of a window.") for name in ("from", "to")),
        _MODEL,
    ),
    "/performance/export/csv": (_WINDOW, _MODEL),
    "/performance/export/json": (_WINDOW, _MODEL),
    "/performance/slow-requests": (_MODEL,),
    "/performance/reports/optimization": (
        ("format", _one_of(*REPORT_KINDS), "Of the answer; pdf and png are drawn by a browser."),
        _WINDOW,
        *((name, UTC, "A stretch of time instead of a window.") for name in ("from", "to")),
        ("flame", FLAG, "0: without the code that ran."),
        *_REPORT_FILE,
    ),
    "/performance/reports/{report}": (
        ("format", _one_of(*REPORT_KINDS), "Of the answer; pdf and png are drawn by a browser."),
        *_REPORT_FILE,
    ),
    "/login": (("next", TEXT, "A path of this server to go to then."),),
    "/login/oidc": (("next", TEXT, "A path of this server to go to then."),),
    "/performance/audit": (
        ("limit", {"type": "integer", "minimum": 1, "maximum": 500}, "How many, the newest first."),
    ),
    "/performance/picture": (
        ("page", _text("/", 2000), "Path and query of one of the console's pages."),
        ("format", _one_of("png", "pdf"), "Of the answer."),
        ("width", {"type": "integer", "minimum": 390, "maximum": 3840}, "Pixels; 1440 if absent."),
        ("theme", _one_of("dark", "light"), "Of the page."),
    ),
    "/performance/cache": (
        ("ages", FLAG, "1: read ages and what models have on disk however many items there are."),
    ),
    "/performance/flame-graph": (
        ("view", _one_of("phases", "code"), "By phase, or by function."),
        ("format", _one_of("json", "folded", "speedscope", "pprof", "svg"), "Of the answer."),
        ("measure", _one_of("cpu", "wall", "samples"), "What the widths are."),
        ("window", DURATION, "How far back, until now; 1m where it is absent."),
        *((name, UTC, "A stretch of time instead of a window.") for name in ("from", "to")),
        *((name, TEXT, f"Of one {name} only.") for name in ("model", "version", "route", "thread")),
        ("kind", TEXT, "request, engine, console, system or idle; any but idle if absent."),
        ("request", TEXT, "The samples that fell into one request, by its id."),
        ("capture", TEXT, "A capture or an imported profile instead of a stretch of time."),
        ("collapse", FLAG, "1: a function that calls itself is one."),
        ("invert", FLAG, "1: callers below callees."),
        ("focus", TEXT, "The label of a function whose callers and callees are wanted."),
        ("theme", _one_of("light", "dark"), "Of an svg."),
        ("against", _one_of("before"), "Compare with the time before."),
        ("against_window", DURATION, "How much before; as long as the window if absent."),
        *((f"against_{name}", UTC, "Compare with a stretch of time.") for name in ("from", "to")),
        *(
            (f"against_{name}", TEXT, f"Compare with another {name}.")
            for name in ("model", "version", "capture")
        ),
    ),
    "/performance/profile/import": (("name", TEXT, "What to call it."),),
    "/performance/experiments/options": (("model", TEXT, "Of which model."),),
    "/performance/benchmarks": (
        ("part", _one_of("all", "running"), "running: neither stored runs nor the form's bounds."),
        ("since", {"type": "integer", "minimum": 0, "maximum": 10**8}, "Points that you have."),
    ),
}
STATUSES: Mapping[tuple[str, str], str] = {
    ("POST", "/performance/profile"): "202",
    ("POST", "/performance/reports/measure"): "202",
    ("POST", "/performance/benchmarks"): "202",
    ("POST", "/performance/experiments"): "201",
}
"""Where the answer that is no error is not 200."""
KINDS: Mapping[str, tuple[str, ...]] = {
    "/performance/export/csv": ("text/csv; charset=utf-8",),
    "/performance/picture": ("image/png", "application/pdf"),
    "/performance/reports/optimization": tuple(REPORT_KINDS.values()),
    "/performance/reports/{report}": tuple(REPORT_KINDS.values()),
    "/performance/flame-graph": (
        "application/json",
        "text/plain; charset=utf-8",
        "application/octet-stream",
        "image/svg+xml",
    ),
    "/metrics": (
        "text/plain; version=0.0.4; charset=utf-8",
        "text/plain; version=1.0.0; charset=utf-8",
        "application/openmetrics-text; version=1.0.0; charset=utf-8",
    ),
    _INFER_PATH: ("application/json", "application/octet-stream"),
    "/v2/models/{model}/versions/{version}/infer": (
        "application/json",
        "application/octet-stream",
    ),
}
ERROR: Schema = {
    "type": "object",
    "required": ["error"],
    "properties": {"error": {"type": "string"}},
}
ANSWERS: Mapping[str, Schema] = {
    "/performance/metrics/history": {
        "type": "object",
        "required": ["step_s", "columns", "points", "problem", "events"],
        "properties": {
            "step_s": {"type": "number"},
            "events": {
                "type": "array",
                "items": {"type": "object", "required": ["t", "kind", "text"]},
            },
            "problem": {"type": ["string", "null"]},
            "columns": {"type": "array", "items": TEXT},
            "points": {
                "type": "array",
                "items": {"type": "array", "items": {"type": ["number", "null"]}},
            },
        },
    },
    "/performance/status": {
        "type": "object",
        "required": ["version", "health", "ready", "models", "requests", "history", "recorder"],
    },
    "/performance/health": {"type": "object", "required": ["status", "text"]},
    "/performance/alerts": {
        "type": "object",
        "required": ["alerts", "silences", "slos", "rules", "notifications", "history"],
    },
    "/performance/slow-requests": {"type": "object", "required": ["exemplars"]},
    "/performance/benchmarks/{run}": {"type": "object", "required": ["id", "valid", "spec"]},
    "/performance/cache": {"type": "object", "required": ["tiers", "models", "off", "shared"]},
    "/performance/effectiveness": {
        "type": "object",
        "required": ["hour_s", "saved", "gzip", "models", "auditor"],
    },
    "/performance/settings": {"type": "object", "required": ["groups", "settings", "about"]},
    "/performance/fleet": {
        "type": "object",
        "required": ["configured", "fleet", "remote", "shared", "outgoing"],
    },
    "/performance/fleet/export": {
        "type": "object",
        "required": ["format", "histogram", "run", "version", "time", "since", "seq", "steps"],
    },
    "/v2/repository/index": {"type": "array", "items": {"type": "object"}},
}


SECURITY: dict[str, Schema] = {
    "bearer": {"type": "http", "scheme": "bearer", "description": "An API key."},
    "key": {"type": "apiKey", "in": "header", "name": "x-api-key"},
}
"""How callers show who they are, any of them; x-scope names the scope that a route needs."""


LOGIN = ("/login", "/login/oidc", "/login/oidc/callback")


def description(routes: tuple[tuple[str, str, Handler], ...]) -> dict[str, Any]:
    """The OpenAPI 3.1 document of these routes."""
    paths: dict[str, dict[str, Any]] = {}
    for method, path, handler in routes:
        paths.setdefault(path, {})[method.lower()] = _operation(method, path, handler)
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Pyrometer",
            "version": VERSION,
            "description": "Inference by the Open Inference Protocol V2, and what was measured.",
        },
        "paths": paths,
        "components": {"schemas": {"Error": ERROR}, "securitySchemes": SECURITY},
    }


def _operation(method: str, path: str, handler: Handler) -> dict[str, Any]:
    words = (handler.__doc__ or "").strip().split("\n")[0].rstrip(".")
    parameters: list[dict[str, Any]] = [
        {
            "name": part[1:-1],
            "in": "path",
            "required": True,
            "schema": {**_text("m"), "pattern": r"^[^/]+$"},
        }
        for part in path.split("/")
        if part.startswith("{")
    ]
    for name, schema, help_text in QUERIES.get(path, ()):
        given = {"name": name, "in": "query", "schema": schema, "description": help_text}
        parameters.append(given)
    operation: dict[str, Any] = {
        "operationId": "_".join((method.lower(), *path.replace("{", "").split("/")[1:])).replace(
            "}", ""
        ),
        "summary": words,
        "tags": [path.strip("/").split("/")[0]],
        "parameters": parameters,
        "responses": _responses(path, STATUSES.get((method, path), "200")),
    }
    need = need_of(method, path, is_api=True, has_handler=True)
    operation["x-scope"] = need.name
    # {}: where no key is asked for, none is needed.
    operation["security"] = [{name: []} for name in SECURITY] + [{}] if need.scopes else []
    body = BODIES.get(path)
    if body is not None and method == "POST":
        operation["requestBody"] = {
            "required": bool(body.get("required")),
            "content": {"application/json": {"schema": body}},
        }
    return operation


def _responses(path: str, status: str) -> dict[str, Any]:
    error = {
        "description": "What is wrong, naming the field.",
        "content": {"application/json": {"schema": {"$ref": "#/components/schemas/Error"}}},
    }
    if path == "/performance/dashboard":
        return {"302": {"description": "The console."}, "default": error}
    if path in LOGIN:
        page = {"description": "The login page.", "content": {"text/html; charset=utf-8": {}}}
        on = {"description": "On to the page that was asked for, or to the provider."}
        return {"200": page, "303": on, "401": page, "429": page, "503": page, "default": error}
    schema = ANSWERS.get(path, {})
    content = {
        kind: {"schema": schema} if "json" in kind else {}
        for kind in KINDS.get(path, ("application/json",))
    }
    return {
        status: {"description": "The answer.", "content": content},
        "304": {"description": "The caller has it already."},
        "default": error,
    }


def openapi_of(routes: Callable[[], tuple[tuple[str, str, Handler], ...]]) -> Handler:
    """A handler that answers with the description, made once."""
    made: list[bytes] = []

    def openapi(exchange: Exchange) -> Response:
        """GET /openapi.json: this description."""
        if not made:
            made.append(orjson.dumps(description(routes())))
        return Response(200, made[0])

    return openapi
