"""Binds a tenant's PromQL to the tenant's own series, as prom-label-proxy does: label matchers in every selector.

A query is parsed, every selector gets the matchers besides its own (they are ANDed, so the tenant's own matcher for the
same label can only narrow it), and the query is serialized from the tree. The result is parsed again and compared:
whatever the serializer does with a value, a query with an unbound selector is never sent.
"""

import re
from collections.abc import Iterator, Sequence
from datetime import timedelta
from typing import Any

import promql_parser as promql

from domain.errors import ErrorCode, TerminalError

Labels = Sequence[tuple[str, str]]

MAX_DEPTH = 40
MAX_NODES = 200
MAX_RANGE = timedelta(hours=1)
_UNSAFE = re.compile(r"[\"'`\\\x00-\x1f\x7f]")
_REFUSED_FUNCTIONS = {"info": "it reads other series than those it is given"}
_OPENING, _CLOSING = "([{", ")]}"


def scoped(query: str, labels: Labels, key: str) -> str:
    """The query with all of its selectors bound to the labels.

    Args:
        query: the tenant's, with placeholders filled in.
        labels: name and value of each required label.
        key: of the query, for messages.

    Raises:
        TerminalError: SPEC_INVALID, not parsable or not allowed.
    """
    if any(_UNSAFE.search(value) for _, value in labels):
        raise _refused(key, "the labels it would be bound to cannot be written down safely")
    tree = parsed(query, key)
    _check(tree, key)
    try:
        text = str(promql.transform(tree, None, lambda node: _bound(node, labels)))
        written = promql.parse(text)
    except (ValueError, RecursionError):
        raise _refused(key, "it cannot be bound to your own series; write it more simply") from None
    if str(written) != text or not _is_bound(tree, written, labels):
        raise _refused(key, "it cannot be bound to your own series; write it more simply")
    return text


def parsed(query: str, key: str) -> Any:
    """The tree of a query.

    Raises:
        TerminalError: SPEC_INVALID, not parsable; the message says where.
    """
    if _depth(query) > MAX_DEPTH:
        raise _refused(key, f"it is nested more than {MAX_DEPTH} times")
    if query.count("+") + query.count("-") + query.count("^") > MAX_NODES:
        raise _refused(key, "it has too many operators")
    try:
        return promql.parse(query)
    except ValueError as error:
        words = f"Prometheus does not understand {key}: parse error: {str(error)[:200]}"
        raise TerminalError(words, code=ErrorCode.SPEC_INVALID) from None
    except RecursionError:
        raise _refused(key, "it is too long a chain of operators") from None


def _depth(query: str) -> int:
    """Maximum nesting of brackets and signs; those inside strings count too."""
    depth = deepest = 0
    for character in query:
        depth += (character in _OPENING) - (character in _CLOSING)
        deepest = max(deepest, depth)
    return deepest


def _check(tree: Any, key: str) -> None:
    """Refuse what cannot be serialized safely, or reads more than its text shows."""
    for count, node in enumerate(_nodes(tree), start=1):
        if count > MAX_NODES:
            raise _refused(key, f"it has more than {MAX_NODES} parts")
        for text in _texts(node):
            if _UNSAFE.search(text):
                raise _refused(key, r"quotes and backslashes inside of strings are not allowed; for \. write [.]")
        _check_node(node, key)


def _check_node(node: Any, key: str) -> None:
    match node:
        case promql.VectorSelector() if node.matchers.or_matchers:
            raise _refused(key, "`or` between label matchers is not allowed")
        case promql.MatrixSelector() if node.range > MAX_RANGE:
            raise _refused(key, "a range may be an hour at most")
        case promql.SubqueryExpr():
            raise _refused(key, "subqueries are not allowed")
        case promql.Call() if node.func.name in _REFUSED_FUNCTIONS:
            raise _refused(key, f"{node.func.name}() is not allowed: {_REFUSED_FUNCTIONS[node.func.name]}")


def _nodes(tree: Any) -> Iterator[Any]:
    """Every node of the tree. An unknown kind of node raises: it might hide a selector."""
    yield tree
    for child in _children(tree):
        yield from _nodes(child)


def _children(node: Any) -> tuple[Any, ...]:
    match node:
        case promql.AggregateExpr():
            return (node.expr,) if node.param is None else (node.param, node.expr)
        case promql.BinaryExpr():
            return node.lhs, node.rhs
        case promql.UnaryExpr() | promql.ParenExpr() | promql.SubqueryExpr():
            return (node.expr,)
        case promql.Call():
            return tuple(node.args)
        case promql.MatrixSelector():
            return (node.vector_selector,)
        case promql.VectorSelector() | promql.NumberLiteral() | promql.StringLiteral():
            return ()
    msg = f"unknown part of a query: {type(node).__name__}"
    raise TypeError(msg)


def _texts(node: Any) -> Iterator[str]:
    """Texts chosen by the tenant."""
    match node:
        case promql.StringLiteral():
            yield node.val
        case promql.VectorSelector():
            yield node.name or ""
            for matcher in node.matchers.matchers:
                yield from (matcher.name, matcher.value)


def _bound(node: Any, labels: Labels) -> Any:
    """A selector with the labels added; None leaves a node unchanged."""
    if not isinstance(node, promql.VectorSelector):
        return None
    ours = [promql.Matcher(promql.MatchOp.Equal, name, value) for name, value in labels]
    node.matchers = promql.Matchers([*node.matchers.matchers, *ours])
    return promql.parse(str(node))


def _is_bound(tree: Any, written: Any, labels: Labels) -> bool:
    """Whether the new text has the same nodes in the same order, with the labels in every selector."""
    kinds = [[type(node) for node in _nodes(one)] for one in (tree, written)]
    return kinds[0] == kinds[1] and all(
        _has(node, labels) for node in _nodes(written) if isinstance(node, promql.VectorSelector)
    )


def _has(selector: Any, labels: Labels) -> bool:
    found = {(m.name, m.value) for m in selector.matchers.matchers if m.op == promql.MatchOp.Equal}
    return not selector.matchers.or_matchers and found >= set(labels)


def _refused(key: str, why: str) -> TerminalError:
    return TerminalError(f"{key} is refused: {why}", code=ErrorCode.SPEC_INVALID)
