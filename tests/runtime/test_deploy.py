"""What can be said of the production files without pulling images."""

import base64
import re
import secrets

import yaml

from runtime import guards
from runtime.keys import ensure_key
from runtime.settings import ROOT, Settings

COMPOSE = yaml.safe_load((ROOT / "deploy" / "compose.yaml").read_text())
SERVICES = COMPOSE["services"]


def test_the_parts_are_there_and_wait_for_each_other():
    assert {"postgres", "temporal", "temporal-ui", "ingress", "migrations", "api", "worker"} <= SERVICES.keys()
    for service in SERVICES.values():
        assert set(service.get("depends_on", {})) <= SERVICES.keys()


def test_volumes_and_secrets_are_declared():
    used = {volume.split(":")[0] for service in SERVICES.values() for volume in service.get("volumes", ())}
    assert used == COMPOSE["volumes"].keys()
    assert {name for service in SERVICES.values() for name in service.get("secrets", ())} == COMPOSE["secrets"].keys()


def test_only_settings_that_exist_are_set():
    known = {f"DELIVERY_{name.upper()}" for name in Settings.model_fields}
    set_here = set(COMPOSE["x-engine"]["environment"])
    set_here |= set(re.findall(r"DELIVERY_[A-Z_]+", (ROOT / "deploy" / "Containerfile").read_text()))
    assert set_here <= known


def test_every_variable_has_a_line_in_the_example():
    used = set(re.findall(r"\$\{([A-Z_]+)", (ROOT / "deploy" / "compose.yaml").read_text()))
    given = set(re.findall(r"^([A-Z_]+)=", (ROOT / "deploy" / "env.example").read_text(), re.MULTILINE))
    assert used == given


def test_the_image_copies_folders_that_exist():
    copied = re.findall(r"^COPY (\S+)", (ROOT / "deploy" / "Containerfile").read_text(), re.MULTILINE)
    assert all((ROOT / name).exists() for name in copied)
    ignored = (ROOT / ".dockerignore").read_text()
    assert all(f"!{name}\n" in ignored for name in copied)


def test_every_setting_is_documented():
    page = (ROOT / "docs" / "settings.md").read_text()
    missing = [name for name in Settings.model_fields if f"`DELIVERY_{name.upper()}`" not in page]
    assert missing == []


def test_what_the_compose_file_sets_passes_the_guards(tmp_path):
    ensure_key(tmp_path / "jwt.pem")
    words = {
        "PUBLIC_URL": "https://delivery.example.com",
        "TEMPORAL_UI_URL": "https://temporal.example.com",
        "ADMIN_EMAIL": "ada@example.com",
    }

    def fill(match: re.Match[str]) -> str:
        if match[1].endswith("_KEYS"):
            return base64.b64encode(secrets.token_bytes(32)).decode()
        return words.get(match[1], secrets.token_hex(24))

    given = {
        name.removeprefix("DELIVERY_").lower(): re.sub(r"\$\{([A-Z_]+)[^}]*\}", fill, value)
        for name, value in COMPOSE["x-engine"]["environment"].items()
    }
    settings = Settings(**{**given, "jwt_private_key_file": tmp_path / "jwt.pem", "data_dir": tmp_path})
    assert guards.faults(settings, guards.API) == []


def test_the_ui_is_behind_single_sign_on_and_only_looks():
    ui = SERVICES["temporal-ui"]["environment"]
    assert (ui["TEMPORAL_AUTH_ENABLED"], ui["TEMPORAL_DISABLE_WRITE_ACTIONS"]) == ("true", "true")
    assert (ui["TEMPORAL_CODEC_PASS_ACCESS_TOKEN"], ui["TEMPORAL_CODEC_ENDPOINT"][-15:]) == ("true", "/temporal/codec")
