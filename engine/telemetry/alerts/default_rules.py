"""The rules that apply until an operator writes others."""

from __future__ import annotations

DEFAULT_TOML = """\
# Alert rules. Each gives one alert for every severity that has a limit.
#   metric      a figure or gauge of docs/metrics.md
#   below       true: the limit is a floor
#   window      figures are of all requests within it; gauges are reduced over it (mean, max, last)
#   for         how long it must last before it fires
#   keep_firing how long it must be over before it resolves
#   unless_below of a floor: below that there is no data
#   min_requests below that there is no data, and no alert

[[rule]]
name = "response_time"
metric = "p95_ms"
warning = 100
critical = 500
window = "1m"
for = "10s"
keep_firing = "30s"
min_requests = 20
description = "95 % of the last minute's requests took at most this long"

[[rule]]
name = "memory"
metric = "memory_mb"
reduce = "last"
warning = 1000
critical = 2000
window = "10s"
for = "5s"
keep_firing = "10s"
action = "trim"
description = "resident memory of the process; caches are trimmed when it fires"

[[rule]]
name = "error_rate"
metric = "server_error_percent"
warning = 1
critical = 5
window = "1m"
for = "10s"
keep_firing = "30s"
min_requests = 20
description = "share of requests answered with 5xx"

[[rule]]
name = "hit_rate"
metric = "hit_percent"
below = true
warning = 70
unless_below = 1
window = "5m"
for = "5m"
min_requests = 1000
description = "share of cacheable requests found in a cache; below 1 % nothing repeats"

[[rule]]
name = "queue_saturation"
metric = "queue_used_percent"
reduce = "max"
warning = 80
critical = 99
window = "10s"
for = "10s"
keep_firing = "30s"
description = "the fullest of the bounded queues"

[[rule]]
name = "engine_thread_down"
metric = "threads_down"
reduce = "last"
critical = 0.5
window = "5s"
description = "threads of the engine that died in the last minute, or are not there"

[[rule]]
name = "shared_results_away"
metric = "shared_away"
reduce = "last"
warning = 0.5
window = "5s"
for = "10s"
keep_firing = "10s"
description = "Redis is set and not asked: it is away or slow, and each server computes alone"

[[rule]]
name = "recorder_dropping"
metric = "dropped_per_s"
reduce = "max"
warning = 0
window = "30s"
description = "requests that the recorder had no room for; counts are too low"

[[rule]]
name = "answers_differ"
metric = "audit_differing_rows"
reduce = "last"
critical = 0
window = "5s"
description = "rows served lately that differ from the model as it is; the Models page says whose"

[[rule]]
name = "plan_slower"
metric = "audit_speed_percent"
below = true
reduce = "last"
warning = 50
window = "5s"
keep_firing = "30s"
description = "a form runs at less than half of its planned speed; the Models page says whose"

[[slo]]
name = "availability"
kind = "availability"
objective_percent = 99.9
window = "30d"
min_requests = 100

[[slo]]
name = "latency"
kind = "latency"
objective_percent = 99
threshold_ms = 100
window = "30d"
min_requests = 100
"""
