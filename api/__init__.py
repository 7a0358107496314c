"""The HTTP API."""

import os

# FastAPI loads the propagators that this variable names, and does not start if one is missing. Many clusters set it for
# all of their programs; we only read `traceparent` (api/http/request_traces.py).
os.environ.pop("OTEL_PROPAGATORS", None)
