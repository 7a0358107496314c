"""What the terminal says about services that are still coming back."""

import threading
import time
from pathlib import Path

from runtime.returning import Returning
from runtime.stack import telling
from runtime.stack.telling import ReturnTeller


def save(path: Path, serving: int, *, coming_back: bool) -> None:
    Returning(135, serving, coming_back, time.time()).save(path)


def test_ready_says_what_is_still_coming_and_then_how_far_it_is(tmp_path: Path, monkeypatch):
    monkeypatch.setattr(telling, "_EVERY_S", 0.0)
    path, lines = tmp_path / "services.json", []
    teller = ReturnTeller(path, lines.append)
    save(path, 40, coming_back=True)
    assert teller.first(0) == "; 95 services coming back: 40 of 135 serve"
    teller.tell()
    save(path, 134, coming_back=True)
    teller.tell()
    save(path, 135, coming_back=False)
    teller.tell()
    teller.tell()
    assert lines == [
        "services   1 services coming back: 134 of 135 serve",
        "services   all 135 services serve",
    ]


def test_the_first_words_are_waited_for_and_none_are_said_without_services(tmp_path: Path):
    path = tmp_path / "services.json"
    later = threading.Timer(0.3, Returning(0, 0, coming_back=False, at=time.time()).save, [path])
    later.start()
    assert ReturnTeller(path, print).first(30) == ""
    later.join()
    path.unlink()
    assert ReturnTeller(path, print).first(0) == ""
