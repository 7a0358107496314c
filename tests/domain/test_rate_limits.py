import pytest

from domain.rate_limits import PLANS, Allowance, Count, Decision, Plan, Quota, allowance_of


def count(limit: int, used: int, resets_in_s: float) -> Count:
    return Count(Quota("key", "policy", limit, 60), used, resets_in_s)


def test_the_plans_are_the_contracts():
    assert PLANS[Plan.FREE] == Allowance(100, 1_000, 10_000)
    assert PLANS[Plan.PROFESSIONAL] == Allowance(1_000, 50_000, 500_000)
    assert [window.seconds for window in PLANS[Plan.FREE].windows] == [60, 3600, 86_400]


def test_only_enterprise_has_numbers_of_its_own():
    assert allowance_of(Plan.ENTERPRISE, 7, None, 9) == Allowance(7, PLANS[Plan.ENTERPRISE].per_hour, 9)
    assert allowance_of(Plan.FREE, 7, 8, 9) == PLANS[Plan.FREE]


def test_the_tightest_window_has_the_least_left_and_of_those_lasts_longest():
    minute, hour, day = count(10, 10, 5.0), count(100, 100, 50.0), count(1000, 100, 500.0)
    assert Decision(allowed=True, counts=[minute, hour, day]).tightest is hour


@pytest.mark.parametrize(("resets", "seconds"), [([0.2, 30.1, 99.0], 31), ([0.0, 0.0, 9.0], 1)])
def test_a_refused_request_waits_for_the_last_of_the_full_windows(resets, seconds):
    counts = [count(10, 10, resets[0]), count(100, 100, resets[1]), count(1000, 1, resets[2])]
    assert Decision(allowed=False, counts=counts).retry_after_s == seconds
    assert Decision(allowed=True, counts=counts).retry_after_s == 0
