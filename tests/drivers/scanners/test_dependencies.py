"""The scanner of dependencies: a tree in, packages and findings out."""

import json
import os
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from domain.findings import Severity
from drivers.scanners import dependencies
from drivers.scanners.advisories import NoAdvisories
from drivers.scanners.base import ScanOrder, Sources
from drivers.scanners.dependencies import MODULE, Dependencies
from drivers.scanners.listing import listed
from drivers.scanners.mirror.advisories import MirrorAdvisories
from drivers.scanners.mirror.indexing import main
from runtime.limited import LimitedProcesses
from tests.domain.lock_files.reading import SAMPLES
from tests.support.osv import archives

APPS = Path(__file__).parents[2] / "scans" / "apps"


@pytest.fixture(scope="module")
def limited():
    return LimitedProcesses((MODULE,))


@pytest.fixture(scope="module")
def advisories(tmp_path_factory):
    folder = tmp_path_factory.mktemp("advisories")
    mirror = archives(folder / "mirror")
    assert main(mirror, folder / "index" / "index.sqlite").fault is None
    return MirrorAdvisories(mirror, folder / "index", max_age_days=10_000)


async def scanned(tree, limited, advisories):
    scanner = Dependencies(limited, advisories)
    sources = Sources(ScanOrder(key="k", tree=tree, scratch=tree.parent / "scratch"), listed(tree).files)
    return await scanner.scan(sources, timeout_s=300) if scanner.suits(sources) else None


async def test_the_samples_of_all_tools(limited, advisories):
    report = await scanned(SAMPLES, limited, advisories)
    assert report.fault is None
    assert len(report.packages) == 108
    rules = {each.rule: each.severity for each in report.findings}
    assert rules == {
        "CVE-2021-44228": Severity.CRITICAL,
        "CVE-2022-42889": Severity.CRITICAL,
        "CVE-2021-44906": Severity.CRITICAL,
        "CVE-2020-36604": Severity.HIGH,
        "CVE-2018-18074": Severity.HIGH,
        "CVE-2019-11324": Severity.HIGH,
        "CVE-2020-26160": Severity.HIGH,
        "CVE-2021-38561": Severity.HIGH,
        "CVE-2022-27191": Severity.HIGH,
        "CVE-2020-8203": Severity.HIGH,
        "CVE-2020-7788": Severity.HIGH,
        "CVE-2021-23337": Severity.HIGH,
        "CVE-2019-11254": Severity.MEDIUM,
        "CVE-2020-15250": Severity.MEDIUM,
        "CVE-2020-28493": Severity.MEDIUM,
        "CVE-2021-29425": Severity.MEDIUM,
    }
    assert "direct dependencies only" in report.notices[0]


async def test_the_planted_apps(limited, advisories):
    """Dependencies of tests/scans/apps: what is known of them is found, and nothing of those that are well."""
    found = {name: await scanned(APPS / name, limited, advisories) for name in ("python", "node", "go")}
    rules = {name: {(each.package.name, each.rule) for each in report.findings} for name, report in found.items()}
    assert rules == {
        "python": {("jinja2", "CVE-2020-28493"), ("pyyaml", "CVE-2020-14343")},
        "node": {("lodash", "CVE-2020-8203"), ("lodash", "CVE-2021-23337"), ("minimist", "CVE-2021-44906")},
        "go": {("golang.org/x/text", "CVE-2021-38561")},
    }
    assert [report.fault for report in found.values()] == [None] * 3


async def test_without_advisories_packages_are_known_and_nothing_is_clean(tmp_path, limited):
    (tmp_path / "requirements.txt").write_text("jinja2==2.11.2\n")
    report = await scanned(tmp_path, limited, NoAdvisories())
    assert [each.purl for each in report.packages] == ["pkg:pypi/jinja2@2.11.2"]
    assert report.fault.startswith("no advisories are set up")


async def test_what_is_not_locked_is_told(tmp_path, limited, advisories):
    (tmp_path / "package.json").write_text('{"dependencies": {"lodash": "^4", "a": "1"}}')
    (tmp_path / "requirements.txt").write_text("jinja2\n-e .\n")
    (tmp_path / "Cargo.lock").write_text("")
    report = await scanned(tmp_path, limited, advisories)
    assert (report.packages, report.findings, report.fault) == ((), (), None)
    assert report.notices == (
        "dependencies of these files are not looked at: Cargo.lock",
        "versions of 3 dependencies (package.json, requirements.txt) are not locked, so nothing is known of them",
        "1 dependencies (requirements.txt) come from addresses or folders and were not looked at",
    )


async def test_a_tree_without_dependencies_is_none_of_its(tmp_path, limited, advisories):
    (tmp_path / "main.py").write_text("")
    assert await scanned(tmp_path, limited, advisories) is None


async def test_one_broken_lock_file_is_a_fault_and_the_others_count(tmp_path, limited, advisories):
    (tmp_path / "web").mkdir()
    shutil.copy(SAMPLES / "npm-3" / "package-lock.json", tmp_path / "web")
    (tmp_path / "poetry.lock").write_text("[[package\n")
    report = await scanned(tmp_path, limited, advisories)
    assert report.fault.startswith("poetry.lock cannot be read: it is no TOML")
    assert len(report.findings) == 5


SLOW = {
    "poetry.lock": "a" + ".a" * 20_000 + "=1\n",
    "uv.lock": "a = " + "[" * 100_000,
    "pnpm-lock.yaml": "a: " + "{" * 200_000,
    "yarn.lock": "__metadata:\n  a: &a [x]\n" + "  <<: *a\n" * 10,
    "package-lock.json": '{"dependencies":' * 50_000,
    "Pipfile.lock": '{"default":{"a":{"version":"' + "=" * 5_000_000 + '"}}}',
    "requirements.txt": ("a" * 100_000 + "[" * 1000 + "==1 \\\n") * 100,
    "go.mod": "require (\n" + "a v1.0.0\n" * 200_000,
    "pom.xml": "<project>" + "<a>" * 500_000,
    "gradle.lockfile": "a:b:1=" + "test," * 1_000_000,
    "pylock.toml": "".join(f'[[packages]]\nname="p{n}"\nversion="1"\n' for n in range(30_000)),
}


BRIEFLY = ("package-lock.json", "pom.xml", "requirements.txt", "yarn.lock")


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in BRIEFLY else pytest.mark.deep) for name in sorted(SLOW)]
)
async def test_lock_files_made_to_be_slow_are_contained(tmp_path, limited, advisories, name, monkeypatch):
    """Each ends within its limits, with a fault, or with what can be read of it; the engine goes on."""
    monkeypatch.setattr(dependencies, "LIMITS", replace(dependencies.LIMITS, cpu_s=1))
    (tmp_path / name).write_text(SLOW[name])
    report = await scanned(tmp_path, limited, advisories)
    assert report.findings == ()
    if name in ("Pipfile.lock", "requirements.txt", "go.mod", "gradle.lockfile"):  # what was read of it
        assert report.fault is None
        assert report.packages or report.notices
    else:
        assert name in report.fault


async def test_links_out_of_the_tree_and_odd_files_are_not_read(tmp_path, limited, advisories):
    tree, outside = tmp_path / "tree", tmp_path / "outside"
    outside.mkdir()
    shutil.copy(SAMPLES / "npm-3" / "package-lock.json", outside)
    tree.mkdir()
    (tree / "package-lock.json").symlink_to(outside / "package-lock.json")
    (tree / "web").symlink_to(outside)
    os.mkfifo(tree / "yarn.lock")
    (tree / "pom.xml").write_text("<project><parent><relativePath>../outside/pom.xml</relativePath></parent></project>")
    (outside / "pom.xml").write_text("<project><dependencies/></project>")
    report = await scanned(tree, limited, advisories)
    assert (report.packages, report.findings, report.fault) == ((), (), None)


async def test_a_file_that_became_a_link_after_it_was_listed_is_a_fault(tmp_path, limited, advisories):
    (tmp_path / "secret.txt").write_text("jinja2==2.11.2\n")
    (tmp_path / "requirements.txt").symlink_to(tmp_path / "secret.txt")
    sources = Sources(ScanOrder(key="k", tree=tmp_path, scratch=tmp_path), {"requirements.txt": 10})
    report = await Dependencies(limited, advisories).scan(sources, timeout_s=300)
    assert (report.packages, "no regular file" in report.fault) == ((), True)


async def test_more_lock_files_than_are_read_are_a_fault(tmp_path, limited, monkeypatch):
    monkeypatch.setattr("drivers.scanners.dependencies.MAX_FILES", 3)
    for n in range(5):
        (tmp_path / str(n)).mkdir()
        (tmp_path / str(n) / "package-lock.json").write_text(json.dumps({"packages": {}}))
    report = await scanned(tmp_path, limited, NoAdvisories())
    assert report.fault == "there are 5 lock files; only the first 3 were read"
