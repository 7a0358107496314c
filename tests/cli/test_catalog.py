"""What `delivery --help` and every command's own help say."""

import shlex

import pytest
from delivery_cli.catalog import COMMANDS, EXAMPLES
from delivery_cli.dispatch import with_fields
from delivery_cli.tree import reference


def commands(parser=None, path=()):
    parser = parser or reference()
    for name, one in parser.commands.items():
        if hasattr(one, "commands"):
            yield from commands(one, (*path, name))
        else:
            yield (*path, name), one


ALL = dict(commands())


def test_every_command_of_the_catalog_is_there_with_its_own_first_line():
    parser = reference()
    assert set(parser.commands) == set(COMMANDS)
    for name, entry in COMMANDS.items():
        assert parser.commands[name].help.splitlines()[0] == entry.summary, name


@pytest.mark.parametrize("path", ALL, ids=" ".join)
def test_its_help_has_an_example_that_its_parser_understands(path, delivery):
    said = delivery(*path, "--help")
    assert said.code == 0
    assert said.err == ""
    shown = [line.strip() for line in said.out.partition("Examples:")[2].splitlines() if line.strip()]
    own = [line for line in shown if "delivery " in line]
    assert own, said.out
    for line in own:
        check(line, path)


def test_the_examples_of_the_overview_are_understood(delivery):
    said = delivery("--help")
    for line, _ in EXAMPLES:
        assert line in said.out
        check(line, (shlex.split(line)[1],))


def check(line, path):
    words = shlex.split(line.partition("  #")[0])
    words = words[words.index("delivery") + 1 :]
    for sign in ("<", ">", ">>", "|", "&&"):
        words = words[: words.index(sign)] if sign in words else words
    assert tuple(words[: len(path)]) == path, line
    rest = with_fields(words[len(path) :])
    with ALL[path].make_context("delivery", rest) as context:  # raises for what it does not understand
        assert context.args == []


def test_every_option_says_what_it_does():
    for path, one in ALL.items():
        for parameter in one.params:
            assert getattr(parameter, "help", "x"), (path, parameter.name)


def test_a_word_that_is_nearly_a_command(delivery):
    said = delivery("depoly")
    assert said.code == 2
    assert "did you mean `delivery deploy`?" in said.err


@pytest.mark.parametrize("shell", ["bash", "zsh", "fish"])
def test_completion(delivery, shell):
    said = delivery("completion", shell)
    assert said.code == 0
    assert "_DELIVERY_COMPLETE" in said.out
