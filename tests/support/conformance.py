"""Runners of the conformance suite for tests: of each language whose tools are on this machine."""

from collections.abc import Sequence
from typing import Final

import pytest

from sdks.conformance.play import Stage
from sdks.conformance.runners import languages
from sdks.conformance.scenario import Scenario, load

# Python's runs in `make test`; the others are built first, which takes long.
OTHERS: Final = ("go", "java", "typescript")
SCENARIOS: Final = load()


def wanted(*, stack: bool) -> list[object]:
    """Parameters `language` and `scenario`: those that need the stack, or the others."""
    found = [one for one in SCENARIOS if one.stack is stack]
    return [*_of("python", found), *(one for language in OTHERS for one in _of(language, found, deep=True))]


def _of(language: str, scenarios: Sequence[Scenario], *, deep: bool = False) -> list[object]:
    return [
        pytest.param(language, one, id=f"{language}-{one.name}", marks=[pytest.mark.deep] * (deep or not one.quick))
        for one in scenarios
    ]


class Stages:
    """Runners that are built and started when they are asked for."""

    def __init__(self) -> None:
        self._there = {one.name: one for one in languages()}
        self._stages: dict[str, Stage] = {}

    def of(self, language: str) -> Stage:
        """The runner of a language; skips the test, loudly, where its tools are missing."""
        if language not in self._stages:
            found = self._there.get(language)
            if found is None:
                pytest.fail(f"there is no sdks/{language}/conformance/command.json")
            if found.missing:
                pytest.skip(f"NOT TESTED: {language}: not on this machine: {', '.join(found.missing)}")
            found.prepare()
            self._stages[language] = Stage(found)
        return self._stages[language]

    def close(self) -> None:
        """End them all."""
        for stage in self._stages.values():
            stage.close()
