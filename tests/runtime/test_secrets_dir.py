"""Settings that are files: what a container's environment does not show."""

from pathlib import Path

import pytest

from runtime.settings import Settings


def test_a_file_holds_what_the_environment_does_not_have(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "delivery_database_url").write_text("postgresql+psycopg://a:from-a-file@h/d\n")
    (tmp_path / "delivery_log_level").write_text("DEBUG")
    (tmp_path / "another").write_text("of somebody else")
    monkeypatch.setenv("DELIVERY_SECRETS_DIR", str(tmp_path))
    monkeypatch.setenv("DELIVERY_LOG_LEVEL", "ERROR")
    settings = Settings()
    assert settings.database_url.get_secret_value() == "postgresql+psycopg://a:from-a-file@h/d"
    assert settings.log_level == "ERROR"
    assert settings.secrets_dir == tmp_path
    assert "from-a-file" not in repr(settings)


def test_a_folder_that_is_not_there_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("DELIVERY_SECRETS_DIR", str(tmp_path / "none"))
    with pytest.raises(ValueError, match=r"DELIVERY_SECRETS_DIR: .*none is no folder"):
        Settings()


def test_a_wrong_value_in_a_file_is_not_shown(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    (tmp_path / "delivery_redis_url").write_text("secret-word")
    monkeypatch.setenv("DELIVERY_SECRETS_DIR", str(tmp_path))
    with pytest.raises(ValueError, match="redis_url") as caught:
        Settings()
    assert "secret-word" not in str(caught.value)
