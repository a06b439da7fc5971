"""What /metrics shows; every figure has a help text."""

from prometheus_client import CollectorRegistry, Counter, Gauge, ProcessCollector

from server.frames import JSON, MSGPACK
from server.tallies import Spreads, Tallies

REGISTRY = CollectorRegistry()
ProcessCollector(registry=REGISTRY)

COMMANDS = Tallies(
    "atrium_commands", "Commands answered, by name and outcome (ok or the error code).", ["name", "outcome"],
    registry=REGISTRY,
)  # fmt: skip
LATENCY = Spreads(
    "atrium_call_seconds", "Time from receiving a call to answering it (seconds).", ["kind"],
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10), registry=REGISTRY,
)  # fmt: skip
DELIVERIES = Tallies("atrium_deliveries", "Events handed to members' connections.", (), REGISTRY)
REPEATS = Counter(
    "atrium_repeated_batches", "Batches heard that had been delivered already.", registry=REGISTRY
)
FILLS = Counter("atrium_holes_filled", "Times that missing events were read from the log.", registry=REGISTRY)
RESYNCS = Counter(
    "atrium_resyncs", "Members told to join again because they could not keep up.", registry=REGISTRY
)
SIGNALS_DROPPED = Counter(
    "atrium_signals_dropped", "Signals that slow members did not get.", registry=REGISTRY
)
EPOCHS = Counter(
    "atrium_epochs_changed", "Rooms whose history turned out to be another one.", registry=REGISTRY
)
ALARMS = Counter(
    "atrium_alarms", "Alarms that were due, by command and outcome: sent, postponed, failed, asleep, gone or dropped.",
    ["name", "outcome"], registry=REGISTRY,
)  # fmt: skip
JOINS = Counter(
    "atrium_joins", "Rooms entered, by how that was answered: snapshot, events or current.", ["mode"],
    registry=REGISTRY,
)  # fmt: skip
MEMBERS = Gauge(
    "atrium_room_members", "Members of rooms on this node, one for each room that a connection is in.",
    ["state"], registry=REGISTRY,
)  # fmt: skip
BEHIND = Gauge(
    "atrium_rooms_behind", "Rooms whose events are being read from the log, for the bus left a hole.",
    registry=REGISTRY,
)  # fmt: skip
UNSENT = Gauge(
    "atrium_unsent_bytes", "Bytes that clients have not taken yet, of all connections and of the slowest.",
    ["of"], registry=REGISTRY,
)  # fmt: skip
LOOP_LAG = Gauge(
    "atrium_loop_lag_seconds",
    "How late the event loop was, at worst, in the ten seconds before; looked at four times a second.",
    registry=REGISTRY,
)
OUTBOX = Gauge(
    "atrium_bus_outbox", "Messages that wait to be published; 20,000 at most are kept, and 64 MiB of them.",
    registry=REGISTRY,
)  # fmt: skip
CANARY_AGE = Gauge(
    "atrium_bus_silence_seconds", "Time since this node last heard itself through the bus; 0 without one.",
    registry=REGISTRY,
)  # fmt: skip
CONNECTIONS = Gauge("atrium_connections", "Open Socket.IO connections.", ["format"], registry=REGISTRY)
for codec in (JSON, MSGPACK):
    CONNECTIONS.labels(codec.name)  # 0 of a format is a figure too
ROOMS = Gauge("atrium_rooms", "Rooms with members on this node.", registry=REGISTRY)
QUEUED = Gauge("atrium_queued_commands", "Commands waiting in the queues of their rooms.", registry=REGISTRY)
GROUPS = Spreads(
    "atrium_group_commands", "Commands that shared a transaction.", buckets=(1, 2, 5, 10, 20, 50, 100),
    registry=REGISTRY,
)  # fmt: skip
TRANSACTIONS = Spreads(
    "atrium_transaction_seconds",
    "Time from asking for a room's lock to the end of the transaction that applies a group of commands (seconds).",
    buckets=(0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10), registry=REGISTRY,
)  # fmt: skip
POOL_WAITING = Gauge(
    "atrium_pool_waiting", "Transactions that wait for a connection to Postgres.", registry=REGISTRY
)
BUILD = Gauge(
    "atrium_build", "1; its labels say what runs here, and how events leave.", ["version", "python", "fan_out"],
    registry=REGISTRY,
)  # fmt: skip
BUS_HEALTHY = Gauge(
    "atrium_bus_healthy", "1 while messages come back from the bus, else 0.", registry=REGISTRY
)
POOL_SIZE = Gauge(
    "atrium_pool_connections", "Connections to Postgres, by state.", ["state"], registry=REGISTRY
)
LIMITED = Counter(
    "atrium_rate_limited",
    "Calls refused because a budget was used up, by budget.",
    ["budget"],
    registry=REGISTRY,
)
LIMITS_SHARED = Gauge(
    "atrium_limits_shared",
    "1 while budgets count the calls of all nodes, 0 while of this one alone.",
    registry=REGISTRY,
)


def transacted(commands: int, seconds: float) -> None:
    """Note a group of commands that one transaction has applied."""
    GROUPS.observe(commands)
    TRANSACTIONS.observe(seconds)
