"""What a stranger's repository says to the scanners: comments at their place count, files of configuration do not."""

import sys
from types import ModuleType

import pytest

from drivers.scanners.base import Report, ScanOrder
from drivers.scanners.inside import run_detect_secrets
from drivers.scanners.process import ToolProcesses
from drivers.scanners.tools import Bandit, DetectSecrets, Hadolint, LimitedReader
from runtime.limited import LimitedProcesses
from tests.drivers.scanners.conftest import seen

KEY = "AKIA" + "IOSFODNN7EXAMPLF"


async def scan(
    make: type[Bandit | DetectSecrets | Hadolint],
    processes: ToolProcesses,
    limited: LimitedProcesses,
    order: ScanOrder,
    files: dict[str, str],
) -> Report:
    for path, text in files.items():
        target = order.tree / path
        target.parent.mkdir(parents=True, exist_ok=True)
        target.write_text(text)
    return await make(processes, LimitedReader(limited)).scan(seen(order), timeout_s=300)


def lines(report: Report) -> list[tuple[str, int | None]]:
    assert report.fault is None
    return [(each.rule, each.location.line) for each in report.findings if each.location]


async def test_bandits_files_do_not_switch_it_off(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    files = {
        ".bandit": "[bandit]\nskips: B307\nexclude: .\n",
        "bandit.yaml": "skips: [B307]\n",
        "setup.cfg": "[bandit]\nskips: B307\n",
        "pyproject.toml": "[tool.bandit]\nskips = ['B307']\nexclude_dirs = ['.']\n",
        "app.py": "eval(input())\neval(input())  # nosec\neval(input())  # nosec B307\neval(input())  # nosec B101\n",
    }
    report = await scan(Bandit, isolated, limited, order, files)
    assert lines(report) == [("B307", 1), ("B307", 4)]
    assert report.notices == ("bandit: 2 findings are suppressed in the sources by `# nosec`",)


async def test_bandit_is_not_taken_in_by_modules_of_the_tree(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    evil = "raise SystemExit(0)\n"
    files = dict.fromkeys(("bandit.py", "yaml.py", "json.py", "sitecustomize.py", "detect_secrets/__init__.py"), evil)
    assert ("B307", 1) in lines(await scan(Bandit, isolated, limited, order, files | {"app.py": "eval(input())\n"}))
    found = await scan(DetectSecrets, isolated, limited, order, {"keys.txt": f"{KEY}\n"})
    assert ("AWS Access Key", 1) in lines(found)


async def test_names_that_look_like_words_of_ours_are_names(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    """A folder `{tmp}` was taken for the tool's own."""
    names = ["{state}/Dockerfile", "{tmp}.dockerfile", "{tree}/Dockerfile"]
    report = await scan(Hadolint, isolated, limited, order, dict.fromkeys(names, "FROM debian:12\nRUN sudo ls\n"))
    assert sorted(each.location.path for each in report.findings if each.location) == names
    assert report.fault is None


async def test_secrets_are_found_wherever_a_tool_would_pass_over_them(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    """detect-secrets looks into nothing that has "swagger" in its path; PowerShell writes UTF-16."""
    for path in ("swagger/settings.py", "swagger-client.ts"):
        (order.tree / path).parent.mkdir(exist_ok=True)
        (order.tree / path).write_text(f"{KEY}\n")
    (order.tree / "deploy.ps1").write_bytes(f"# 1\r\n$key = '{KEY}'\r\n".encode("utf-16"))
    (order.tree / "image.dat").write_bytes(b"\x89\0\xff\xfe" + KEY.encode())
    report = await scan(DetectSecrets, isolated, limited, order, {})
    assert sorted((each.location.path, each.location.line) for each in report.findings if each.location) == [
        ("deploy.ps1", 2),
        ("swagger-client.ts", 1),
        ("swagger/settings.py", 1),
    ]


class Counting:
    """A plugin of detect-secrets that goes by what a value is called."""

    keyword_exclude = None
    denylist = ()

    def __init__(self) -> None:
        self.asked: list[str] = []

    def analyze_line(self, *, line: str, **_: object) -> set[object]:
        self.asked.append(line)
        return set()


def test_of_a_minified_bundle_only_the_pieces_with_a_keyword_are_asked_about(monkeypatch: pytest.MonkeyPatch) -> None:
    """One line of a megabyte, "password" somewhere in it: all of it was, and no scan of such a bundle had a result."""
    keyword = ModuleType("detect_secrets.plugins.keyword")
    vars(keyword)["DENYLIST"] = ("password",)
    for name in ("detect_secrets", "detect_secrets.plugins"):
        monkeypatch.setitem(sys.modules, name, ModuleType(name))
    monkeypatch.setitem(sys.modules, keyword.__name__, keyword)
    plugin, code = Counting(), "f(a,b);" * 30_000
    assert run_detect_secrets._hits("app.js", 1, f"{code}password{code}", [plugin]) == []
    assert 1 <= len(plugin.asked) <= 2
    assert all("password" in piece for piece in plugin.asked)


async def test_python_that_it_cannot_read_is_told(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    files = {"old.py": "print 'two'\n", "nul.py": "\0", "app.py": "eval(input())\n"}
    report = await scan(Bandit, isolated, limited, order, files)
    assert lines(report) == [("B307", 1)]
    assert [words.partition(": ")[2] for words in report.notices] == [
        "2 files are no Python of this version and were not looked at: nul.py, old.py"
    ]


async def test_python_that_is_too_deep_is_no_silence(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    files = {
        "deep.py": "x = " + "(" * 150 + "1" + ")" * 150 + "\n" + "-" * 100_000 + "1\n",
        "app.py": "eval(input())\n",
    }
    report = await scan(Bandit, isolated, limited, order, files)
    assert report.fault or report.notices
    assert [each.rule for each in report.findings] == ["B307"] or report.fault


async def test_comments_of_detect_secrets_count_and_its_baseline_does_not(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    files = {
        ".secrets.baseline": '{"version": "1.5.0", "plugins_used": [], "filters_used": [], "results": {}}',
        "pyproject.toml": "[tool.detect-secrets]\nexclude-files = '.*'\n",
        "app.py": f"A = '{KEY}'\nB = '{KEY}'  # pragma: allowlist secret\n",
    }
    files["app.py"] += f"# pragma: allowlist nextline secret\nC = '{KEY}'\n"
    report = await scan(DetectSecrets, isolated, limited, order, files)
    assert lines(report) == [("AWS Access Key", 1)]
    assert report.notices == ("detect-secrets: 2 findings are suppressed in the sources by `pragma: allowlist secret`",)


async def test_hadolints_file_does_not_switch_it_off(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    ignoring = "ignored: [DL3007, DL3006]\nfailure-threshold: none\noverride: {info: [DL3007]}\n"
    files = {
        ".hadolint.yaml": ignoring,
        ".hadolint.yml": ignoring,
        ".config/hadolint.yaml": ignoring,
        "Dockerfile": "FROM debian:latest\n",
        "web.Dockerfile": "# hadolint ignore=DL3007\nFROM debian:latest\n",
        "Dockerfile.all": "# hadolint global ignore=DL3007\nFROM debian:latest\n",
        "Dockerfile.dockerignore": "FROM\n",
    }
    report = await scan(Hadolint, isolated, limited, order, files)
    assert [(each.rule, each.location.path) for each in report.findings if each.location] == [("DL3007", "Dockerfile")]
    assert report.notices == ("hadolint: 2 comments in Dockerfiles suppress findings (`# hadolint ignore=...`)",)


async def test_what_is_no_dockerfile_is_told(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    files = {"Dockerfile": "FROM debian:12\nNONSENSE x\n", "api/Dockerfile": "FROM debian:latest\n"}
    report = await scan(Hadolint, isolated, limited, order, files)
    assert ("DL3007", 1) in lines(report)
    assert any("is no Dockerfile that it understands" in words for words in report.notices)


KEPT = (
    (".env", "DB_HOST=db\nAPI_KEY=q8Zr4TnW2xLk9PvB\n", 2),
    ("config.yaml", "mail:\n  password: q8Zr4TnW2xLk9PvB\n", 2),
    ("settings.ini", "[a]\nurl = https://joe:q8Zr4TnW2xLk9PvB@example.com/\n", 2),
    ("id_rsa", "-----BEGIN OPENSSH PRIVATE KEY-----\nb3BlbnNzaC1rZXktdjE=\n", 1),
    ("app.min.js", "x" * 9000 + f";k='{KEY}';" + "y" * 9000, 1),
    ("latin1.py", f"# \xe9\nK = '{KEY}'\n", 2),
    ("crlf.py", f"a = 1\r\nK = '{KEY}'\r\n", 2),
    ("no_newline.go", f'var k = "{KEY}"', 1),
)


async def test_secrets_wherever_they_are_kept(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    for name, text, _ in KEPT:
        (order.tree / name).write_bytes(text.encode("latin-1"))
    report = await scan(DetectSecrets, isolated, limited, order, {})
    found = {(each.location.path, each.location.line) for each in report.findings if each.location}
    assert {(name, line) for name, _, line in KEPT} - found == set()
    assert "q8Zr4TnW2xLk9PvB" not in report.model_dump_json()


@pytest.mark.deep  # it takes five seconds of a processor
async def test_a_file_made_to_be_slow_is_a_fault_and_the_others_are_looked_at(
    isolated: ToolProcesses, limited: LimitedProcesses, order: ScanOrder
) -> None:
    """Each pattern meets the beginning of a find at each character of its line."""
    files = {"a_slow.py": "password" * 60_000 + "\n", "z.py": f"K = '{KEY}'\n"}
    report = await scan(DetectSecrets, isolated, limited, order, files)
    assert [each.location.path for each in report.findings if each.location] == ["z.py"]
    assert report.fault == "it failed at 1 files, which were not looked at: a_slow.py"
