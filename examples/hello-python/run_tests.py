"""Runs the unittest tests beside this file and writes a JUnit XML report: `run_tests.py REPORT`."""

import sys
import time
import unittest
from pathlib import Path
from xml.etree import ElementTree

HERE = Path(__file__).resolve().parent
MAX_TEXT = 8192


class TimedResult(unittest.TextTestResult):
    """Remembers (test, seconds, outcome, text) of every test; outcome is passed, failure, error or skipped."""

    def __init__(self, *args, **kwargs):
        super().__init__(*args, **kwargs)
        self.cases = []
        self._verdicts = {}
        self._started = 0.0

    def startTest(self, test):  # noqa: N802 - unittest's name
        super().startTest(test)
        self._started = time.perf_counter()

    def stopTest(self, test):  # noqa: N802 - unittest's name
        super().stopTest(test)
        outcome, text = self._verdicts.pop(test.id(), ("passed", ""))
        self.cases.append((test.id(), time.perf_counter() - self._started, outcome, text))

    def addFailure(self, test, err):  # noqa: N802 - unittest's name
        super().addFailure(test, err)
        self._verdicts[test.id()] = ("failure", self.failures[-1][1])

    def addError(self, test, err):  # noqa: N802 - unittest's name
        super().addError(test, err)
        self._verdicts[test.id()] = ("error", self.errors[-1][1])
        if not isinstance(test, unittest.TestCase):
            self.cases.append((test.id(), 0.0, "error", self.errors[-1][1]))

    def addSkip(self, test, reason):  # noqa: N802 - unittest's name
        super().addSkip(test, reason)
        self._verdicts[test.id()] = ("skipped", reason)


def to_junit(cases):
    """The report as an element tree: one suite, one test case per test."""
    count = {kind: str(sum(case[2] == kind for case in cases)) for kind in ("failure", "error", "skipped")}
    suite = ElementTree.Element(
        "testsuite",
        name="hello-python",
        tests=str(len(cases)),
        failures=count["failure"],
        errors=count["error"],
        skipped=count["skipped"],
        time=f"{sum(case[1] for case in cases):.3f}",
    )
    for name, seconds, outcome, text in cases:
        where, _, test = name.rpartition(".")
        case = ElementTree.SubElement(suite, "testcase", classname=where, name=test, time=f"{seconds:.3f}")
        if outcome != "passed":
            last_line = (text.strip().splitlines() or [""])[-1]
            ElementTree.SubElement(case, outcome, message=last_line[:500]).text = text[-MAX_TEXT:]
    return ElementTree.ElementTree(suite)


def main(report):
    """Run everything; 0 when all passed, 1 when not, 2 when there is nothing to run."""
    sys.path.insert(0, str(HERE))
    suite = unittest.defaultTestLoader.discover(str(HERE), pattern="test_*.py")
    result = unittest.TextTestRunner(stream=sys.stdout, verbosity=2, resultclass=TimedResult).run(suite)
    Path(report).parent.mkdir(parents=True, exist_ok=True)
    to_junit(result.cases).write(report, encoding="utf-8", xml_declaration=True)
    if not result.cases:
        return 2
    return 0 if result.wasSuccessful() else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else "reports/junit.xml"))
