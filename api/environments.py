"""Where an environment is reached."""

from domain.lifecycle import EnvironmentName
from runtime.settings import Settings
from storage.models import Organization, Project


def environment_host(settings: Settings, organization: Organization, project: Project, name: EnvironmentName) -> str:
    """`{environment}.{project}.{organization}.{suffix}`; stored when the environment is made, and then for ever."""
    return f"{name}.{project.host_label}.{organization.host_label}.{settings.host_suffix}"
