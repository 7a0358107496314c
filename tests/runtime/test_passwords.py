import asyncio

import pytest
from argon2 import PasswordHasher
from hypothesis import given, settings
from hypothesis import strategies as st

from domain.emails import normal_email
from domain.errors import DependencyError
from runtime.credentials import CLIENT_SECRET, digest, matches, new_secret
from runtime.passwords import MAX_BYTES, Passwords, check_password, new_password

CHEAP = PasswordHasher(time_cost=1, memory_cost=8, parallelism=1)


async def test_a_password_verifies_and_others_do_not():
    passwords = Passwords(CHEAP)
    stored = await passwords.hash("correct horse")
    assert stored.startswith("$argon2id$")
    assert "horse" not in stored
    assert await passwords.verify(stored, "correct horse")
    assert not await passwords.verify(stored, "correct horsf")
    assert not await passwords.verify("not a hash", "correct horse")


async def test_nobodys_password_is_hashed_as_long_as_anybodys():
    passwords, hashed = Passwords(CHEAP), []
    stored = await passwords.hash("correct horse")

    class Counting:
        def verify(self, stored: str, plain: bytes) -> bool:
            hashed.append(stored)
            return True

    passwords._hasher = Counting()
    assert not await passwords.verify(None, "correct horse")
    assert await passwords.verify(stored, "correct horse")
    assert len(hashed) == 2
    assert hashed[0].rpartition("$")[0].rpartition("$")[0] == stored.rpartition("$")[0].rpartition("$")[0]


async def test_a_hash_of_older_parameters_verifies_and_is_not_current():
    old, new = Passwords(CHEAP), Passwords(PasswordHasher(time_cost=2, memory_cost=8, parallelism=1))
    stored = await old.hash("correct horse")
    assert old.is_current(stored)
    assert await new.verify(stored, "correct horse")
    assert not new.is_current(stored)


def test_the_parameters_are_those_of_rfc_9106():
    present = PasswordHasher()
    assert (present.memory_cost, present.time_cost, present.parallelism) == (64 * 1024, 3, 4)


@pytest.mark.parametrize("password", ["", "1234567", "x" * (MAX_BYTES + 1), "ü" * (MAX_BYTES // 2 + 1)])
async def test_too_short_and_too_long_ones_cannot_be_set_and_match_nothing(password):
    passwords = Passwords(CHEAP)
    with pytest.raises(ValueError, match="must"):
        await passwords.hash(password)
    assert not await passwords.verify(await passwords.hash("correct horse"), password)


@settings(max_examples=25)
@given(st.text(min_size=8, max_size=200))
def test_whatever_can_be_set_verifies(password):
    async def check() -> bool:
        passwords = Passwords(CHEAP)
        return await passwords.verify(await passwords.hash(password), password)

    assert asyncio.run(check())


async def test_the_same_characters_typed_otherwise_are_the_same_password():
    passwords = Passwords(CHEAP)
    assert await passwords.verify(await passwords.hash("M\u00fcnchen1"), "Mu\u0308nchen1")


async def test_who_waits_too_long_for_a_place_is_asked_to_come_back():
    passwords = Passwords(CHEAP, at_once=1, wait_s=0.01)
    await passwords._turns.acquire()
    with pytest.raises(DependencyError, match="too many logins"):
        await passwords.verify(None, "correct horse")
    passwords._turns.release()
    assert await passwords.verify(await passwords.hash("correct horse"), "correct horse")


def test_secrets_of_machines_are_256_bits_and_stored_as_a_hash():
    secret = new_secret(CLIENT_SECRET)
    assert secret.startswith("cs-")
    assert len(secret) == 3 + 43
    assert secret != new_secret(CLIENT_SECRET)
    assert matches(secret, digest(secret))
    assert not matches(secret + "x", digest(secret))
    assert not matches(secret, None)
    assert not matches("\ud800", digest(secret))
    check_password(new_password())


@pytest.mark.parametrize(
    "text", ["", "ada", "ada@", "@x.com", "ada@x", "a b@x.com", "a@x.com\n", "a@-x.com", "a@x..com"]
)
def test_what_is_no_address_is_refused(text):
    with pytest.raises(ValueError, match="e-mail"):
        normal_email(text)


def test_an_address_has_one_spelling():
    assert normal_email("Ada.Lovelace+x@Example.COM") == "ada.lovelace+x@example.com"
