"""The metrics of all processes, defined once; names follow Prometheus' conventions."""

from __future__ import annotations

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

REGISTRY = CollectorRegistry()

_SECONDS = (0.005, 0.025, 0.1, 0.5, 1, 2.5, 5, 10, 30, 60, 300, 1800, 7200)

ACCEPTED = Counter(
    "penstock_requests_accepted", "Requests made durable", ["model", "priority"], registry=REGISTRY
)
REFUSED = Counter(
    "penstock_requests_refused", "Requests refused at a door", ["code"], registry=REGISTRY
)
FINISHED = Counter(
    "penstock_requests_finished", "Requests ended here", ["model", "status"], registry=REGISTRY
)
RETRIED = Counter(
    "penstock_retries",
    "Failed attempts that another one follows, by the class of the failure",
    ["model", "failure"],
    registry=REGISTRY,
)
RETRIES_DELAYED = Counter(
    "penstock_retries_delayed",
    "Retries that wait longer because the backend has had its share of them",
    ["backend"],
    registry=REGISTRY,
)
PARKED = Counter(
    "penstock_parked",
    "Requests sent back until a limit lets them start",
    ["model"],
    registry=REGISTRY,
)
ATTEMPTS = Counter(
    "penstock_attempts", "Calls to a backend", ["backend", "outcome"], registry=REGISTRY
)
REPLICA_LIMIT = Gauge(
    "penstock_replica_limit",
    "Calls that this process may have open on a replica, found out by adaptive concurrency",
    ["backend", "replica"],
    registry=REGISTRY,
)
REPLICA_WAITS = Counter(
    "penstock_replica_waits",
    "Calls that had to wait because no replica could take one",
    ["backend"],
    registry=REGISTRY,
)
RUNNING = Gauge("penstock_running", "Requests in the hands of this process", registry=REGISTRY)
WAIT_SECONDS = Histogram(
    "penstock_wait_seconds",
    "From acceptance to the start of the first attempt",
    ["model", "priority"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
CALL_SECONDS = Histogram(
    "penstock_call_seconds",
    "One call to a backend",
    ["backend"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
SUBMITTED = Counter(
    "penstock_amqp_submissions",
    "Messages of AMQP clients: accepted, repeated, refused, cancel, set_aside",
    ["outcome"],
    registry=REGISTRY,
)
REPLIES = Counter(
    "penstock_amqp_replies",
    "Messages to AMQP clients: sent, or why nobody took it",
    ["outcome"],
    registry=REGISTRY,
)
FIRST_TOKEN_SECONDS = Histogram(
    "penstock_first_token_seconds",
    "From acceptance to the first event of a stream",
    ["model", "priority"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
BACKEND_FIRST_TOKEN_SECONDS = Histogram(
    "penstock_backend_first_token_seconds",
    "From the call of a backend to the first event of its stream",
    ["backend"],
    buckets=_SECONDS,
    registry=REGISTRY,
)
INTER_TOKEN_SECONDS = Histogram(
    "penstock_inter_token_seconds",
    "Between two events of a backend's stream",
    ["backend"],
    buckets=(0.001, 0.005, 0.01, 0.02, 0.03, 0.05, 0.075, 0.1, 0.2, 0.5, 1, 2.5, 10, 60),
    registry=REGISTRY,
)
BATCHES_RUNNING = Gauge(
    "penstock_batches_running", "Batches that this process runs", registry=REGISTRY
)
BATCH_LINES_FED = Counter(
    "penstock_batch_lines_fed", "Lines of batches put into the queues", registry=REGISTRY
)
BATCH_LINES_ENDED = Counter(
    "penstock_batch_lines_ended",
    "Lines written to the files of their batches",
    ["status"],
    registry=REGISTRY,
)
BATCH_PARTS = Counter(
    "penstock_batch_parts",
    "Pieces of batches' files stored: output or errors",
    ["file"],
    registry=REGISTRY,
)
KEEPER_MOVES = Counter(
    "penstock_keeper_moves", "What the keeper did, by move", ["move"], registry=REGISTRY
)
WEBHOOK_ATTEMPTS = Counter(
    "penstock_webhook_attempts",
    "Attempts to deliver a webhook: delivered, retried, failed or dropped",
    ["outcome"],
    registry=REGISTRY,
)
WEBHOOK_PUSH_SECONDS = Histogram(
    "penstock_webhook_push_seconds",
    "From the end of a request to the delivery of its event",
    buckets=_SECONDS,
    registry=REGISTRY,
)
CONFIG_RELOADS = Counter(
    "penstock_config_reloads",
    "Configurations read while running: applied, refused or failed",
    ["outcome"],
    registry=REGISTRY,
)
CONFIG_LOADED_AT = Gauge(
    "penstock_config_loaded_timestamp_seconds",
    "When the configuration in use was taken over, in Unix seconds",
    registry=REGISTRY,
)
