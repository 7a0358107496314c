import string

import pytest
from hypothesis import given
from hypothesis import strategies as st

from domain.api_keys import ALPHABET, PREFIX, build_key, hash_key, is_well_formed, key_permissions, lower, role_cap
from domain.permissions import Role, Scope, permissions_of

secrets = st.text(ALPHABET, min_size=32, max_size=32)


@given(secrets)
def test_every_key_is_well_formed_and_of_one_length(secret):
    key = build_key(secret)
    assert is_well_formed(key)
    assert key.startswith(PREFIX + secret)
    assert len(key) == len("sk-live_") + 32 + 6


@given(secrets, st.integers(0, 45), st.sampled_from(string.printable))
def test_a_key_with_another_character_is_none(secret, place, character):
    key = build_key(secret)
    changed = key[:place] + character + key[place + 1 :]
    assert is_well_formed(changed) is (changed == key)


@given(secrets, st.integers(0, 44))
def test_neighbours_that_changed_places_are_found(secret, place):
    key = build_key(secret)
    swapped = key[:place] + key[place + 1] + key[place] + key[place + 2 :]
    assert is_well_formed(swapped) is (swapped == key)


@given(st.text(max_size=60))
def test_anything_may_be_asked(text):
    assert not is_well_formed(text)


@pytest.mark.parametrize("text", ["", "sk-live_", build_key("0" * 32) + "\n", " " + build_key("0" * 32)])
def test_what_is_around_a_key_counts(text):
    assert not is_well_formed(text)


def test_hashes_are_sha_256():
    assert hash_key("abc") == "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"


@given(st.sampled_from(Role), st.sampled_from(Role), st.sets(st.sampled_from(Scope)))
def test_a_key_can_do_no_more_than_its_scopes_and_either_role(one, other, scopes):
    found = key_permissions(map(str, scopes), lower(one, other))
    assert found <= scopes
    assert found <= permissions_of(one)
    assert found <= permissions_of(other)


def test_a_key_never_stands_above_its_organization():
    assert role_cap(Role.PLATFORM_ADMIN) is Role.ADMIN
    assert role_cap(Role.VIEWER) is Role.VIEWER
