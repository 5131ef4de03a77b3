"""Plans and compiled forms in the state directory.

    <state>/plans/<key>/plan.json        {"sha256": of the plan's text, "plan": text}
    <state>/plans/<key>/model-f32.onnx   listed in the plan with its SHA-256

The key digests everything a plan depends on (artefact, model.toml, library versions, execution
providers, CPU, tolerance), so a change of any makes a new plan. Everything is verified on
read; whatever does not verify is thrown away and made anew.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import importlib.util
import json
import logging
import math
import os
import platform
import re
import shutil
import stat
import subprocess
import tempfile
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import IO

from engine.config import MIB, Settings, named_providers
from engine.errors import ArtefactError, ModelFailed
from engine.models import confined
from engine.models.files import private_folder, sha256_of
from engine.models.plan import FORMAT, Candidate, Plan, plan_from_dict
from engine.models.repository import ModelEntry
from engine.models.trust import TrustFile

LIBRARIES = ("numpy", "scikit-learn", "skl2onnx", "skops", "treelite")
OPTIONAL_LIBRARIES = (
    *("lightgbm", "pandas", "tl2cgen", "xgboost"),
    # One of these is there: the same package, built with other execution providers.
    *("onnxruntime", "onnxruntime-gpu", "onnxruntime-openvino", "onnxruntime-directml"),
)
UNREADABLE = (
    ArtefactError,
    OSError,
    ValueError,
    LookupError,
    TypeError,
    AttributeError,
    StopIteration,
)
"""What reading a damaged or foreign plan may raise."""
TOURNAMENT = "engine.models.tournament"
MEMORY_SETTING = "compile_memory_bytes"
OUT_OF_MEMORY = re.compile(r"MemoryError|.*(bad_alloc|Cannot allocate memory|Unable to allocate)")
MOST_WORDS_BYTES = 65_536
MOST_PLAN_BYTES = 16 * MIB
log = logging.getLogger(__name__)


class ScratchLost(ModelFailed):
    """The folder that a plan was made in was deleted meanwhile."""


@cache
def machine_fingerprint() -> str:
    """Library versions and processor, the part of every plan's key that the machine gives."""
    versions = [f"{name} {importlib.metadata.version(name)}" for name in LIBRARIES]
    versions += [f"{name} {_version_or_none(name)}" for name in OPTIONAL_LIBRARIES]
    compilers = [str(shutil.which(name)) for name in ("gcc", "clang")]
    parts = [f"format {FORMAT}", platform.python_version(), cpu_name(), *versions, *compilers]
    return "\n".join([*parts, *provider_libraries()])


def provider_libraries() -> list[str]:
    """Which execution providers came with ONNX Runtime, by their files: it is not imported."""
    found = importlib.util.find_spec("onnxruntime")
    folders = (found.submodule_search_locations or ()) if found else ()
    files = (file for folder in folders for file in Path(folder, "capi").glob("*_providers_*"))
    return sorted(file.name for file in files)


def _version_or_none(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def cpu_name() -> str:
    """The processor as the system names it."""
    try:
        for line in Path("/proc/cpuinfo").read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    except OSError:
        pass
    return platform.processor() or platform.machine()


def verify_files(folder: Path, candidate: Candidate) -> None:
    """Raises ArtefactError or OSError unless a form's files are those its plan lists."""
    for name, digest in candidate.files.items():
        if Path(name).name != name or (folder / name).is_symlink():
            raise ArtefactError(f"{name[:80]!r} of {candidate.form} is no file of its plan")
        if sha256_of(folder / name) != digest:
            raise ArtefactError(f"{name} of {candidate.form} is not what its plan lists")


class PlanStore:
    """Reads plans, and makes those that are missing in a child process."""

    def __init__(
        self,
        state: Path,
        tolerance: float,
        compile_timeout_s: float,
        trust: TrustFile,
        compile_memory_bytes: int = 4096 * MIB,
        onnx_providers: str = "",
    ) -> None:
        self.trust = trust
        self._onnx_providers = onnx_providers
        self._root = private_folder(private_folder(state) / "plans")
        self._tolerance = tolerance
        self._compile_timeout_s = compile_timeout_s
        cpu_s = math.ceil(compile_timeout_s) * (os.cpu_count() or 1)
        self.limits = confined.Limits(compile_memory_bytes, cpu_s)

    @classmethod
    def of(cls, settings: Settings, trust: TrustFile | None = None) -> PlanStore:
        """The store that the settings describe."""
        return cls(
            settings.state,
            settings.parity_tolerance,
            settings.compile_timeout_s,
            trust or TrustFile(settings.trust_file),
            settings.compile_memory_bytes,
            settings.onnx_providers,
        )

    def key(self, entry: ModelEntry) -> str:
        named = named_providers(self._onnx_providers)
        text = f"{machine_fingerprint()}\n{named}\n{self._tolerance!r}\n{entry.digest}"
        return hashlib.sha256(f"{entry.name}/{entry.version}\n{text}".encode()).hexdigest()[:32]

    def folder(self, entry: ModelEntry) -> Path:
        return self._root / self.key(entry)

    def read(self, entry: ModelEntry) -> Plan | None:
        """The stored plan, its files verified; None when there is none that verifies."""
        folder = self.folder(entry)
        try:
            envelope = json.loads((folder / "plan.json").read_bytes())
            text = envelope["plan"]
            if hashlib.sha256(text.encode()).hexdigest() != envelope["sha256"]:
                return None
            plan = plan_from_dict(json.loads(text))
            for form in {form for _, form in plan.ranges}:
                verify_files(folder, plan.candidate(form))
        except UNREADABLE:
            return None
        return plan

    def make(self, entry: ModelEntry, watch: Callable[[subprocess.Popen[bytes]], None]) -> Plan:
        """Hold the tournament in a child process and publish its outcome.

        watch: given the child as soon as it runs, so that its owner can end it.
        Raises Untrusted for a format that runs code and is not in the trust file,
        ModelFailed with the child's own words when the model cannot be loaded, and
        ArtefactError when what the child left behind does not verify.
        """
        self.trust.require(entry)
        try:
            self._make_in_scratch(entry, watch)
        except ScratchLost:
            self._make_in_scratch(entry, watch)
        plan = self.read(entry)
        if plan is None:
            raise ArtefactError(f"{entry.name}/{entry.version}: the new plan does not verify")
        return plan

    def _make_in_scratch(
        self, entry: ModelEntry, watch: Callable[[subprocess.Popen[bytes]], None]
    ) -> None:
        """Raises ScratchLost where somebody deleted the folder meanwhile: it is a cache."""
        scratch = Path(tempfile.mkdtemp(prefix="making-", dir=private_folder(self._root)))
        try:
            self._run_child(entry, scratch, watch)
            text = _plan_left_in(scratch, f"{entry.name}/{entry.version}")
            envelope = {"sha256": hashlib.sha256(text.encode()).hexdigest(), "plan": text}
            (scratch / "plan.json").write_text(json.dumps(envelope))
            folder = self.folder(entry)
            shutil.rmtree(folder, ignore_errors=True)
            os.rename(scratch, folder)
        except (OSError, ModelFailed) as error:
            if not scratch.is_dir():
                raise ScratchLost(str(error)) from error
            raise
        finally:
            shutil.rmtree(scratch, ignore_errors=True)

    def _run_child(
        self, entry: ModelEntry, folder: Path, watch: Callable[[subprocess.Popen[bytes]], None]
    ) -> None:
        job = {
            "model": str(entry.home.resolve()),
            "version": entry.version,
            "folder": str(folder.resolve()),
            "tolerance": self._tolerance,
            "trust_file": str(self.trust.path.resolve()),
            "also_trusted": sorted(self.trust.also),
            "onnx_providers": self._onnx_providers,
        }
        name = f"{entry.name}/{entry.version}"
        _say_once(confined.allowed().words)
        with tempfile.TemporaryFile() as told, tempfile.TemporaryFile() as complaint:
            told.write(json.dumps(job).encode())
            told.seek(0)
            child = confined.start(self.limits, TOURNAMENT, told, complaint)
            watch(child)
            status = confined.finish(child, self._compile_timeout_s)
            words = _last_line(complaint)
        if status is None:
            raise ModelFailed(
                f"{name}: its plan took over {self._compile_timeout_s:g} s (compile_timeout_s)"
            )
        if status != 0:
            if status != 1 or not words:
                words = confined.how_it_ended(status, self.limits)
            elif OUT_OF_MEMORY.match(words):
                words = f"{words}; it may take {self.limits.memory_bytes} bytes ({MEMORY_SETTING})"
            raise ModelFailed(f"{name} cannot be loaded: {words}")


@cache
def _say_once(words: str) -> None:
    log.info("%s", words)


def _last_line(file: IO[bytes]) -> str:
    """The last line of what a child said on its standard error."""
    end = file.seek(0, os.SEEK_END)
    file.seek(max(0, end - MOST_WORDS_BYTES))
    lines = file.read().decode(errors="replace").strip().splitlines()
    return lines[-1] if lines else ""


def _plan_left_in(folder: Path, name: str) -> str:
    """The plan that a child wrote. Raises ModelFailed where it left none, or no plain file."""
    try:
        descriptor = os.open(folder / "plan.json", os.O_RDONLY | os.O_NOFOLLOW | os.O_NONBLOCK)
        with os.fdopen(descriptor, "rb") as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):
                raise ModelFailed(f"{name} cannot be loaded: its child left no plan")
            content = file.read(MOST_PLAN_BYTES + 1)
        if len(content) > MOST_PLAN_BYTES:
            raise ModelFailed(f"{name}: its plan is over {MOST_PLAN_BYTES} bytes")
        return content.decode()
    except (OSError, UnicodeDecodeError) as error:
        raise ModelFailed(f"{name} cannot be loaded: its child left no plan") from error
