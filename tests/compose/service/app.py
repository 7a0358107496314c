"""A service that says its version, and what of the engine's parts it reaches."""

import json
import os
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

from reach import everything


class Answer(BaseHTTPRequestHandler):
    """GET only."""

    def do_GET(self) -> None:
        """`/reach` tries, everything else tells."""
        facts = (
            everything()
            if self.path == "/reach"
            else {"version": Path("VERSION").read_text().strip(), "uid": os.getuid()}
        )
        body = json.dumps(facts).encode()
        self.send_response(200)
        self.send_header("content-length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


ThreadingHTTPServer(("127.0.0.1", int(os.environ["PORT"])), Answer).serve_forever()
