import base64

import pytest

from domain.errors import DependencyError
from runtime.encryption import Sealer, encryption_key_file, ensure_encryption_key, load_sealer
from runtime.settings import Settings

OLD, NEW = b"o" * 32, b"n" * 32


def test_a_sealed_secret_opens_for_its_own_context_only():
    sealer = Sealer([NEW])
    sealed = sealer.seal(b"hunter2", "webhook:1")
    assert b"hunter2" not in sealed
    assert sealer.open(sealed, "webhook:1") == b"hunter2"
    with pytest.raises(DependencyError, match="does not open"):
        sealer.open(sealed, "webhook:2")


def test_a_changed_secret_does_not_open():
    sealed = bytearray(Sealer([NEW]).seal(b"hunter2", "c"))
    sealed[-1] ^= 1
    with pytest.raises(DependencyError, match="does not open"):
        Sealer([NEW]).open(bytes(sealed), "c")


def test_an_older_key_still_opens_and_is_known_from_the_newest():
    sealed = Sealer([OLD]).seal(b"hunter2", "c")
    rotated = Sealer([NEW, OLD])
    assert rotated.open(sealed, "c") == b"hunter2"
    assert not rotated.is_current(sealed)
    assert rotated.is_current(rotated.seal(b"hunter2", "c"))
    with pytest.raises(DependencyError, match="DELIVERY_ENCRYPTION_KEYS"):
        Sealer([NEW]).open(sealed, "c")


def test_keys_come_from_the_settings_else_from_the_data_folder(tmp_path):
    settings = Settings(data_dir=tmp_path)
    with pytest.raises(DependencyError, match="no encryption keys"):
        load_sealer(settings)
    ensure_encryption_key(encryption_key_file(settings))
    assert encryption_key_file(settings).stat().st_mode & 0o777 == 0o600
    sealed = load_sealer(settings).seal(b"s", "c")
    ensure_encryption_key(encryption_key_file(settings))
    assert load_sealer(settings).open(sealed, "c") == b"s"
    given = Settings(data_dir=tmp_path, encryption_keys=base64.b64encode(NEW).decode())
    assert Sealer([NEW]).open(load_sealer(given).seal(b"s", "c"), "c") == b"s"


@pytest.mark.parametrize("text", ["short", "c2hvcnQ=", "!"])
def test_a_wrong_key_is_refused_by_name(tmp_path, text):
    with pytest.raises(DependencyError, match="DELIVERY_ENCRYPTION_KEYS"):
        load_sealer(Settings(data_dir=tmp_path, encryption_keys=text))


def test_a_fingerprint_tells_a_text_again_also_after_a_rotation_and_to_nobody_without_a_key():
    old, rotated = Sealer([OLD]), Sealer([NEW, OLD])
    (before,) = old.fingerprints(b"hunter2", "c")
    assert before in rotated.fingerprints(b"hunter2", "c")
    assert before != rotated.fingerprints(b"hunter2", "c")[0]
    assert before not in rotated.fingerprints(b"hunter3", "c") + rotated.fingerprints(b"hunter2", "d")
    assert before not in Sealer([NEW]).fingerprints(b"hunter2", "c")
