"""Which database a command that is run by hand works on."""

from domain.errors import DependencyError
from runtime.settings import Mode, Settings
from runtime.stack.composition import Composition
from runtime.stack.layout import Layout


def database_url(settings: Settings) -> str:
    """That of the settings; without one, that of the stack on the data folder.

    Raises:
        DependencyError: there is neither.
    """
    given = settings.database_url.get_secret_value()
    if given or settings.mode is Mode.EMBEDDED:
        return given or Composition(settings, Layout.make(settings), {}).postgres.url()
    raise DependencyError("DELIVERY_DATABASE_URL is not set: it names the database to work on")
