"""Receives webhooks, and shows those that are ours: `WEBHOOK_SECRET=whsec_... python webhook_receiver.py PORT`."""

import os
import sys
from http.server import BaseHTTPRequestHandler, HTTPServer

from ai_agents import WebhookVerificationError, webhooks

MOST_BYTES = 1024 * 1024


class Receiver(BaseHTTPRequestHandler):
    def do_POST(self) -> None:
        length = int(self.headers.get("Content-Length") or 0)
        body = self.rfile.read(length) if length <= MOST_BYTES else b""
        try:
            event = webhooks.verify(body, dict(self.headers), os.environ["WEBHOOK_SECRET"])
        except WebhookVerificationError as error:
            sys.stderr.write(f"refused: {error}\n")
            self.send_error(400)
            return
        sys.stdout.write(f"{event.event} {event.event_id}\n")  # seen before: a duplicate
        sys.stdout.flush()
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None: ...


if __name__ == "__main__":
    HTTPServer(("127.0.0.1", int(sys.argv[1])), Receiver).serve_forever()
