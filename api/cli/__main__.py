"""`python -m api.cli COMMAND ...`: commands for administrators.

Each command is a module with a `main`; `python -m api.cli COMMAND --help` lists its arguments. Commands use the
database and the keys of the settings.
"""

import importlib
import sys

COMMANDS = {
    "bootstrap-admin": ("api.cli.bootstrap_admin", "the first platform admin, or a new password for one"),
    "accounts": ("api.cli.accounts", "disable, enable, or a new password for somebody"),
    "signing-keys": ("api.cli.signing_keys", "list, rotate, drop the signing keys of access tokens"),
    "attestation-keys": ("storage.attestation_keys", "list, rotate, revoke the keys that sign provenance"),
    "rescan": ("api.cli.rescan", "compare what is live with today's advisories now"),
    "audit-chain": ("storage.audit_chain", "whether anybody changed the audit log"),
    "reseal": ("storage.reseal", "encrypt what is stored with the newest key"),
    "roles-page": ("api.cli.roles_page", "write docs/roles.md anew (for developers)"),
}


def main(arguments: list[str]) -> int:
    """The exit status is the command's; 2: no such command."""
    name, rest = (arguments[0], arguments[1:]) if arguments else ("", [])
    if name not in COMMANDS:
        fault = f"there is no command {name!r}" if name and not name.startswith("-") else "name a command"
        sys.stderr.write(f"{fault}; there are:\n")
        for command, (_, words) in COMMANDS.items():
            sys.stderr.write(f"  {command:<16} {words}\n")
        return 0 if name in {"-h", "--help"} else 2
    module = importlib.import_module(COMMANDS[name][0])
    sys.argv = [f"python -m api.cli {name}", *rest]
    status: int = module.main()
    return status


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
