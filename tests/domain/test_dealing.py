"""Places are dealt in turn between owners."""

from collections.abc import Iterable
from uuid import UUID, uuid4

import pytest

from domain.dealing import Deal, share_of_one


def joined(deal: Deal[UUID, str], organization: str, count: int) -> list[UUID]:
    operations = [uuid4() for _ in range(count)]
    for operation in operations:
        deal.join(operation, organization)
    return operations


def drained(deal: Deal[UUID, str], names: dict[UUID, str]) -> Iterable[str]:
    """One slot after the other: who had it, in order."""
    while (operation := deal.next()) is not None:
        yield names[operation]
        deal.give_back(operation)


@pytest.mark.parametrize(
    ("total", "wanted", "share"), [(1, None, 1), (2, None, 1), (4, None, 3), (4, 2, 2), (2, 9, 2), (1, 1, 1)]
)
def test_one_organization_leaves_a_slot_to_the_others(total: int, wanted: int | None, share: int) -> None:
    assert share_of_one(total, wanted) == share


def test_six_hundred_builds_of_one_do_not_make_anothers_single_one_wait() -> None:
    deal: Deal[UUID, str] = Deal(total=1, share=1)
    many = joined(deal, "many", 600)
    assert deal.next() == many[0]
    (single,) = joined(deal, "single", 1)
    assert deal.next() is None
    deal.give_back(many[0])
    assert deal.next() == single
    deal.give_back(single)
    assert deal.next() == many[1]


def test_one_organization_never_holds_more_than_its_share() -> None:
    deal: Deal[UUID, str] = Deal(total=4, share=3)
    joined(deal, "many", 6)
    assert [deal.next() is not None for _ in range(4)] == [True, True, True, False]
    (other,) = joined(deal, "other", 1)
    assert deal.next() == other


def test_turns_go_round_and_who_comes_again_stands_behind() -> None:
    deal: Deal[UUID, str] = Deal(total=1, share=1)
    names = {o: name for name in "abc" for o in joined(deal, name, 3)}
    assert "".join(drained(deal, names)) == "abcabcabc"
    names |= {o: name for name in "ca" for o in joined(deal, name, 2)}
    names |= dict.fromkeys(joined(deal, "b", 1), "b")
    assert "".join(drained(deal, names)) == "abcac"


def test_who_returns_again_and_again_does_not_starve_the_one_that_waits() -> None:
    deal: Deal[UUID, str] = Deal(total=1, share=1)
    names = dict.fromkeys(joined(deal, "waiting", 5), "waiting")
    order = []
    for turn in range(20):
        name = f"returning {turn % 2}"
        names |= dict.fromkeys(joined(deal, name, 1), name)
        operation = deal.next()
        assert operation is not None
        order.append(names[operation])
        deal.give_back(operation)
    assert order.count("waiting") == 5


def test_who_leaves_the_line_takes_no_slot() -> None:
    deal: Deal[UUID, str] = Deal(total=1, share=1)
    (gone,) = joined(deal, "gone", 1)
    deal.leave(gone, "gone")
    deal.leave(gone, "gone")
    assert deal.next() is None
    assert deal.waiting("gone") == 0
    deal.give_back(gone)
    assert deal.held == {}


def test_who_holds_nothing_gets_one_beyond_the_total() -> None:
    """Organizations whose drains take twenty minutes each have all places: the next one waits for none of them."""
    deal: Deal[UUID, str] = Deal(total=4, share=2, one_each=True)
    for name in "abcdef":
        joined(deal, name, 100)
    given = []
    while (operation := deal.next()) is not None:
        given.append(deal.held[operation])
    assert given == list("abcdef")
    joined(deal, "late", 1)
    late = deal.next()
    assert late is not None
    assert deal.held[late] == "late"
    assert deal.next() is None


def test_deciding_costs_no_more_with_many_owners_and_forgets_what_is_past() -> None:
    deal: Deal[int, int] = Deal(total=1, share=1)
    for key in range(20_000):
        deal.join(key, key % 1000)
    order = []
    while (key := deal.next()) is not None:
        order.append(key % 1000)
        deal.give_back(key)
    assert order == [turn % 1000 for turn in range(20_000)]
    for key in range(5000):
        deal.join(key, 1)
        deal.join(-key - 1, 2)
        while (given := deal.next()) is not None:
            deal.give_back(given)
    assert len(deal._heap) < 100


def test_who_came_last_of_the_longest_line_is_found() -> None:
    deal: Deal[UUID, str] = Deal(total=1, share=1)
    assert deal.last_in_longest_line() is None
    joined(deal, "few", 2)
    many = joined(deal, "many", 3)
    assert deal.last_in_longest_line() == (many[-1], "many")
    assert deal.all_waiting == 5
