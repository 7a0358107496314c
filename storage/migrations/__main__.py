"""`python -m storage.migrations`: bring the database named by the settings to the newest schema."""

import sys

from sqlalchemy.exc import OperationalError

from runtime.settings import get_settings
from storage.migrations.runner import UnknownRevisionError, head, upgrade


def main() -> int:
    url = get_settings().database_url.get_secret_value()
    if not url:
        sys.stderr.write("DELIVERY_DATABASE_URL is not set: it names the database to migrate\n")
        return 2
    try:
        upgrade(url)
    except OperationalError as error:
        sys.stderr.write(f"the database could not be migrated: {error.orig}\n")
        return 1
    except UnknownRevisionError as error:
        sys.stderr.write(f"the database cannot be migrated: {error}\n")
        return 1
    sys.stdout.write(f"the database is at revision {head()}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main())
