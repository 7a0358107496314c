"""Lock files that the real tools wrote (samples/README.md)."""

import pytest

from domain.findings import Ecosystem
from tests.domain.lock_files.reading import SAMPLES, read, told

PYTHON = {
    "certifi 2026.10.19.post1",
    "chardet 3.0.4",
    "idna 2.7",
    "jinja2 2.11.2",
    "markupsafe 3.0.4",
    "requests 2.19.1",
}
PYTHON_DEVELOPMENT = {"iniconfig 2.0.0 dev", "py 1.11.0 dev"}
NODE = {"@hapi/hoek 8.5.0", "lodash 4.17.15", "minimist 1.2.0"}
GO = {
    "github.com/dgrijalva/jwt-go v3.2.0+incompatible",
    "golang.org/x/crypto v0.0.0-20201016220609-9e8e0b390897",
    "golang.org/x/text v0.3.5",
    "gopkg.in/yaml.v2 v2.2.4",  # by `replace`
}
JAVA_DIRECT = {
    "commons-io:commons-io 2.6",
    "org.apache.commons:commons-text 1.9",
    "org.apache.logging.log4j:log4j-core 2.14.1",
    "junit:junit 4.12 dev",
}
JAVA = JAVA_DIRECT | {
    "org.apache.commons:commons-lang3 3.11",
    "org.apache.logging.log4j:log4j-api 2.14.1",
    "org.hamcrest:hamcrest-core 1.3 dev",
}
EXPECTED = {
    "piptools/requirements.txt": PYTHON | {"urllib3 1.23"},
    "poetry/poetry.lock": PYTHON | {"urllib3 1.22"} | PYTHON_DEVELOPMENT,
    "uv/uv.lock": PYTHON | {"urllib3 1.23"} | PYTHON_DEVELOPMENT,
    "pylock/pylock.toml": PYTHON | {"urllib3 1.23"},
    "pdm/pdm.lock": PYTHON | {"urllib3 1.23"} | PYTHON_DEVELOPMENT,
    "pipenv/Pipfile.lock": PYTHON | {"urllib3 1.23"} | PYTHON_DEVELOPMENT,
    "npm-1/package-lock.json": NODE | {"ini 1.3.5 dev"},
    "npm-2/package-lock.json": NODE | {"ini 1.3.5 dev"},
    "npm-3/package-lock.json": NODE | {"ini 1.3.5 dev"},
    "pnpm/pnpm-lock.yaml": NODE | {"ini 1.3.5 dev"},
    "yarn-classic/yarn.lock": NODE | {"ini 1.3.5"},
    "yarn-berry/yarn.lock": NODE | {"ini 1.3.5"},
    "go-pruned/go.mod": GO,
    "go-before-1.17/go.mod": GO | {"gopkg.in/check.v1 v0.0.0-20161208181325-20d25e280405"},
    "maven/pom.xml": JAVA_DIRECT,
    "maven-lockfile/lockfile.json": JAVA,
    "maven-dependency-lock/dependencies-lock.json": JAVA,
    "gradle/gradle.lockfile": JAVA,
}


def test_which_files_are_read():
    """A manifest whose folder has a lock file says nothing more."""
    assert set(read(SAMPLES)) == set(EXPECTED)


@pytest.mark.parametrize("path", sorted(EXPECTED))
def test_packages(path):
    locked = read(SAMPLES)[path]
    assert (told(locked), locked.unlocked, locked.elsewhere) == (EXPECTED[path], 0, 0)
    assert {each.path for each in locked.packages} == {path}


def test_hashes_are_those_of_the_lock():
    found = read(SAMPLES)
    (jinja,) = [each for each in found["piptools/requirements.txt"].packages if each.name == "jinja2"]
    assert len(jinja.hashes) == 2
    assert all(each.startswith("sha256:") and len(each) == 71 for each in jinja.hashes)
    for path in ("poetry/poetry.lock", "uv/uv.lock", "pylock/pylock.toml", "pipenv/Pipfile.lock", "pdm/pdm.lock"):
        assert {each.hashes for each in found[path].packages if each.name == "jinja2"} == {jinja.hashes}, path
    npm = {
        each.hashes
        for path in ("npm-1", "npm-2", "npm-3")
        for each in found[f"{path}/package-lock.json"].packages
        if each.name == "lodash"
    }
    assert len(npm) == 1
    assert next(iter(npm))[0].startswith("sha512:")
    locks = ("maven-lockfile/lockfile.json", "maven-dependency-lock/dependencies-lock.json")
    assert all(each.hashes for path in locks for each in found[path].packages)


def test_a_pom_says_that_it_names_direct_dependencies_only():
    (notice,) = read(SAMPLES)["maven/pom.xml"].notices
    assert "direct dependencies only" in notice


def test_purls():
    purls = {each.name: each.purl for locked in read(SAMPLES).values() for each in locked.packages}
    assert purls["@hapi/hoek"] == "pkg:npm/%40hapi/hoek@8.5.0"
    assert purls["jinja2"] == "pkg:pypi/jinja2@2.11.2"
    assert purls["golang.org/x/text"] == "pkg:golang/golang.org/x/text@v0.3.5"
    assert purls["commons-io:commons-io"] == "pkg:maven/commons-io/commons-io@2.6"
    assert {each.ecosystem for locked in read(SAMPLES).values() for each in locked.packages} == set(Ecosystem)
