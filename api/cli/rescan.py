"""`python -m api.cli rescan`: compare what is live with today's advisories now, not only when it is due."""

import argparse
import asyncio
import sys

from domain.errors import DeliveryError
from orchestration.connection import Connection
from orchestration.rescans import Rescans
from runtime.settings import get_settings


def main() -> int:
    """Entry point; the exit status is for the shell."""
    argparse.ArgumentParser(prog="python -m api.cli rescan", description=__doc__).parse_args()
    try:
        asyncio.run(Rescans(Connection(get_settings())).start_now())
    except DeliveryError as error:
        sys.stderr.write(f"{error.message}\n")
        return 1
    sys.stdout.write("a re-scan was started, unless one is running: see the workflows of type Rescan\n")
    return 0
