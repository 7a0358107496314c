"""Timeouts and retries, by what an activity does. Seconds in names, `timedelta` in values."""

from dataclasses import dataclass, field
from datetime import timedelta

from temporalio.common import RetryPolicy


def _retry() -> RetryPolicy:
    return RetryPolicy(
        initial_interval=timedelta(milliseconds=200), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=10)
    )


@dataclass(frozen=True)
class Policy:
    """How long one attempt and all attempts together may take, and how to try again.

    `heartbeat` set means: long, cancellable, and dead when silent for so long.
    """

    start_to_close: timedelta
    schedule_to_close: timedelta | None
    heartbeat: timedelta | None = None
    retry: RetryPolicy = field(default_factory=_retry)


# A short write or call; a dependency may be away for minutes, e.g. while it is restarted. One attempt gets little more
# than the database's own limit (15 s): so long nobody notices that the worker with it has died.
SHORT = Policy(start_to_close=timedelta(seconds=16), schedule_to_close=timedelta(minutes=30))

# What must happen in the end, whatever is down meanwhile: final records, giving back the lock, cleaning up.
MUST_HAPPEN = Policy(start_to_close=timedelta(seconds=16), schedule_to_close=None)

# Removing a workspace: as long as its files take.
CLEAN_UP = Policy(start_to_close=timedelta(minutes=2), schedule_to_close=timedelta(minutes=30))

# Moving traffic: the router may need to warm up clusters first.
TRAFFIC = Policy(start_to_close=timedelta(seconds=45), schedule_to_close=timedelta(minutes=15))

# Taking back what users meet now: its records change with the routes, so that giving up half-way would leave the router
# behind them, and a bad version with the traffic, for good.
TRAFFIC_BACK = Policy(start_to_close=timedelta(seconds=45), schedule_to_close=None)

# Watching instances or draining: as long as the spec says (bounded by it), silent at most ten seconds.
WATCH = Policy(
    start_to_close=timedelta(hours=2),
    schedule_to_close=timedelta(hours=4),
    heartbeat=timedelta(seconds=10),
)

# An analysis: a day at most (the spec's limit), gone on with by another worker from its stored state.
ANALYSIS = Policy(
    start_to_close=timedelta(hours=25), schedule_to_close=timedelta(hours=30), heartbeat=timedelta(seconds=10)
)

# Waiting for a build slot: a day at most. A worker where enough builds of the organization wait sends others back to
# the queue; they come again more and more seldom, since six hundred of them are no news.
BUILD_SLOT = Policy(
    start_to_close=timedelta(hours=24),
    schedule_to_close=timedelta(hours=24),
    heartbeat=timedelta(seconds=15),
    retry=RetryPolicy(
        initial_interval=timedelta(milliseconds=500), backoff_coefficient=2.0, maximum_interval=timedelta(seconds=20)
    ),
)

# Fetching a source: its own limit is inside; a repository host that does not answer is given up after two minutes.
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

# A build step: limits of its own inside; the heartbeat timeout outlives a restart of the Temporal server.
BUILD = Policy(
    start_to_close=timedelta(hours=3),
    schedule_to_close=timedelta(hours=6),
    heartbeat=timedelta(seconds=15),
)

# The release command: its own limit (two hours at most) is inside, and it goes on while its worker is away.
RELEASE_COMMAND = Policy(
    start_to_close=timedelta(hours=3), schedule_to_close=timedelta(hours=6), heartbeat=timedelta(seconds=10)
)

# The worker that holds the workspace must pick up the next step within this time, else the group starts elsewhere.
WORKSPACE_PICKUP = timedelta(seconds=60)

# A projection of progress: best effort, the next one carries everything again.
PROJECTION_LIMIT = timedelta(seconds=3)

# One more attempt of a webhook: 15 s for the receiver and some for the records; tried until somebody records it. Those
# of one endpoint wait for each other by trying again; thousands, each every ten seconds, would be all Temporal can do.
WEBHOOK_ATTEMPT = Policy(
    start_to_close=timedelta(seconds=40),
    schedule_to_close=None,
    retry=RetryPolicy(
        initial_interval=timedelta(seconds=1), backoff_coefficient=2.0, maximum_interval=timedelta(minutes=5)
    ),
)
