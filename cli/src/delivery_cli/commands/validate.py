"""`delivery validate`: is delivery.yaml right?"""

from pathlib import Path
from typing import Annotated

import typer

from delivery_cli.command import command
from delivery_cli.exits import Exit
from delivery_cli.faults import UsageFault
from delivery_cli.run import Run


@command("validate", "delivery validate", "delivery validate services/api/delivery.yaml --json line,key,message")
def validate(
    run: Run,
    file: Annotated[Path | None, typer.Argument(help="The file, or its folder. Else that of the checkout.")] = None,
) -> int:
    """Check delivery.yaml; name line and key of each fault

    Needs no server. Exit code 2 if there are faults.
    """
    from delivery_cli.repository.checks import check

    path = _path(run, file)
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise UsageFault(f"cannot read {path}: {error}") from error
    procfile = path.with_name("Procfile")
    faults = check(text, procfile.read_text(errors="replace") if procfile.is_file() else None)
    rows = [
        {"file": path.name, "line": one.line, "column": one.column, "key": one.key, "message": one.message}
        for one in faults
    ]
    if run.out.as_json:
        run.out.answer(rows)
    else:
        for one in faults:
            key = f"{one.key}: " if one.key else ""
            run.out.line(f"{path.name}:{one.line}:{one.column}: {key}{one.message}")
        run.out.note(f"{path}: {'right' if not faults else f'{len(faults)} wrong'}")
    return Exit.USAGE if faults else Exit.DONE


def _path(run: Run, file: Path | None) -> Path:
    place = file or Path.cwd()
    if file is None and not any((place / name).exists() for name in ("delivery.yaml", "delivery.yml")):
        place = run.checkout.folder
    if not place.is_dir():
        return place
    for name in ("delivery.yaml", "delivery.yml"):
        if (place / name).exists():
            return place / name
    raise UsageFault(f"there is no delivery.yaml in {place}", "`delivery init` writes one")
