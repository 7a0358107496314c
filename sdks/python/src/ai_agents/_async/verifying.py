"""What `client.webhooks` has beside the API's own methods."""

from __future__ import annotations

from ai_agents._webhooks import verify


class AsyncVerifying:
    """Verifies what webhooks send, without asking the server."""

    verify = staticmethod(verify)
