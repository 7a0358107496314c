"""Lists the projects of an organization with what they require: `python projects.py ORGANIZATION`."""

import sys

from ai_agents import Client, NotFoundError


def main(org_id: str) -> int:
    with Client() as client:  # AI_AGENTS_BASE_URL and AI_AGENTS_API_KEY
        try:
            projects = client.projects.list(org_id=org_id, page_size=50)
        except NotFoundError as error:
            sys.stderr.write(f"{error.message} (request {error.request_id})\n")
            return 1
        for project in projects:
            sys.stdout.write(f"{project.name} ({project.status})\n")
            for requirement in client.requirements.list(project_id=project.id):
                sys.stdout.write(f"  {requirement.title}: {requirement.status}\n")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
