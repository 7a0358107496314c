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


def without_answer(settings: Settings, message: str) -> str:
    """The error of a command without a database: most often the stack is not up."""
    if settings.database_url.get_secret_value() or settings.mode is not Mode.EMBEDDED:
        return message
    return f"{message}: the embedded stack on {settings.data_dir} is not up; start it with `make up`"
