"""Which changes of an environment's settings weaken its guards."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.deployment_lock import TurnPolicy
from domain.environment_settings import ApprovalRule, EnvironmentSettings, protection_of, weakened
from domain.windows import Window, WindowKind, window_state


def window(name: str, kind: WindowKind, hour: int, hours: int) -> Window:
    start = datetime(2026, 1, 5, hour)  # noqa: DTZ001 - local to the zone
    return Window(
        name=name, kind=kind, time_zone="UTC", start=start, duration=timedelta(hours=hours), rrule="FREQ=DAILY"
    )


FREEZE, OFFICE = window("night", WindowKind.DENY, 20, 4), window("office", WindowKind.ALLOW, 9, 8)
RULE = ApprovalRule(required=True, min_approvals=2, four_eyes=True)
GUARDED = EnvironmentSettings(approval=RULE, windows=(FREEZE, OFFICE))


@pytest.mark.parametrize(
    ("changes", "loosened"),
    [
        ({"approval": None}, ("approval",)),
        ({"approval": RULE.model_copy(update={"required": False})}, ("approval",)),
        ({"approval": RULE.model_copy(update={"min_approvals": 1})}, ("approval",)),
        ({"approval": RULE.model_copy(update={"four_eyes": False})}, ("approval",)),
        ({"approval": ApprovalRule(required=True, min_approvals=9, four_eyes=False)}, ("approval",)),
        ({"windows": ()}, ("windows",)),
        ({"windows": (OFFICE,)}, ("windows",)),
        ({"windows": (FREEZE,)}, ("windows",)),
        ({"windows": (FREEZE, OFFICE, window("evening", WindowKind.ALLOW, 18, 1))}, ("windows",)),
        ({"windows": (window("night", WindowKind.DENY, 20, 3), OFFICE)}, ("windows",)),
        ({"policy": TurnPolicy.SUPERSEDE}, ("policy",)),
        ({"approval": None, "windows": ()}, ("approval", "windows")),
        ({"approval": RULE.model_copy(update={"min_approvals": 3})}, ()),
        ({"windows": (FREEZE, OFFICE, window("lunch", WindowKind.DENY, 12, 1))}, ()),
        ({"policy": TurnPolicy.REJECT}, ()),
    ],
)
def test_what_weakens_a_guard(changes: dict, loosened: tuple[str, ...]) -> None:
    assert weakened(GUARDED, GUARDED.changed(changes)) == loosened
    assert weakened(EnvironmentSettings(windows=(FREEZE,)), EnvironmentSettings()) == ()  # nobody protects it


rules = st.none() | st.builds(
    ApprovalRule, required=st.booleans(), min_approvals=st.integers(1, 4), four_eyes=st.booleans()
)
kinds = st.sampled_from(list(WindowKind))
windows = st.lists(st.builds(window, st.just("w"), kinds, st.integers(0, 23), st.integers(1, 12)), max_size=3).map(
    lambda found: tuple(one.model_copy(update={"name": f"w{n}"}) for n, one in enumerate(found))
)
settings = st.builds(EnvironmentSettings, policy=st.sampled_from(list(TurnPolicy)), approval=rules, windows=windows)


@given(settings, settings, settings, st.integers(0, 47))
def test_steps_that_each_weaken_nothing_weaken_nothing_together(
    one: EnvironmentSettings, other: EnvironmentSettings, third: EnvironmentSettings, half_hour: int
) -> None:
    if protection_of(one) is None or weakened(one, other) or weakened(other, third):
        return
    assert protection_of(third) is not None
    assert weakened(one, third) == ()
    moment = datetime(2026, 3, 2, tzinfo=UTC) + timedelta(minutes=30 * half_hour)
    assert window_state(one.windows, moment).open or not window_state(third.windows, moment).open
