"""The runner of the conformance suite (sdks/conformance/PROTOCOL.md); `--async` runs the asyncio twin.

Both speak to one interface: what the async twin gives is awaited on one event loop in a thread of its own.
"""

import asyncio
import inspect
import io
import json
import logging
import sys
import threading
import warnings
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime
from itertools import islice
from typing import Any

import ai_agents
from ai_agents import AIAgentsError, AsyncClient, Client, webhooks

Json = dict[str, Any]
LIMIT_S = 600.0
NAMES = {"extra_headers": "default_headers"}


class Loop:
    """What the async twin gives, awaited; a plain value as it is."""

    def __init__(self) -> None:
        self._loop = asyncio.new_event_loop()
        threading.Thread(target=self._loop.run_forever, daemon=True).start()

    def done(self, value: Any) -> Any:
        if not inspect.isawaitable(value):
            return value

        async def awaited() -> Any:
            return await value

        return asyncio.run_coroutine_threadsafe(awaited(), self._loop).result(LIMIT_S)

    def items(self, lines: Any, limit: int | None) -> list[Any]:
        if not hasattr(lines, "__aiter__"):
            found = list(islice(lines, limit))
            if hasattr(lines, "close"):
                lines.close()
            return found

        async def collected() -> list[Any]:
            found: list[Any] = []
            if limit != 0:
                async for one in lines:
                    found.append(one)
                    if len(found) == limit:
                        break
            if hasattr(lines, "close"):
                await lines.close()
            return found

        return asyncio.run_coroutine_threadsafe(collected(), self._loop).result(LIMIT_S)


class Runner:
    """Does what it is told, and says what came of it."""

    def __init__(self, *, is_async: bool) -> None:
        self._is_async = is_async
        self._loop = Loop()
        self._clients: dict[str, Any] = {}
        self._kept: dict[str, Any] = {}
        self._warned: list[str] = []
        self._logs = io.StringIO()
        log = logging.getLogger("ai_agents")
        log.setLevel(logging.DEBUG)
        log.addHandler(logging.StreamHandler(self._logs))
        warnings.simplefilter("always")
        warnings.showwarning = lambda message, *_, **__: self._warned.append(str(message))

    def answer(self, command: Json) -> Json:
        try:
            return {"ok": True, **getattr(self, f"do_{command['do']}")(command)}
        except Exception as error:  # noqa: BLE001 - the suite is told
            return {"ok": False, "error": told(error)}

    def do_hello(self, _: Json) -> Json:
        return {"language": "python-async" if self._is_async else "python", "version": ai_agents.__version__}

    def do_client(self, command: Json) -> Json:
        options = {NAMES.get(name, name): value for name, value in command["options"].items()}
        options.pop("from_environment", None)
        if text := options.pop("token_function", None):
            options["token"] = lambda: text
        made: Callable[..., Any] = AsyncClient if self._is_async else Client
        self._clients[command["name"]] = made(**options)
        return {}

    def do_call(self, command: Json) -> Json:
        return self._shown(self._loop.done(self._called(command)))

    def _called(self, command: Json, *, follow: bool = False, is_raw: bool = False) -> Any:
        resource, _, name = command["method"].partition(".")
        found = getattr(self._clients[command["client"]], resource)
        arguments = dict(command.get("arguments", {}))
        if arguments.pop("follow", False) or follow:
            name = name if name in {"events", "export", "export_platform"} else f"follow_{name}"
        found = found.with_raw_response if is_raw else found
        return getattr(found, name)(**arguments, **command.get("options", {}))

    def _shown(self, value: Any) -> Json:
        if hasattr(value, "has_next_page"):
            data = {"data": plain(value.data), "has_next_page": value.has_next_page, "total": value.total}
            return {"value": data, "page": self._keep("p", value)}
        if hasattr(value, "deployment_id") and hasattr(value, "wait"):
            facts = {"operation_id": value.id, "status": value.status, "done": value.done}
            return {"operation": self._keep("o", value), **facts, "deployment_id": value.deployment_id}
        return {"value": plain(value)}

    def _keep(self, letter: str, value: Any) -> str:
        name = f"{letter}{len(self._kept) + 1}"
        self._kept[name] = value
        return name

    def do_next_page(self, command: Json) -> Json:
        return self._shown(self._loop.done(self._kept[command["page"]].get_next_page()))

    def do_iterate(self, command: Json) -> Json:
        page = self._loop.done(self._called(command))
        return {"values": plain(self._loop.items(aiter(page) if self._is_async else iter(page), command.get("limit")))}

    def do_lines(self, command: Json) -> Json:
        lines = self._called(command, follow=bool(command.get("follow")))
        return {"values": plain(self._loop.items(lines, command.get("limit")))}

    def do_raw(self, command: Json) -> Json:
        answer = self._loop.done(self._called(command, is_raw=True))
        return {"status": answer.status, "headers": dict(answer.headers), "body": answer.text}

    def do_concurrently(self, command: Json) -> Json:
        with ThreadPoolExecutor(len(command["calls"])) as threads:
            return {"answers": list(threads.map(lambda one: self.answer({"do": "call", **one}), command["calls"]))}

    def do_resume(self, command: Json) -> Json:
        client = self._clients[command["client"]]
        return self._shown(self._loop.done(client.operations.resume(command["operation_id"])))

    def do_wait(self, command: Json) -> Json:
        progress: list[Any] = []
        operation = self._loop.done(
            self._kept[command["operation"]].wait(
                timeout=command.get("timeout"),
                poll_interval=command.get("poll_interval"),
                on_progress=lambda seen: progress.append(seen.progress_percent),
            )
        )
        return {"value": plain(operation), "progress": progress}

    def do_result(self, command: Json) -> Json:
        return self._shown(self._loop.done(self._kept[command["operation"]].result(timeout=command.get("timeout"))))

    def do_cancel(self, command: Json) -> Json:
        return self._state(command, "cancel")

    def do_refresh(self, command: Json) -> Json:
        return self._state(command, "refresh")

    def _state(self, command: Json, verb: str) -> Json:
        handle = self._kept[command["operation"]]
        operation = self._loop.done(getattr(handle, verb)())
        return {"value": plain(operation), "status": handle.status, "done": handle.done}

    def do_webhook(self, command: Json) -> Json:
        event = webhooks.verify(
            command["payload"],
            command["headers"],
            command["secrets"],
            tolerance=command.get("tolerance", webhooks.TOLERANCE_S),
            now=command.get("now"),
        )
        return {"value": plain(event)}

    def do_warnings(self, _: Json) -> Json:
        found, self._warned[:] = list(self._warned), []
        return {"values": found}

    def do_logs(self, _: Json) -> Json:
        text = self._logs.getvalue()
        self._logs.seek(0)
        self._logs.truncate()
        return {"value": text}

    def do_repr(self, command: Json) -> Json:
        return {"value": repr(self._clients[command["client"]])}

    def do_end(self, _: Json) -> Json:
        return {}


def plain(value: Any) -> Any:
    """As the API's JSON."""
    if hasattr(value, "model_dump"):
        return value.model_dump(mode="json", exclude_unset=True, by_alias=True, warnings=False)
    if isinstance(value, ai_agents.LogLine):
        return {name: one for name, one in vars(value).items() if one is not None}
    if isinstance(value, list):
        return [plain(one) for one in value]
    return value.isoformat() if isinstance(value, datetime) else value


def told(error: Exception) -> Json:
    """An error in the suite's words."""
    kinds = [kind.__name__ for kind in type(error).__mro__]
    if isinstance(error, AIAgentsError):
        facts: Json = {"class": kinds[0], "classes": kinds[: kinds.index("AIAgentsError") + 1]}
    else:
        facts = {"class": "InvalidArgument" if isinstance(error, (ValueError, TypeError)) else kinds[0], "classes": []}
    facts["message"] = str(error)
    for name in ("status", "code", "details", "request_id", "retry_after", "operation_id", "steps"):
        if hasattr(error, name):
            facts[name] = plain(list(getattr(error, name)) if name == "steps" else getattr(error, name))
    return facts


def main() -> None:
    """One JSON object a line, and one answer each."""
    runner = Runner(is_async="--async" in sys.argv[1:])
    for line in sys.stdin:
        command = json.loads(line)
        sys.stdout.write(json.dumps(runner.answer(command)) + "\n")
        sys.stdout.flush()
        if command["do"] == "end":
            return


if __name__ == "__main__":
    main()
