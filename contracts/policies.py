"""Timeouts and retries by kind of activity. Seconds in names, `timedelta` in values."""

from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.common import RetryPolicy


def _retry() -> RetryPolicy:
    return RetryPolicy(
        initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
    )


@dataclass(frozen=True)
class Policy:
    """How long one attempt and all attempts together may take, and how to retry.

    `heartbeat`: the activity is long and cancellable; it counts as dead after this time without a heartbeat.
    """

    start_to_close: timedelta
    schedule_to_close: timedelta | None
    heartbeat: timedelta | None = None
    retry: RetryPolicy = field(default_factory=_retry)


# A short write or call. A dependency may be down for minutes, for example during a restart. The limit of one attempt is
# just above the database's own (15 s), since a worker's death is noticed only after it.
SHORT = Policy(start_to_close=timedelta(seconds=16), schedule_to_close=timedelta(minutes=30))

# Must happen eventually, whatever is down meanwhile: final records, releasing the lock, cleanup.
MUST_HAPPEN = Policy(start_to_close=timedelta(seconds=16), schedule_to_close=None)

# Removing a workspace takes as long as deleting its files.
CLEAN_UP = Policy(start_to_close=timedelta(minutes=2), schedule_to_close=timedelta(minutes=30))

# Moving traffic: the router may need to warm up clusters first.
TRAFFIC = Policy(start_to_close=timedelta(seconds=45), schedule_to_close=timedelta(minutes=15))

# Returning traffic from a version that users reach now. Records and routes change together: giving up half-way would
# leave the router out of step with the records, and the bad version with its traffic.
TRAFFIC_BACK = Policy(start_to_close=timedelta(seconds=45), schedule_to_close=None)

# Watching instances or draining them: bounded by the spec, heartbeats at least every ten seconds.
WATCH = Policy(
    start_to_close=timedelta(hours=2),
    schedule_to_close=timedelta(hours=4),
    heartbeat=timedelta(seconds=10),
)

# An analysis: at most a day (the spec's limit). Another worker resumes it from its stored state.
ANALYSIS = Policy(
    start_to_close=timedelta(hours=25), schedule_to_close=timedelta(hours=30), heartbeat=timedelta(seconds=10)
)

# Waiting for a build slot: at most a day. A worker with enough waiting builds of the organization sends others back to
# the queue. These retry with a backoff, since hundreds of them may wait.
BUILD_SLOT = Policy(
    start_to_close=timedelta(hours=24),
    schedule_to_close=timedelta(hours=24),
    heartbeat=timedelta(seconds=15),
    retry=RetryPolicy(
        initial_interval=timedelta(milliseconds=500), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=20)
    ),
)

# Fetching a source: it has its own limit; an unresponsive repository host is given up after two minutes.
FETCH = Policy(
    start_to_close=timedelta(minutes=30),
    schedule_to_close=timedelta(hours=6),
    heartbeat=timedelta(seconds=15),
    retry=RetryPolicy(
        initial_interval=timedelta(milliseconds=500),
        backoff_coefficient=2.0,
        maximum_interval=timedelta(seconds=30),
        maximum_attempts=10,
    ),
)

# A build step: it has its own limits; the heartbeat timeout is longer than a restart of the Temporal server.
BUILD = Policy(
    start_to_close=timedelta(hours=3),
    schedule_to_close=timedelta(hours=6),
    heartbeat=timedelta(seconds=15),
)

# The release command: it has its own limit (at most two hours) and continues while its worker is down.
RELEASE_COMMAND = Policy(
    start_to_close=timedelta(hours=3), schedule_to_close=timedelta(hours=6), heartbeat=timedelta(seconds=10)
)

# Comparing packages of some builds with advisories. A mirror or service that is away is asked again for hours; then
# the schedule's next run begins anew.
RESCAN = Policy(
    start_to_close=timedelta(minutes=30),
    schedule_to_close=timedelta(hours=6),
    heartbeat=timedelta(seconds=30),
    retry=RetryPolicy(
        initial_interval=timedelta(seconds=5), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=10)
    ),
)

# The worker with the workspace must pick up the next step within this time, else the group starts on another worker.
WORKSPACE_PICKUP = timedelta(seconds=60)

# A progress projection: best effort, since the next one contains everything again.
PROJECTION_LIMIT = timedelta(seconds=3)

# One more attempt of a webhook: 15 s for the receiver and some for the records, retried until it is recorded. Attempts
# to one endpoint wait for each other by retrying; the backoff keeps thousands of them from overloading Temporal.
WEBHOOK_ATTEMPT = Policy(
    start_to_close=timedelta(seconds=40),
    schedule_to_close=None,
    retry=RetryPolicy(
        initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=5)
    ),
)
