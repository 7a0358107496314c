"""The Java SDK: `mvn verify` is clean. That is its compiler, its tests against real servers, and its Javadoc."""

import re
import shutil
import subprocess
import sys

import pytest

from sdks.generate.java_names import camel, pascal, type_of, words_of
from sdks.generate.languages import SDKS

LIMIT_S = 1500
HERE = SDKS / "java"


def maven(*goals: str, online: bool) -> subprocess.CompletedProcess[str]:
    command = ["mvn", "-q", "-B", *(() if online else ("-o",)), *goals]
    return subprocess.run(command, cwd=HERE, timeout=LIMIT_S, capture_output=True, text=True, check=False)


@pytest.mark.deep
@pytest.mark.timeout(2 * LIMIT_S)
def test_mvn_verify_is_clean_and_its_size_and_cold_start_are_printed():
    missing = [name for name in ("java", "mvn") if shutil.which(name) is None]
    if missing:
        pytest.skip(f"NOT SEEN: sdks/java is not built: no {' and no '.join(missing)} on this machine")
    done = maven("clean", "verify", online=False)
    if "offline mode" in done.stdout + done.stderr:  # nothing was fetched on this machine before
        done = maven("clean", "verify", online=True)
    assert done.returncode == 0, (done.stdout + done.stderr)[-5000:]
    assert "WARN" not in done.stdout + done.stderr, done.stdout + done.stderr
    reports = [one.read_text() for one in (HERE / "target" / "surefire-reports").glob("*.xml")]
    counts = [re.search(r'tests="(\d+)" errors="0" skipped="0" failures="0"', one) for one in reports]
    assert sum(int(one[1]) for one in counts if one) > 50, "tests that did not run are no proof"
    measured = subprocess.run(["sh", "measure.sh"], cwd=HERE, capture_output=True, text=True, timeout=60, check=True)
    sys.stdout.write(measured.stdout)


def test_words_of_the_document_are_safe_in_a_comment():
    assert words_of("Ends */ here, for <T> & `a < b`, @since") == (
        "Ends *&#47; here, for &lt;T&gt; &amp; <code>a &lt; b</code>, &#64;since"
    )
    assert words_of("One.\n\nTwo\nlines.") == "One. <p>Two lines."


@pytest.mark.parametrize(
    ("name", "method", "class_"),
    [
        ("list_for_build", "listForBuild", "ListForBuild"),
        ("If-None-Match", "ifNoneMatch", "IfNoneMatch"),
        ("default", "default_", "Default"),
    ],
)
def test_names_are_javas(name, method, class_):
    assert (camel(name), pascal(name)) == (method, class_)


@pytest.mark.parametrize(
    ("schema", "expected"),
    [
        ({"type": "string", "format": "uuid"}, "String"),
        ({"anyOf": [{"type": "string", "format": "date-time"}, {"type": "null"}]}, "OffsetDateTime"),
        ({"type": "array", "items": {"$ref": "#/components/schemas/UserStory"}}, "List<UserStory>"),
        ({"type": "object", "additionalProperties": {"type": "integer"}}, "Map<String, Integer>"),
        ({"type": "object", "additionalProperties": True}, "Map<String, Object>"),
        ({}, "Object"),
    ],
)
def test_types_are_javas(schema, expected):
    assert type_of(schema) == expected
