import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from domain.delivery_spec import DeliverySpec
from examples.repository import EXAMPLES


class BuiltExample:
    """An example built and tested with the commands of its own delivery.yaml."""

    def __init__(self, name: str, folder: Path) -> None:
        self.folder = folder
        ignore = shutil.ignore_patterns("dist", "reports", "__pycache__")
        shutil.copytree(EXAMPLES / name, folder, ignore=ignore)
        self.spec = DeliverySpec.model_validate(yaml.safe_load((folder / "delivery.yaml").read_text()))

    def shell(self, line: str) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            ["/bin/sh", "-eu", "-c", line], cwd=self.folder, capture_output=True, text=True, timeout=240, check=False
        )

    def build(self) -> None:
        for line in self.spec.build.steps:
            done = self.shell(line)
            assert done.returncode == 0, done.stdout + done.stderr

    def test(self) -> subprocess.CompletedProcess[str]:
        assert self.spec.test.command
        return self.shell(self.spec.test.command)

    @property
    def report(self) -> Path:
        assert self.spec.test.report
        return self.folder / self.spec.test.report

    @property
    def artifact(self) -> Path:
        return self.folder / self.spec.build.output

    @property
    def command(self) -> str:
        assert self.spec.service.command
        return self.spec.service.command


@pytest.fixture(scope="session")
def hello_python(tmp_path_factory):
    example = BuiltExample("hello-python", tmp_path_factory.mktemp("a place") / "hello")
    example.build()
    return example


@pytest.fixture(scope="session")
def hello_c(tmp_path_factory):
    if not shutil.which("cc") or not shutil.which("make"):
        pytest.skip("this machine has no C compiler or no make; the example needs both")
    example = BuiltExample("hello-c", tmp_path_factory.mktemp("a place") / "hello")
    example.build()
    return example
