"""What takes long is done less often."""

from events.duty_cycle import Pace


def test_what_takes_long_takes_its_share_of_the_time_and_no_more():
    pace = Pace(every_s=1, share=0.05)
    assert pace.is_due(100)
    pace.done(100, 100.01)
    assert not pace.is_due(100.9)
    assert pace.is_due(101)
    pace.done(101, 103)
    assert not pace.is_due(140)
    assert pace.is_due(141)
