"""What all workflows share holds nothing that one of them could change."""

import ast
import importlib
import inspect
from collections import deque

import pytest

from workflows.registry import COLLABORATORS

MUTABLE = list | dict | set | bytearray | deque


@pytest.mark.parametrize("name", COLLABORATORS)
def test_what_is_read_once_for_all_workflows_has_no_state(name: str) -> None:
    module = importlib.import_module(name)
    # What it imports are tables of the domain: their type, Mapping, lets nobody change them.
    own = [node for node in ast.parse(inspect.getsource(module)).body if isinstance(node, ast.Assign | ast.AnnAssign)]
    targets = [target for node in own for target in (node.targets if isinstance(node, ast.Assign) else [node.target])]
    names = [target.id for target in targets if isinstance(target, ast.Name)]
    assert [name for name in names if isinstance(vars(module)[name], MUTABLE)] == []
