"""Settings: frozen, with the unit in each name and the default beside it.

One table, the fields of `Settings`, feeds the environment (`PYROMETER_<NAME>`), the
command line (`--<name>`), `--help` and docs/settings.md. Sources, strongest first:
flag, PYROMETER_* variable, HOST/PORT, default. An unknown PYROMETER_* variable stops the
start and names its nearest neighbour.
"""

from __future__ import annotations

import difflib
import re
from collections.abc import Mapping
from dataclasses import Field, dataclass, field, fields
from pathlib import Path
from typing import Any

from engine.errors import ConfigurationError

MIB = 1024 * 1024
PREFIX = "PYROMETER_"
ONNX_PROVIDERS = ("CUDA", "TensorRT", "OpenVINO", "CoreML")


def _setting(
    default: Any,
    help_text: str,
    *,
    unit: str = "",
    low: float | None = None,
    high: float | None = None,
    secret: bool = False,
    url: bool = False,
) -> Any:
    """secret: whether it is set is all that is ever shown. url: its kind and host are.

    A URL may hold credentials.
    """
    about = {"help": help_text, "unit": unit, "low": low, "high": high}
    return field(default=default, metadata=about | {"secret": secret, "url": url})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be configured. Each field's metadata has its help, unit and range."""

    host: str = _setting("127.0.0.1", "address to listen on; any but loopback needs an API key")
    port: int = _setting(8050, "TCP port to listen on; 0 takes a free one", low=0, high=65535)
    models: Path = _setting(Path("models"), "the model repository, a folder")
    state: Path = _setting(
        Path(".pyrometer"),
        "compiled forms, caches, history; may be deleted, with API keys and audit log, at any time",
    )
    trust_file: Path = _setting(
        Path("trusted.sha256"),
        "SHA-256 of the pickles and Python files that may run code, as sha256sum writes them",
    )
    preload: str = _setting(
        "", "models to load at start, comma-separated; empty: what each model.toml says"
    )
    insecure: bool = _setting(
        False, "start without any API key although others can reach the server"
    )
    allowed_hosts: str = _setting(
        "", "further Host header values to accept, comma-separated (behind a proxy)"
    )
    auth: str = _setting(
        "auto", "auto: keys are asked for once there are any, and of others always; always: of all"
    )
    api_key: str = _setting("", "an API key with all scopes, to begin with", secret=True)
    session_lifetime_s: float = _setting(
        43_200.0, "from login to the console to its end", unit="s", low=60.0
    )
    session_idle_s: float = _setting(
        3600.0, "how long the console may be closed before its session ends", unit="s", low=60.0
    )
    oidc_issuer: str = _setting("", "OpenID Connect provider for the console's login")
    oidc_client_id: str = _setting("", "this server's client id there")
    oidc_client_secret: str = _setting("", "its secret", secret=True)
    oidc_claim: str = _setting("groups", "claim of the id token that scopes are read from")
    oidc_scopes: str = _setting(
        "", "that claim's values and their scopes: ops=operate+infer, staff=view"
    )
    rate_login_per_minute: int = _setting(
        10, "tries to log in, or with unknown keys, by address; 0 no limit", low=0
    )
    rate_actions_per_minute: int = _setting(
        60, "actions by key, where keys are asked for; 0 no limit", low=0
    )
    rate_infer_per_s: int = _setting(0, "inferences by key, or address; 0 no limit", low=0)
    tls_cert: str = _setting("", "certificate file, PEM with its chain; with tls_key: https")
    tls_key: str = _setting("", "private key file of tls_cert, PEM")
    trusted_hops: int = _setting(
        0, "proxies in front whose X-Forwarded-For, -Proto and -Host count", low=0, high=10
    )
    path_prefix: str = _setting("", "path that a proxy serves this server under, as /pyrometer")
    cors_origins: str = _setting(
        "", "other sites that may ask from a browser with a key, comma-separated origins"
    )
    optimise: bool = _setting(
        True, "off: plain scikit-learn, no compiled forms and no caches (the oracle)"
    )
    http_threads: int = _setting(
        8, "threads for requests that must wait: loads, actions, analyses", low=1, high=256
    )
    http_queue: int = _setting(256, "requests that may wait for those threads", low=1)
    max_connections: int = _setting(1024, "open connections; more are refused", low=1)
    keep_alive_s: float = _setting(
        75.0, "how long an idle connection is kept open", unit="s", low=0.1
    )
    read_timeout_s: float = _setting(
        10.0, "longest a client may pause within a request", unit="s", low=0.1
    )
    send_timeout_s: float = _setting(
        300.0, "longest a client may take to send a whole request", unit="s", low=0.1
    )
    spin_us: float = _setting(
        200.0,
        "after an answer that followed another this soon, look for the next without sleeping",
        unit="us",
        low=0.0,
        high=10_000.0,
    )
    inline_us: float = _setting(
        1000.0,
        "a run whose plan measured less is run on the event loop; others get a CPU slot",
        unit="us",
        low=0.0,
    )
    cpu_slots: int = _setting(
        0, "runs over inline_us at once; 0: one less than the cores, at least one", low=0
    )
    model_queue: int = _setting(64, "requests that may wait for one model's turn", low=1)
    fast_lane: bool = _setting(
        True, "answer usual requests that the event loop read in one turn with one run"
    )
    gzip: bool = _setting(True, "pack answers over 1 KB for clients that take it")
    analysis_nulls: bool = _setting(False, "keep null values in the answers of /analyze")
    batching: bool = _setting(True, "join waiting rows into one run where the plan says it pays")
    batch_max_rows: int = _setting(128, "rows of a joined run", unit="rows", low=1)
    batch_max_wait_us: float = _setting(
        1000.0,
        "longest a batch waits to become full while its model runs; idle models never wait",
        unit="us",
        low=0.0,
    )
    executor: str = _setting(
        "local",
        "local: models run in this process; ray: those whose compute outweighs the trip "
        "run on replicas of Ray Serve (needs pyrometer[ray])",
    )
    ray_address: str = _setting(
        "",
        "the Ray cluster, host:port or auto; this machine must be a node of it; empty: a Ray "
        "of this server's own, to try it out",
    )
    ray_namespace: str = _setting(
        "pyrometer", "Ray's namespace, and how names of deployments begin there"
    )
    ray_models: str = _setting(
        "", "models to run on Ray whatever pays, comma-separated; *: all that can be shipped"
    )
    ray_min_replicas: int = _setting(1, "replicas of each model at least", low=1, high=256)
    ray_max_replicas: int = _setting(2, "replicas of each model at most", low=1, high=256)
    ray_replica_cpus: float = _setting(
        1.0, "processors that Ray sets aside for a replica", low=0.0, high=256.0
    )
    ray_timeout_s: float = _setting(
        5.0, "longest a replica may take for a batch before it is answered here", unit="s", low=0.1
    )
    ray_in_flight: int = _setting(
        8, "batches on their way to replicas at once; others wait", low=1, high=256
    )
    http_door: str = _setting(
        "front", "front: API routes are answered before Flask; flask: through Flask"
    )
    model_cache_bytes: int = _setting(
        512 * MIB, "memory budget of loaded models", unit="bytes", low=1
    )
    reload_interval_s: float = _setting(
        2.0, "how often the repository is looked at for changes; 0 never", unit="s", low=0.0
    )
    load_workers: int = _setting(2, "models loaded or compiled at once", low=1, high=32)
    load_queue: int = _setting(1000, "loads that may wait before a load is refused", low=1)
    load_wait_s: float = _setting(
        60.0, "longest a request waits for its model to load", unit="s", low=0.0
    )
    compile_timeout_s: float = _setting(
        300.0, "longest a model's plan may take in its child process", unit="s", low=1.0
    )
    compile_memory_bytes: int = _setting(
        4096 * MIB, "memory that process, or one it starts, may take", unit="bytes", low=256 * MIB
    )
    parity_tolerance: float = _setting(
        1e-5,
        "largest difference from scikit-learn's probabilities a compiled form may show",
        low=0.0,
        high=1.0,
    )
    onnx_providers: str = _setting(
        "",
        "ONNX Runtime's execution providers that take part in tournaments beside its CPU: CUDA, "
        "TensorRT, OpenVINO, CoreML, comma-separated; empty or auto: all that are there; off: none",
    )
    result_cache: bool = _setting(True, "keep results of identical requests")
    result_cache_bytes: int = _setting(256 * MIB, "result cache budget", unit="bytes", low=0)
    embedding_cache: bool = _setting(True, "keep encoders' output, row by row")
    embedding_cache_bytes: int = _setting(256 * MIB, "embedding cache budget", unit="bytes", low=0)
    response_cache: bool = _setting(True, "keep whole responses of identical requests")
    response_cache_bytes: int = _setting(128 * MIB, "response cache budget", unit="bytes", low=0)
    memory_budget_bytes: int = _setting(
        900_000_000, "the whole process; caches shrink to keep it", unit="bytes", low=1
    )
    spill: bool = _setting(True, "keep results of slow models and embeddings on disk too")
    spill_bytes: int = _setting(1024 * MIB, "budget on disk, each", unit="bytes", low=1_000_000)
    redis_url: str = _setting(
        "",
        "Redis or Valkey that servers share results of slow models by: redis://, rediss:// or "
        "unix://; empty: none",
        url=True,
    )
    redis_budget_ms: float = _setting(
        5.0, "longest a look-up there may take in all", unit="ms", low=0.5, high=1000.0
    )
    redis_connections: int = _setting(8, "connections to it, of this process", low=3, high=1000)
    redis_ttl_s: float = _setting(
        86_400.0, "how long a result is kept there, at most", unit="s", low=1.0
    )
    redis_value_bytes: int = _setting(MIB, "largest result that is shared", unit="bytes", low=1024)
    redis_queue: int = _setting(
        512, "results that may wait to be written there; more are dropped", low=1
    )
    telemetry: bool = _setting(True, "record requests; off: no counts, times or history of them")
    alert_webhook: str = _setting("", "http URL that alerts are posted to as JSON", url=True)
    alert_apprise: str = _setting(
        "", "Apprise URLs that alerts go to, separated by spaces", url=True
    )
    otlp_endpoint: str = _setting(
        "", "OTLP/HTTP URL that requests with a traceparent go to", url=True
    )
    peers: str = _setting(
        "",
        "other Pyrometers to watch with this one: http://a:8050,http://b:8050, dns://name:8050 "
        "or ray; empty: none",
    )
    peers_key: str = _setting("", "an API key of theirs with scope view", secret=True)
    peers_interval_s: float = _setting(
        2.0, "how often each of them is asked", unit="s", low=0.5, high=60.0
    )
    history: bool = _setting(True, "keep what was recorded, on disk, over restarts")
    history_bytes: int = _setting(512 * MIB, "history on disk", unit="bytes", low=10_000_000)
    shadow_queue: int = _setting(
        64, "answers of an experiment that may wait to be compared; more are dropped", low=1
    )
    profile_hz: float = _setting(
        29.0,
        "how often the profiler looks at all threads; 0 only while a capture runs",
        unit="Hz",
        low=0.0,
        high=499.0,
    )
    audit_interval_s: float = _setting(
        10.0,
        "how often the rows of a model's next run are run again by the model as it is, in a "
        "child process; 0 never",
        unit="s",
        low=0.0,
    )
    audit_memory_bytes: int = _setting(
        512 * MIB, "memory of that child process", unit="bytes", low=64 * MIB
    )
    profile_bytes: int = _setting(
        64 * MIB, "a day of profiles on disk", unit="bytes", low=1_000_000
    )
    report_at: str = _setting(
        "", "when a report is made each day, HH:MM in UTC, for example 06:30; empty: none"
    )
    max_body_bytes: int = _setting(16 * MIB, "largest request body", unit="bytes", low=1)
    max_elements: int = _setting(4_000_000, "largest tensor", unit="elements", low=1)
    max_rows: int = _setting(1_000_000, "longest tensor", unit="rows", low=1)

    def __post_init__(self) -> None:
        for setting in fields(self):
            _check_range(setting, getattr(self, setting.name))
        named_providers(self.onnx_providers)
        if self.executor not in ("local", "ray"):
            raise ConfigurationError(f"executor is {self.executor!r}; it must be local or ray")
        if not re.fullmatch(r"[A-Za-z0-9_-]{1,40}", self.ray_namespace):
            raise ConfigurationError(
                f"ray_namespace is {self.ray_namespace[:80]!r}; it must be 1 to 40 letters, "
                "digits, - or _"
            )
        if self.http_door not in ("front", "flask"):
            raise ConfigurationError(f"http_door is {self.http_door!r}; it must be front or flask")
        if not re.fullmatch(r"(([01]\d|2[0-3]):[0-5]\d)?", self.report_at):
            raise ConfigurationError(
                f"report_at is {self.report_at!r}; it must be HH:MM from 00:00 to 23:59, or empty"
            )


def named_providers(listed: str) -> tuple[str, ...] | None:
    """The providers that `onnx_providers` names, in its order; None where it means all there are.

    Raises ConfigurationError naming the setting and the known names.
    """
    words = [word.strip() for word in listed.split(",") if word.strip()]
    if [word.lower() for word in words] in ([], ["auto"]):
        return None
    if [word.lower() for word in words] == ["off"]:
        return ()
    known = {name.lower(): name for name in ONNX_PROVIDERS}
    for word in words:
        if word.lower() not in known:
            raise ConfigurationError(
                f"onnx_providers names {word[:40]!r}; known are {', '.join(ONNX_PROVIDERS)}, "
                "or auto, or off, alone"
            )
    return tuple(dict.fromkeys(known[word.lower()] for word in words))


def _check_range(setting: Field[Any], value: Any) -> None:
    low, high = setting.metadata["low"], setting.metadata["high"]
    if (low is not None and value < low) or (high is not None and value > high):
        bounds = f"{'' if low is None else low}..{'' if high is None else high}"
        raise ConfigurationError(f"{setting.name} is {value}; it must be within {bounds}")


def parse_value(setting: Field[Any], text: str) -> Any:
    """A setting's value from its text. Raises ConfigurationError naming the setting."""
    kind: Any = type(setting.default)
    try:
        if kind is bool:
            return {
                "on": True,
                "true": True,
                "1": True,
                "yes": True,
                "off": False,
                "false": False,
                "0": False,
                "no": False,
            }[text.strip().lower()]
        return kind(text)
    except (KeyError, ValueError):
        wanted = "on or off" if kind is bool else kind.__name__
        raise ConfigurationError(f"{setting.name} is {text!r}; it must be {wanted}") from None


def load_settings(
    environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> Settings:
    """Settings from an environment and, stronger, from the command line's overrides.

    Raises ConfigurationError for an unknown PYROMETER_* variable or a bad value.
    """
    table = {setting.name: setting for setting in fields(Settings)}
    values: dict[str, Any] = {}
    for short in ("host", "port"):
        if environ.get(short.upper()):
            values[short] = parse_value(table[short], environ[short.upper()])
    for variable, text in environ.items():
        if not variable.startswith(PREFIX):
            continue
        name = variable.removeprefix(PREFIX).lower()
        if name not in table:
            near = difflib.get_close_matches(name, table, n=1, cutoff=0.0)
            raise ConfigurationError(
                f"unknown setting {variable}; the nearest is {PREFIX}{near[0].upper()}"
            )
        values[name] = parse_value(table[name], text)
    values.update(overrides or {})
    return Settings(**values)


def sources_of(
    environ: Mapping[str, str], overrides: Mapping[str, Any] | None = None
) -> dict[str, str]:
    """Where `load_settings` takes each setting from that is given: a flag's or variable's name."""
    shorts = {short: short.upper() for short in ("host", "port") if environ.get(short.upper())}
    variables = {
        variable.removeprefix(PREFIX).lower(): variable
        for variable in environ
        if variable.startswith(PREFIX)
    }
    return shorts | variables | {name: f"--{name.replace('_', '-')}" for name in overrides or ()}
