"""The HTTP API."""

import os

# FastAPI loads the propagators that this variable names, and does not start without them. Many clusters set it for all
# of their programs; we read `traceparent` alone (api/http/request_traces.py).
os.environ.pop("OTEL_PROPAGATORS", None)
