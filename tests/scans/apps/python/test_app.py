def test_prices_are_sums() -> None:
    assert 1 + 1 == 2
