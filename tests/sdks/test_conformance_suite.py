"""The conformance suite itself: it cannot be green by chance, and its server does what scenarios tell it to."""

import re
import socket
import ssl
import sys
from pathlib import Path

import httpx2
import pytest

from sdks.conformance import matching, scenario
from sdks.conformance.__main__ import main
from sdks.conformance.behaviour import Answer, Rule
from sdks.conformance.certificates import Fault
from sdks.conformance.play import Stage, play
from sdks.conformance.runners import Language, RunnerError, Told, languages
from sdks.conformance.scenario import COMMANDS, Scenario, chosen, load
from sdks.conformance.server import Server
from sdks.generate.description import read

HERE = Path(__file__).parent
SCENARIOS = load()
PROTOCOL = (Path(scenario.__file__).parent / "PROTOCOL.md").read_text()
PROJECT = "/v1/projects/0192c7a0-1b2c-7000-8000-0000166d1f9c"


class Anything:
    """A world that has whatever is asked for: what a scenario sees of it must come from the SDK."""

    def names(self):
        return {"api": "http://127.0.0.1:1/v1", "token": "a-token-of-nobody", "organization": "org"}

    def commit(self, app):
        return {"project": "p", "feature": "f", "version": "1", "commit": "c", "repository": "r"}

    def ask(self, verb, path, body):
        return 404, {"data": None}


def runner(*argv: str, language: str = "nonsense") -> Language:
    return Language(language, HERE, Told(command=["{python}", *argv]))


@pytest.mark.parametrize("kind", ["null", "empty", "echo", "fails", "away", "unsupported"])
def test_a_runner_that_answers_nonsense_has_no_scenario_green(kind, monkeypatch):
    monkeypatch.setattr("sdks.conformance.play.time.sleep", lambda _: None)
    monkeypatch.setattr("sdks.conformance.play.ANSWER_S", 0.1)  # also of waiting for what never arrives
    stage = Stage(runner("nonsense.py", kind))
    stage.first()
    monkeypatch.setattr("sdks.conformance.play.ANSWER_S", 5.0)
    try:
        green = [one.name for one in SCENARIOS if not play(one, stage, Anything() if one.stack else None).fault]
    finally:
        stage.close()
    assert green == []


def test_a_runner_that_is_none_is_told_as_such(monkeypatch):
    stage = Stage(runner("-c", "print('hello')"))
    with pytest.raises(RunnerError, match="no answer of the protocol"):
        stage.first()
    stage.close()
    stage = Stage(runner("-c", "import sys; sys.exit('it does not start')"))
    with pytest.raises(RunnerError, match="it does not start"):
        stage.first()
    stage.close()
    stage = Stage(runner("nonsense.py", "null", language="python"))
    with pytest.raises(RunnerError, match="hello was answered"):
        stage.first()
    stage.close()


def test_there_are_scenarios_enough_and_each_method_of_the_api_is_called():
    assert len({one.name.partition("[")[0] for one in SCENARIOS}) >= 100
    called = {found for one in SCENARIOS for step in one.steps for found in calls(step)}
    methods = {f"{method.resource}.{method.name}" for method in read().methods}
    assert called <= methods
    assert sorted(methods - called) == []


def calls(step):
    yield from (getattr(step, kind) for kind in ("call", "iterate", "lines", "raw") if getattr(step, kind))
    yield from (one["call"] for one in step.concurrently or ())
    if step.resume:
        yield "operations.events"


def test_what_scenarios_speak_of_is_in_the_protocol():
    told = {word for one in SCENARIOS for word in re.findall(r"\b[A-Z]\w+Error\b", one.model_dump_json())}
    codes = {step.raises["class"] for one in SCENARIOS if "by_code" in one.name for step in one.steps if step.raises}
    assert {word for word in told - codes if word not in PROTOCOL} == set()
    assert {
        command for command in COMMANDS if f'"do": "{command}"' not in PROTOCOL and f"`{command}`" not in PROTOCOL
    } == set()


def test_arguments_are_those_of_the_api():
    methods = {f"{method.resource}.{method.name}": method for method in read().methods}
    for one in SCENARIOS:
        for step in one.steps:
            for name in [getattr(step, kind) for kind in ("call", "iterate", "lines", "raw") if getattr(step, kind)]:
                known = {parameter.name.lower().replace("-", "_") for parameter in methods[name].parameters}
                assert set(step.arguments) <= known, (one.name, name)


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (1, True),
        (1, "1"),
        (None, 0),
        ({"a": 1}, {"a": 2}),
        ({"a": 1}, [1]),
        ([1, 2], [1]),
        ([1], [1, 2]),
        ([], None),
        ("2026-01-01T00:00:00Z", "2026-01-01T00:00:01Z"),
        ({"$there": True}, None),
        ({"$there": False}, ""),
        ({"$contains": "x"}, None),
        ({"$contains": [1]}, []),
        ({"$lacks": "x"}, None),
        ({"$lacks": ["x"]}, "axb"),
        ({"$matches": "^a$"}, "ab"),
        ({"$each": {"a": 1}}, []),
        ({"$each": {"a": 1}}, [{"a": 1}, {"a": 2}]),
        ({"$last": 1}, [1, 2]),
        ({"$some": {"a": 1}}, [{"a": 2}]),
        ({"$rises": True}, [2, 1]),
        ({"$rises": True}, None),
        ({"$unique": True}, [1, 1]),
        ({"$length": 2}, [1]),
        ({"$length": {"$least": 1}}, None),
        ({"$least": 1}, None),
        ({"$most": 1}, True),
        ({"$one_of": [1, 2]}, 3),
        ({"$not": 1}, 1),
        ({"$date": True}, "2026-01-01"),
    ],
)
def test_what_is_not_as_expected_is_told(expected, actual):
    assert list(matching.faults(expected, actual))


@pytest.mark.parametrize(
    ("expected", "actual"),
    [
        (None, None),
        ({"a": None}, {}),
        ({"a": 1}, {"a": 1, "b": 2}),
        ("2026-01-01T00:00:00Z", "2026-01-01T02:00:00.000+02:00"),
        ({"$contains": ["A", "b"]}, "xaxBx"),
        ({"$contains": [{"a": 1}]}, [{"a": 1, "b": 2}]),
        ({"$least": 1, "$most": 2}, 1.5),
        ({"$not": "x", "$there": True}, "y"),
    ],
)
def test_what_is_as_expected_has_no_faults(expected, actual):
    assert list(matching.faults(expected, actual)) == []


def test_a_demand_that_nobody_knows_is_a_mistake():
    with pytest.raises(KeyError):
        list(matching.faults({"$like": 1}, 1))


def served(*answers, **options):
    return Server([Rule(answers=[Answer(**one) for one in answers])], **options)


@pytest.fixture
def http():
    with httpx2.Client(trust_env=False, timeout=20) as client:
        yield client


def test_the_server_answers_in_turn_and_writes_down_what_it_got(http):
    server = served(
        {"status": 503, "error": {"code": "X", "message": "m"}, "retry_after": 3}, {"data": {"name": "Shop"}}
    )
    first = http.post(f"{server.url}{PROJECT}?a=b%20c", json={"x": 1}, headers={"X-API-Key": "k"})
    assert (first.status_code, first.json()["error"]["code"], first.headers["retry-after"]) == (503, "X", "3")
    second = http.get(f"{server.url}{PROJECT}").json()
    assert (second["data"]["name"], second["success"]) == ("Shop", True)
    assert {"id", "organization_id", "repository_url", "created_at"} <= set(second["data"])  # a whole one
    assert http.get(f"{server.url}{PROJECT}").json() == second
    seen = server.requests
    assert [one.verb for one in seen] == ["POST", "GET", "GET"]
    assert (seen[0].path, seen[0].query, seen[0].json) == (PROJECT, {"a": "b c"}, {"x": 1})
    assert seen[0].headers["x-api-key"] == "k"
    server.close()


@pytest.mark.parametrize(("reset", "seen"), [("before", 0), ("after", 1), ("inside", 1)])
def test_the_server_resets_where_it_is_told_to(http, reset, seen):
    server = served({"reset": reset, "data": {"name": "Lost"}}, {"data": {"name": "Shop"}})
    with pytest.raises(httpx2.TransportError):
        http.get(f"{server.url}{PROJECT}")
    assert len(server.requests) == seen
    assert http.get(f"{server.url}{PROJECT}").json()["data"]["name"] == "Shop"
    server.close()


def test_a_reset_is_one(http):
    server = served({"reset": "after"})
    with socket.create_connection(("127.0.0.1", server.port)) as plain:
        plain.sendall(b"GET / HTTP/1.1\r\nHost: x\r\n\r\n")
        with pytest.raises(ConnectionResetError):
            plain.recv(1)
    server.close()


def test_the_server_lies_about_lengths(http):
    server = served({"data": {"name": "Lost"}, "cut": 20}, {"data": {"name": "Lost"}, "content_length": 10})
    with pytest.raises(httpx2.RemoteProtocolError):
        http.get(f"{server.url}{PROJECT}")
    assert len(http.get(f"{server.url}{PROJECT}").content) == 10
    server.close()


@pytest.mark.parametrize("fault", list(Fault))
def test_nobody_accepts_its_certificates(fault):
    server = served({"data": {}}, fault=fault)
    with socket.create_connection(("127.0.0.1", server.port)) as plain, pytest.raises(ssl.SSLCertVerificationError):
        ssl.create_default_context().wrap_socket(plain, server_hostname="127.0.0.1")
    assert server.requests == []
    server.close()


def test_a_stream_that_breaks_has_told_what_it_had(http):
    server = served({"events": [{"id": "1", "event": "progress", "data": {"status": "completed"}}], "ending": "reset"})
    told: list[str] = []
    with (
        pytest.raises(httpx2.TransportError),
        http.stream("GET", f"{server.url}/v1/operations/0192c7a0-1b2c-7000-8000-000044ac3583/events") as response,
    ):
        told.extend(response.iter_lines())
    assert response.headers["content-type"] == "text/event-stream"
    assert told[:2] == ["event: progress", "id: 1"]
    assert '"status": "completed"' in told[2]
    assert '"operation_id"' in told[2]
    server.close()


def test_a_scenario_that_expects_nothing_is_a_mistake():
    with pytest.raises(ValueError, match="what must come of it"):
        Scenario.model_validate({"name": "a", "about": "b", "steps": [{"call": "users.me"}]})
    with pytest.raises(ValueError, match="a step is one of"):
        Scenario.model_validate({"name": "a", "about": "b", "steps": [{"call": "users.me", "wait": "o", "gives": 1}]})
    with pytest.raises(ValueError, match="Extra inputs"):
        Scenario.model_validate({"name": "a", "about": "b", "steps": [{"caal": "users.me", "gives": 1}]})


def test_scenarios_are_chosen_by_parts_of_their_names():
    assert {one.name.partition(".")[0] for one in chosen(SCENARIOS, ["retries.", "pages.*"])} == {"retries", "pages"}
    assert len(list(chosen(SCENARIOS, []))) == len(SCENARIOS)


def folder_of(tmp_path, monkeypatch, told):
    home = tmp_path / "nonsense" / "conformance"
    home.mkdir(parents=True)
    (home / "command.json").write_text(told_json(told))
    monkeypatch.setattr("sdks.conformance.__main__.languages", lambda: languages(tmp_path))


def told_json(told):
    return Told(**told).model_dump_json()


def test_the_command_is_red_with_nonsense_and_loud_where_tools_are_missing(tmp_path, monkeypatch, capsys):
    choose = ["--languages", "nonsense", "--scenarios", "webhooks.standard*"]
    folder_of(tmp_path, monkeypatch, {"command": [sys.executable, str(HERE / "nonsense.py"), "null"]})
    assert main(choose) == 1
    assert "0/" in capsys.readouterr().out
    file = tmp_path / "nonsense" / "conformance" / "command.json"
    file.write_text(told_json({"command": ["x"], "needs": ["no-such-program"]}))
    assert main(choose) == 2
    assert "no-such-program" in capsys.readouterr().out
    file.write_text(told_json({"command": ["x"], "prepare": [["{python}", "-c", "raise SystemExit('no compiler')"]]}))
    assert main(choose) == 2
    assert "no compiler" in capsys.readouterr().out
