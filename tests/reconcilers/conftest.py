"""The environment and releases of the activities' tests."""

from tests.activities.conftest import *  # noqa: F403 - fixtures
