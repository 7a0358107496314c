"""`delivery init`: a delivery.yaml for the repository at hand."""

from pathlib import Path
from typing import Annotated

import typer

from delivery_cli.command import command
from delivery_cli.faults import UsageFault
from delivery_cli.run import Run


@command("init", "delivery init", "delivery init services/api --command 'exec ./server'", "delivery init --print")
def init(
    run: Run,
    folder: Annotated[
        Path | None, typer.Argument(help="The folder of the service. Else the top of the checkout.")
    ] = None,
    start: Annotated[
        str, typer.Option("--command", help="How the service is started, where the files do not tell.")
    ] = "",
    print_only: Annotated[bool, typer.Option("--print", help="Print it instead of writing it.")] = False,
    force: Annotated[bool, typer.Option("--force", help="Replace the file that is there.")] = False,
) -> None:
    """Write a commented delivery.yaml for the repository at hand

    Looks at its files (package.json, pyproject.toml, go.mod, Procfile, Makefile, ...) and asks nothing.
    """
    from dataclasses import replace

    from delivery_cli.repository.detect import detect
    from delivery_cli.repository.written import written

    place = (folder or run.checkout.folder).resolve()
    if not place.is_dir():
        raise UsageFault(f"{place} is no folder")
    found = detect(place)
    if start:
        found = replace(found, command=start, sure=True)
    text = written(found, place.name)
    target = place / "delivery.yaml"
    if not print_only:
        _write(target, text, force=force)
    answer = {
        "path": str(target),
        "language": found.language or None,
        "because": found.because,
        "command": found.command or None,
    }
    if print_only and not run.out.as_json:
        run.out.line(text.rstrip("\n"))
        return
    run.out.answer(answer, f"wrote {target}: {found.language or 'unknown'}, from {found.because}")
    if not found.command and "Procfile" not in found.because:
        run.out.note("say how the service is started: service.command in that file")
    elif not found.sure:
        run.out.note(f"is this how it is started? {found.command}")
    run.out.note("next: `delivery validate`, commit it, `delivery deploy --watch`")


def _write(target: Path, text: str, *, force: bool) -> None:
    other = target.with_name("delivery.yml")
    if not force and (there := next((one for one in (target, other) if one.exists()), None)):
        raise UsageFault(f"{there} is there already", "`delivery validate` checks it; --force replaces it")
    try:
        target.write_text(text, encoding="utf-8")
    except OSError as error:
        raise UsageFault(f"cannot write {target}: {error.strerror}") from error
