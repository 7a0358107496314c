"""A headless chromium, spoken to over a pipe (its DevTools protocol): opens pages, waits for words, takes pictures."""

import base64
import json
import os
import shutil
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from select import select
from typing import Any

WIDTH, HEIGHT = 1280, 800
PAGE_SECONDS = 30.0
STILL_SECONDS = 6.0
ANSWER_SECONDS = 20.0
END_SECONDS = 10.0
_CHUNK = 1 << 16
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SWITCHES = (
    *("--headless", "--disable-gpu", "--disable-quic", "--no-first-run", "--hide-scrollbars", "--mute-audio"),
    *("--disable-background-networking", "--disable-component-update", "--disable-sync", "--disable-dev-shm-usage"),
    # Pages must work without the internet, so here there is none.
    "--host-resolver-rules=MAP * ~NOTFOUND , EXCLUDE 127.0.0.1 , EXCLUDE *.localhost",
    "--remote-debugging-pipe",
)


class BrowserError(Exception):
    """The browser did not do what was asked; the message says what, and what the page showed."""


def find_chromium() -> str:
    """The browser's program; raises `BrowserError` with what to install when there is none."""
    found = next(filter(None, map(shutil.which, _NAMES)), None)
    if found is None:
        raise BrowserError(f"no {_NAMES[0]} on this machine: install it (Debian: apt install chromium) and try again")
    return found


@contextmanager
def chromium(profile: Path) -> Iterator["Page"]:
    """A browser with one page, gone at the end. `profile`: a folder of its own, made new."""
    to_browser, from_us = os.pipe()
    from_browser, to_us = os.pipe()
    # It reads commands on descriptor 3 and writes answers to descriptor 4.
    wiring = 'exec 3<&"$1" 4>&"$2"; shift 2; exec "$@"'
    switches = [*_SWITCHES, f"--user-data-dir={profile}", f"--window-size={WIDTH},{HEIGHT}"]
    if os.geteuid() == 0:
        switches.append("--no-sandbox")  # chromium refuses to run as root with it
    child = subprocess.Popen(
        ["/bin/bash", "-c", wiring, "chromium", str(to_browser), str(to_us), find_chromium(), *switches, "about:blank"],
        pass_fds=(to_browser, to_us),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(to_browser)
    os.close(to_us)
    try:
        yield Page(_Pipe(from_browser, from_us))
    finally:
        os.close(from_us)  # the browser goes when nobody speaks to it
        os.close(from_browser)
        _end(child)


def _end(child: subprocess.Popen[bytes]) -> None:
    try:
        child.wait(END_SECONDS)
    except subprocess.TimeoutExpired:
        os.killpg(child.pid, 9)
        child.wait()


class _Pipe:
    """Commands and their answers: JSON, each ended by a zero byte."""

    def __init__(self, reading: int, writing: int) -> None:
        self._reading = reading
        self._writing = writing
        self._rest = b""
        self._number = 0

    def ask(self, method: str, parameters: dict[str, Any], session: str | None) -> dict[str, Any]:
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        if session:
            message["sessionId"] = session
        os.write(self._writing, json.dumps(message).encode() + b"\0")
        deadline = time.monotonic() + ANSWER_SECONDS
        while True:
            answer = self._next(deadline)
            if answer.get("id") == self._number:
                break
        if "error" in answer:
            raise BrowserError(f"{method}: {answer['error']}")
        result: dict[str, Any] = answer["result"]
        return result

    def _next(self, deadline: float) -> dict[str, Any]:
        while b"\0" not in self._rest:
            if not select([self._reading], [], [], max(0.0, deadline - time.monotonic()))[0]:
                raise BrowserError(f"chromium did not answer within {ANSWER_SECONDS:g} s")
            chunk = os.read(self._reading, _CHUNK)
            if not chunk:
                raise BrowserError("chromium ended; start it by hand to see why")
            self._rest += chunk
        line, self._rest = self._rest.split(b"\0", 1)
        answer: dict[str, Any] = json.loads(line)
        return answer


class Page:
    """One tab of `WIDTH` x `HEIGHT` pixels."""

    def __init__(self, pipe: _Pipe) -> None:
        self._pipe = pipe
        self._session: str | None = None
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        self._ask("Page.enable")
        self.resize(HEIGHT)

    def resize(self, height: int) -> None:
        """Change the height of the window."""
        size = {"width": WIDTH, "height": height, "deviceScaleFactor": 1, "mobile": False}
        self._ask("Emulation.setDeviceMetricsOverride", **size)

    def open(self, url: str, *words: str) -> None:
        """Go there and wait until the page shows all of the words."""
        self._ask("Page.navigate", url=url)
        self.await_words(*words)

    def remember(self, script: str) -> None:
        """Run a script before every page from now on, for instance to set what it keeps in the browser."""
        self._ask("Page.addScriptToEvaluateOnNewDocument", source=script)

    def await_words(self, *words: str) -> None:
        """Wait until the page shows all of the words; raises `BrowserError` with what it shows instead."""
        deadline = time.monotonic() + PAGE_SECONDS
        while missing := [word for word in words if word.lower() not in self.text().lower()]:
            if time.monotonic() > deadline:
                raise BrowserError(f"the page does not show {missing} but:\n{self.text()[:2000]}")
            time.sleep(0.1)

    def click(self, words: str) -> None:
        """Click the link or button that says exactly these words; raises `BrowserError` when there is none."""
        named = f"[...document.querySelectorAll('a,button')].find(e => e.innerText.trim() === {json.dumps(words)})"
        if not self.run(f"(e => e ? (e.click(), true) : false)({named})"):
            raise BrowserError(f"nothing to click says {words!r} on:\n{self.text()[:2000]}")

    def text(self) -> str:
        """What the page says, with the frames in it that it may read."""
        frames = "[...document.querySelectorAll('iframe')].map(f => f.contentDocument?.body?.innerText ?? '')"
        return str(self.run(f"document.body ? [document.body.innerText, ...{frames}].join('\\n') : ''"))

    def run(self, script: str) -> Any:
        """Run a script on the page; returns what it returns."""
        answer = self._ask("Runtime.evaluate", expression=script, returnByValue=True, awaitPromise=True)
        return answer["result"].get("value")

    def picture(self, file: Path) -> None:
        """Write what is seen as PNG: once two in a row are the same, or after some seconds (clocks never rest)."""
        deadline = time.monotonic() + STILL_SECONDS
        before, now = "", self._capture()
        while before != now and time.monotonic() < deadline:
            time.sleep(0.25)
            before, now = now, self._capture()
        file.write_bytes(base64.b64decode(now))

    def _capture(self) -> str:
        return str(self._ask("Page.captureScreenshot", format="png", optimizeForSpeed=False)["data"])

    def _ask(self, method: str, **parameters: Any) -> dict[str, Any]:
        return self._pipe.ask(method, parameters, self._session)
