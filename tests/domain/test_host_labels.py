import re

from hypothesis import given
from hypothesis import strategies as st

from domain.host_labels import host_label, with_suffix

DNS_LABEL = re.compile(r"[a-z0-9]([a-z0-9-]{0,61}[a-z0-9])?")


@given(st.text(max_size=300), st.text("abc019", min_size=1, max_size=10))
def test_labels_of_any_slug_are_dns_safe(slug, suffix):
    label = host_label(slug)
    assert DNS_LABEL.fullmatch(label)
    longer = with_suffix(label, suffix)
    assert DNS_LABEL.fullmatch(longer)
    assert longer.endswith(f"-{suffix}")


def test_a_plain_slug_is_its_own_label():
    assert host_label("backend-api") == "backend-api"
    assert host_label("---") == "x"
