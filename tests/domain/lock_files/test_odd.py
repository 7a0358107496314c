# ruff: noqa: E501 - lock files in one line
"""Lock files that are odd, wrong or made to be slow: a clear error, or what can be read of them."""

import json

import pytest

from domain.errors import ErrorCode, TerminalError
from domain.lock_files.kinds import Kind, dependency_files, other_locks
from domain.lock_files.reading import MAX_PACKAGES
from tests.domain.lock_files.reading import read_text, told

JSON = (Kind.NPM, Kind.PIPFILE, Kind.MAVEN_LOCK, Kind.PACKAGE_JSON)
TOML = (Kind.POETRY, Kind.UV, Kind.PDM, Kind.PYLOCK, Kind.PYPROJECT, Kind.PIPFILE_ALONE)
LINES = (Kind.REQUIREMENTS, Kind.YARN, Kind.GO, Kind.GRADLE, Kind.GRADLE_BUILD, Kind.SETUP)
ODD = [
    b"",
    b"\x00" * 100,
    b"\xff\xfe\x00",
    b"\xef\xbb\xbf",
    b"\xed\xa0\x80",
    b"null",
    b"[]",
    b"7",
    b"{" * 200_000,
    b"[" * 200_000,
    b"a" * 1_000_000,
]


@pytest.mark.parametrize("kind", Kind)
@pytest.mark.parametrize("content", ODD, ids=[repr(each[:8]) for each in ODD])
def test_whatever_it_is_it_is_read_or_an_error_that_names_it(kind, content):
    try:
        packages = read_text(content, "app/lock", kind).packages
    except TerminalError as error:
        packages, refused = (), error
    else:
        refused = None
    assert packages == ()
    if refused is not None:
        assert refused.code is ErrorCode.SCAN_FAILED
        assert refused.message.startswith("app/lock cannot be read: ")
        assert len(refused.message) <= 500


@pytest.mark.parametrize(
    ("kind", "value"),
    [
        (kind, value)
        for kind in JSON
        for value in (7, "x", None, [7, None, [[]]], {"a": 7, "": {"version": []}, "b": None})
    ],
)
def test_wrong_types_of_json_are_no_packages(kind, value):
    keys = ("packages", "dependencies", "default", "develop", "artifacts")
    assert read_text(json.dumps(dict.fromkeys(keys, value)), "x", kind).packages == ()


@pytest.mark.parametrize("kind", TOML)
def test_wrong_types_of_toml_are_no_packages(kind):
    odd = 'package = 7\npackages = [7, [], {name = 7, version = []}]\nproject = "x"\ntool = 7\nmetadata = []\n'
    assert read_text(odd, "x", kind).packages == ()
    assert read_text('[[package]]\nname = "a"\n[[packages]]\nname = "../a"\nversion = "1"\n', "x", kind).packages == ()


def test_requirements_of_all_kinds():
    text = (
        "\ufeff# comment\r\nFoo_Bar[extra]==1.0 ; python_version > '3' \\\r\n  --hash=sha256:" + "0" * 64 + "\n"
        "baz===2.0.post1 # why\n-r other.txt\n--index-url https://registry.example\nopen>=1\nwild==1.*\nbare\n"
        "-e ./here\nname @ https://a.example/x-1.0.whl\ngit+https://a.example/y#egg=y\n!!!\nx==1.0 --config-settings=a\n"
    )
    locked = read_text(text, "requirements.txt", Kind.REQUIREMENTS)
    assert told(locked) == {"foo-bar 1.0", "baz 2.0.post1", "x 1.0"}
    assert (locked.unlocked, locked.elsewhere) == (3, 3)
    assert locked.notices == ("requirements.txt: 1 entries are no packages with a version",)
    assert locked.packages[0].hashes == ("sha256:" + "0" * 64,)


def test_requirements_that_powershell_wrote():
    assert told(read_text("jinja2==2.11.2\r\n".encode("utf-16"), "requirements.txt", Kind.REQUIREMENTS)) == {
        "jinja2 2.11.2"
    }


@pytest.mark.parametrize("path", ["requirements-dev.txt", "requirements/test.txt", "dev-requirements.txt"])
def test_requirements_for_development(path):
    assert dependency_files([path]) == [(path, Kind.REQUIREMENTS)]
    assert told(read_text("a==1\n", path, Kind.REQUIREMENTS)) == {"a 1 dev"}


def test_a_key_twice_is_the_last_one_as_for_npm():
    lock = '{"packages":{"node_modules/a":{"version":"1.0.0"},"node_modules/a":{"version":"2.0.0"}}}'
    assert told(read_text(lock, "package-lock.json", Kind.NPM)) == {"a 2.0.0"}


def test_npm_folders_links_aliases_and_addresses():
    packages = {
        "": {"version": "1.0.0"},
        "packages/own": {"version": "1.0.0"},
        "node_modules/own": {"link": True, "resolved": "packages/own"},
        "node_modules/alias": {"name": "real", "version": "1.0.0"},
        "node_modules/a/node_modules/@s/b": {"version": "2.0.0"},
        "node_modules/here": {"version": "1.0.0", "resolved": "file:../here"},
        "node_modules/none": {},
    }
    locked = read_text(json.dumps({"lockfileVersion": 3, "packages": packages}), "package-lock.json", Kind.NPM)
    assert (told(locked), locked.elsewhere) == ({"real 1.0.0", "@s/b 2.0.0"}, 2)


def test_pnpm_of_older_versions():
    five = "lockfileVersion: 5.4\npackages:\n  /@s/a/1.0.0_react@17.0.2:\n    dev: true\n    resolution: {integrity: x}\n  /b/2.0.0:\n    resolution: {}\n"
    six = "lockfileVersion: '6.0'\npackages:\n  /@s/a@1.0.0(react@17.0.2):\n    dev: true\n    resolution: {}\n  /b@2.0.0:\n    resolution: {}\n"
    for text in (five, six):
        assert told(read_text(text, "pnpm-lock.yaml", Kind.PNPM)) == {"@s/a 1.0.0 dev", "b 2.0.0"}


def test_go_mod_of_all_kinds():
    text = (
        'module x\ngo 1.21 // why\ntoolchain go1.21.5\nrequire a.example/one v1.0.0\nrequire (\n\t"a.example/two" v2.0.0 // indirect\n'
        "\ta.example/three v3.0.0+incompatible\n\ta.example/four v4.0.0\n)\nexclude a.example/one v0.9.0\nretract v0.1.0\n"
        "replace (\n\ta.example/two => ./two\n\ta.example/three v3.0.0+incompatible => b.example/3 v3.0.1\n\ta.example/four v9.9.9 => ./four\n)\n"
    )
    locked = read_text(text, "go.mod", Kind.GO)
    assert told(locked) == {"a.example/one v1.0.0", "b.example/3 v3.0.1", "a.example/four v4.0.0", "stdlib 1.21.5"}
    assert locked.elsewhere == 1


def test_a_pom_with_what_only_the_network_knows(tmp_path):
    parent = "<project><properties><a>1.0</a></properties><dependencyManagement><dependencies><dependency><groupId>g</groupId><artifactId>managed</artifactId><version>${b}</version></dependency><dependency><groupId>g</groupId><artifactId>bom</artifactId><version>1</version><scope>import</scope></dependency></dependencies></dependencyManagement></project>"
    (tmp_path / "pom.xml").write_text(parent)
    (tmp_path / "app").mkdir()

    def dependency(artifact, version=""):
        told_version = f"<version>{version}</version>" if version else ""
        return f"<dependency><groupId>g</groupId><artifactId>{artifact}</artifactId>{told_version}</dependency>"

    child = (
        "<project><parent><groupId>p</groupId><version>7</version></parent><properties><b>2.0</b></properties><dependencies>"
        + dependency("by-parent", "${a}")
        + dependency("managed")
        + dependency("own", "${project.version}")
        + dependency("range", "[1,2)")
        + dependency("unknown", "${nowhere}")
        + dependency("of-bom")
        + "</dependencies></project>"
    )
    locked = read_text(child, "app/pom.xml", Kind.POM, tmp_path)
    assert told(locked) == {"g:by-parent 1.0", "g:managed 2.0", "g:own 7"}
    assert locked.unlocked == 3


@pytest.mark.parametrize(
    "pom",
    [
        '<!DOCTYPE p [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;&a;">]><project><name>&b;</name></project>',
        '<!DOCTYPE p [<!ENTITY x SYSTEM "file:///etc/passwd">]><project>&x;</project>',
        "<project>",
    ],
)
def test_xml_that_is_not_accepted(pom):
    with pytest.raises(TerminalError, match="no XML"):
        read_text(pom, "pom.xml", Kind.POM)


def test_properties_that_grow_by_naming_each_other_end():
    properties = "".join(f"<p{n}>{f'${{p{n + 1}}}' * 20}</p{n}>" for n in range(30))
    pom = f"<project><properties>{properties}</properties><dependencies><dependency><groupId>g</groupId><artifactId>a</artifactId><version>${{p0}}</version></dependency></dependencies></project>"
    assert read_text(pom, "pom.xml", Kind.POM).packages == ()


def test_aliases_of_yaml_are_refused():
    bomb = "a: &a [x,x,x,x,x,x,x,x,x]\n" + "".join(
        f"{chr(98 + n)}: &{chr(98 + n)} [{','.join(['*' + chr(97 + n)] * 9)}]\n" for n in range(20)
    )
    with pytest.raises(TerminalError, match="aliases"):
        read_text(bomb + "packages: *u\n", "pnpm-lock.yaml", Kind.PNPM)


def test_too_many_packages_are_an_error():
    lines = "".join(f"p{n}==1\n" for n in range(MAX_PACKAGES + 1))
    with pytest.raises(TerminalError, match="more than 20000 packages"):
        read_text(lines, "requirements.txt", Kind.REQUIREMENTS)


def test_manifests_without_a_lock_count_what_is_open():
    counted = {
        Kind.PYPROJECT: '[project]\ndependencies = ["a", "b>=1"]\n[tool.poetry.dependencies]\npython = "^3"\nc = "^1"\n',
        Kind.PACKAGE_JSON: '{"dependencies": {"a": "^1", "b": "2"}, "devDependencies": {"c": "1"}, "optionalDependencies": {"d": "1"}}',
        Kind.PIPFILE_ALONE: '[packages]\na = "*"\nb = "==1"\nc = "*"\n',
        Kind.GRADLE_BUILD: "dependencies {\n  implementation 'a:b:1.0'\n  api(\"c:d:2\")\n  runtimeOnly 'e:f'\n  testImplementation 'x:y:1'\n}\n",
    }
    assert [read_text(text, "x", kind).unlocked for kind, text in counted.items()] == [3, 3, 3, 3]
    assert read_text("setup(install_requires=['a'])", "setup.py", Kind.SETUP).notices != ()


def test_which_manifests_have_a_lock():
    paths = [
        "web/package.json",
        "web/yarn.lock",
        "web/packages/a/package.json",
        "api/pyproject.toml",
        "other/package.json",
        "go.mod",
    ]
    assert [path for path, _ in dependency_files(paths)] == [
        "api/pyproject.toml",
        "go.mod",
        "other/package.json",
        "web/yarn.lock",
    ]


def test_what_is_installed_or_hidden_is_not_read():
    paths = [
        "node_modules/a/package-lock.json",
        "a/vendor/go.mod",
        ".venv/requirements.txt",
        "a/.cache/poetry.lock",
        "lockfile.json",
    ]
    assert dependency_files(paths) == []
    assert other_locks([*paths, "Cargo.lock", "x/Gemfile.lock", "vendor/Cargo.lock"]) == [
        "Cargo.lock",
        "x/Gemfile.lock",
    ]


def test_very_many_manifests_are_sorted_out_at_once():
    deep = [f"{'d/' * 30}{n}/package.json" for n in range(20_000)]
    assert len(dependency_files([*deep, "package-lock.json"])) == 1
