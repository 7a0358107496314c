"""Logs: JSON when not on a terminal, secrets never."""

import json
import subprocess
import sys

from runtime.logging import REDACTED, redact
from runtime.settings import ROOT

SPEAK = """
import logging
from runtime.logging import get_logger, setup_logging
setup_logging("INFO", service="api")
log = get_logger("part")
log.info("thing.happened", deployment_id="d1", weight=25, api_key="sk-live", nested={"Authorization": "Bearer x"})
log.debug("thing.hidden")
logging.getLogger("library").warning("old style %s", "postgresql://u:hunter2@h/db")
try:
    raise ValueError("connect to postgresql://u:hunter2@h/db")
except ValueError:
    log.exception("thing.failed")
"""


def test_events_are_json_lines_without_secrets():
    done = subprocess.run([sys.executable, "-c", SPEAK], cwd=ROOT, capture_output=True, text=True, check=True)
    first, second, third = (json.loads(line) for line in done.stderr.splitlines())
    assert (first["event"], first["weight"], first["service"], first["level"]) == ("thing.happened", 25, "api", "info")
    assert first["api_key"] == first["nested"]["Authorization"] == REDACTED
    assert second["event"] == f"old style postgresql://u:{REDACTED}@h/db"
    assert "ValueError" in third["exception"]
    assert "hunter2" not in done.stderr


BOTH_WAYS = """
from runtime.log_lines import LineLog
from runtime.logging import get_logger, setup_logging
setup_logging("INFO", service="api")
values = {"path": '/v1/"x" \u00e9\\ud800 http://u:hunter2@h/', "status": 200, "duration_ms": 1.5, "request_id": "r"}
get_logger("part").info("http.request", **values)
LineLog("part").info("http.request", **values)
setup_logging("WARNING", service="api")
LineLog("part").info("http.request", **values)
"""


def test_the_short_way_to_a_line_writes_what_the_long_one_does():
    done = subprocess.run([sys.executable, "-c", BOTH_WAYS], cwd=ROOT, capture_output=True, text=True, check=True)
    usual, short = (json.loads(line) for line in done.stderr.splitlines())
    assert len(usual.pop("timestamp")) == len(short.pop("timestamp")) == len("2026-01-01T00:00:00.000000Z")
    assert usual == short
    assert "hunter2" not in done.stderr


def test_every_secret_looking_key_is_redacted():
    secret = {"password": 1, "db_passwd": 1, "Token": 1, "client_secret": 1, "authorization": 1, "DATABASE_URL": 1}
    assert set(redact(None, "info", {**secret, "apikey": 1}).values()) == {REDACTED}


def test_plain_values_stay():
    event = {"event": "x", "items": [1, {"a": "b"}], "at": None}
    assert redact(None, "info", event) == event
