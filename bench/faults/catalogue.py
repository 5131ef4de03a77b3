"""All faults: how each is injected, how often it is tried, and what it may cost."""

from __future__ import annotations

from bench.faults import (
    answers,
    changes,
    clients,
    cluster,
    disk,
    ends,
    limits,
    overload,
    store,
    threads,
)
from bench.faults.fault import Fault

REFUSED = 0
WHILE_DOWN = frozenset({REFUSED, 503})
FULL = frozenset({429, 503})
AWAY = frozenset({503})

FAULTS = (
    Fault("slowloris", clients.slowloris, "half heads and half bodies", 200, 900),
    Fault("idle connections", clients.idle, "sockets that say nothing", 1000, 1000),
    Fault("client gone", clients.gone, "FIN and RST in mid-request", 60, 600),
    Fault("queue full", overload.queue_full, "40 callers, 60 ms a run", 3, 20, frozenset({429})),
    Fault("deadline", overload.deadline, "150 ms each, 16 callers", 3, 20, frozenset({429, 504})),
    Fault("poison row", overload.poison, "rows that the model refuses", 3, 20),
    Fault("thread dies", threads.thread_dies, "an exception put into a thread", 1, 5, AWAY),
    Fault("part raises", threads.part_raises, "methods that raise when told to", 1, 5, AWAY),
    Fault("disk full", disk.disk_full, "see the row", 1, 3),
    Fault("read-only state", disk.read_only, "see the row", 1, 3),
    Fault("history locked", disk.history_locked, "BEGIN EXCLUSIVE by another process", 8, 60),
    Fault("history corrupt", disk.history_corrupt, "files damaged in between", 2, 12, WHILE_DOWN),
    Fault("cache truncated", disk.cache_truncated, "plans' files cut at every byte", 1, 5),
    Fault("hot swaps", changes.hot_swaps, "versions moved in under load", 1, 50),
    Fault("flush storm", changes.flushes, "flushes without pause", 3, 30),
    Fault("models flushed", changes.models_flushed, "the tier `models` flushed", 5, 50, AWAY),
    Fault("reload storm", changes.reloads, "loads without pause, two operators", 3, 30),
    Fault("corrupt model", changes.corrupt_model, "garbage as a new version", 4, 20),
    Fault("flat memory", changes.flat_memory, "500 reloads and 1,000 flushes", 1, 4),
    Fault("SIGTERM", ends.sigterm, "kill -TERM under load", 2, 20, WHILE_DOWN),
    Fault("SIGTERM twice", ends.sigterm_twice, "kill -TERM while it drains", 1, 10, WHILE_DOWN),
    Fault("kill -9", ends.kill_9, "kill -KILL at random under load", 3, 50, WHILE_DOWN),
    Fault("out of files", limits.out_of_files, "RLIMIT_NOFILE", 1, 10, FULL),
    Fault("no threads", limits.no_threads, "RLIMIT_NPROC, not as root", 1, 5, FULL),
    Fault("clock jumps", limits.clock_jumps, "`time.time` shifted in the process", 1, 5),
    Fault("distinct inputs", answers.distinct_inputs, "200 callers let go together", 3, 50),
    Fault("digest collision", answers.same_digests, "BLAKE2b replaced by a constant", 4, 30),
    Fault("Ray away", cluster.ray_away, "kill -KILL of all its services", 1, 10),
    Fault("replica killed", cluster.replica_killed, "kill -KILL", 2, 20),
    Fault("Redis absent", store.absent, "started after the servers", 1, 10),
    Fault("Redis killed", store.killed, "kill -KILL, and a new one", 2, 20),
    Fault("Redis slow", store.slow, "kill -STOP", 2, 20),
    Fault("mutated results", answers.mutated_results, "a model and callers that write", 3, 20),
)
