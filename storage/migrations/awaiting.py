"""Wait for the schema: a process may be started while the database comes up, or is being migrated."""

import time

from sqlalchemy import create_engine
from sqlalchemy.exc import OperationalError
from sqlalchemy.pool import NullPool

from domain.errors import DependencyError
from storage.migrations.runner import current, head

_POLL_S = 0.1


def await_schema(url: str, limit_s: float) -> None:
    """Return once the database at `url` is at the revision this code knows.

    Args:
        limit_s: seconds to wait; 0 does not look at all.

    Raises:
        DependencyError: it was not in time; the message says what was found last.
    """
    if not limit_s:
        return
    deadline, wanted = time.monotonic() + limit_s, head()
    engine = create_engine(url, poolclass=NullPool, connect_args={"connect_timeout": 5}, hide_parameters=True)
    while True:
        try:
            with engine.connect() as connection:
                found = current(connection)
        except OperationalError:
            why_not = "the database does not answer"
        else:
            if found == wanted:
                return
            why_not = f"its schema is at {found}, this code needs {wanted}: run python -m storage.migrations"
        if time.monotonic() > deadline:
            raise DependencyError(f"waited {limit_s:.0f} s for the database: {why_not}")
        time.sleep(_POLL_S)
