"""Where logins are kept, who can read them, and to whom they are sent."""

import json
import stat
import sys
import threading
import types

import pytest
from delivery_cli.commands.login import read_secret
from delivery_cli.config import credentials, folders, profiles
from delivery_cli.config.credentials import Credentials
from delivery_cli.config.folders import only_one
from delivery_cli.config.profiles import Profile
from delivery_cli.faults import Fault, UsageFault
from delivery_cli.session import identity

KEY = "sk-live_" + "a" * 38


def file(home):
    return home / ".config" / "delivery" / "credentials.json"


def test_a_key_is_in_a_file_that_its_user_alone_can_read(home):
    where = credentials.write("default", Credentials(api_key=KEY))
    assert where == str(file(home))
    assert stat.S_IMODE(file(home).stat().st_mode) == 0o600
    assert stat.S_IMODE(file(home).parent.stat().st_mode) == 0o700
    assert credentials.read("default").api_key == KEY
    assert credentials.read("other") == Credentials()
    assert KEY not in repr(credentials.read("default"))


def test_a_file_that_others_could_read_is_mended_and_told(home, capsys):
    credentials.write("default", Credentials(api_key=KEY))
    file(home).chmod(0o644)
    assert credentials.read("default").api_key == KEY
    assert stat.S_IMODE(file(home).stat().st_mode) == 0o600
    assert "was readable by others" in capsys.readouterr().err


def test_xdg_folders_are_used_and_relative_ones_are_not(home, monkeypatch):
    monkeypatch.setenv("XDG_CONFIG_HOME", str(home / "elsewhere"))
    credentials.write("default", Credentials(api_key=KEY))
    assert (home / "elsewhere" / "delivery" / "credentials.json").exists()
    monkeypatch.setenv("XDG_CONFIG_HOME", "relative")
    assert not credentials.read("default")


def test_line_ends_of_a_secret_are_part_of_it(tmp_path):
    (tmp_path / "key").write_bytes(b"a\r\nb\r\n")
    assert read_secret(tmp_path / "key", "it") == "a\r\nb\r\n"


def test_two_logins_at_once_are_both_kept(home):
    names = [f"p{number}" for number in range(24)]

    def log_in(name):
        credentials.write(name, Credentials(api_key=f"{KEY}{name}"))
        profiles.save(Profile(name, "http://127.0.0.1:9"))

    threads = [threading.Thread(target=log_in, args=(name,)) for name in names]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(120)
    assert [credentials.read(name).api_key for name in names] == [f"{KEY}{name}" for name in names]
    assert profiles.names() == sorted(names)


def test_a_lock_that_a_stopped_process_holds_is_not_waited_for_without_end(home, monkeypatch):
    monkeypatch.setattr(folders, "PATIENCE", 0.2)
    with only_one("renewal"), pytest.raises(Fault, match="another `delivery` has held"), only_one("renewal"):
        pytest.fail("two at once")


def test_an_organization_of_another_server_is_not_asked_for(home, monkeypatch):
    profiles.save(Profile("default", "https://one.example.com", organization="0193b5a0", client_id="c"))
    monkeypatch.setenv("DELIVERY_URL", "https://one.example.com/v1/")
    assert profiles.load().organization == "0193b5a0"
    monkeypatch.setenv("DELIVERY_URL", "https://two.example.com")
    assert (profiles.load().url, profiles.load().organization) == ("https://two.example.com", "")


@pytest.mark.parametrize("text", ["{", "[]", '{"default": 1}', "\x00"])
def test_a_damaged_file_is_named(home, text):
    file(home).parent.mkdir(parents=True)
    file(home).write_text(text)
    with pytest.raises(UsageFault, match="damaged"):
        credentials.read("default")


class Ring(types.ModuleType):
    """What the package `keyring` has, in memory."""

    def __init__(self, priority: float = 5) -> None:
        super().__init__("keyring")
        self.kept: dict[tuple[str, str], str] = {}
        self.priority = priority

    def get_keyring(self):
        return self

    def set_password(self, service, name, text):
        self.kept[service, name] = text

    def get_password(self, service, name):
        return self.kept.get((service, name))

    def delete_password(self, service, name):
        del self.kept[service, name]


def test_the_keyring_is_used_where_there_is_one(home, monkeypatch):
    ring = Ring()
    monkeypatch.setitem(sys.modules, "keyring", ring)
    monkeypatch.delenv("DELIVERY_KEYRING")
    assert credentials.write("default", Credentials(api_key=KEY)) == "the system's keyring"
    assert KEY not in file(home).read_text()
    assert credentials.read("default").api_key == KEY
    ring.kept.clear()
    with pytest.raises(UsageFault, match="keyring"):
        credentials.read("default")
    credentials.forget("default")
    assert not credentials.read("default")


def test_a_keyring_without_a_place_is_none(home, monkeypatch):
    monkeypatch.setitem(sys.modules, "keyring", Ring(priority=0))
    monkeypatch.delenv("DELIVERY_KEYRING")
    assert credentials.write("default", Credentials(api_key=KEY)) == str(file(home))


def test_profiles_are_kept_and_the_environment_goes_before_them(monkeypatch):
    profiles.save(Profile("work", "https://delivery.example.com", "org-1"))
    assert profiles.load("work").organization == "org-1"
    monkeypatch.setenv("DELIVERY_PROFILE", "work")
    assert profiles.load().url == "https://delivery.example.com"
    monkeypatch.setenv("DELIVERY_URL", "https://other.example.com/v1/")
    assert profiles.load().url == "https://other.example.com"
    monkeypatch.delenv("DELIVERY_URL")
    with pytest.raises(UsageFault, match="there is no profile 'wrok'"):
        profiles.load("wrok")


@pytest.mark.parametrize(
    "address",
    ["", "delivery.example.com", "ftp://x", "http://", "https://u:p@x", "http://a b", "http://x:99999", "file:///etc"],
)
def test_what_is_no_address_of_a_server(address):
    with pytest.raises(UsageFault):
        profiles.checked_url(address)


def test_a_login_is_sent_to_no_other_server(monkeypatch):
    profiles.save(Profile("default", "https://delivery.example.com"))
    credentials.write("default", Credentials(api_key=KEY))
    monkeypatch.setenv("DELIVERY_URL", "https://evil.example.com")
    with pytest.raises(UsageFault, match="belongs to another server"):
        identity(profiles.load())
    monkeypatch.setenv("DELIVERY_URL", "https://delivery.example.com/v1")
    assert identity(profiles.load()) == {"api_key": KEY}


def test_the_environment_names_one_credential(monkeypatch):
    monkeypatch.setenv("DELIVERY_URL", "https://delivery.example.com")
    monkeypatch.setenv("DELIVERY_TOKEN", "abc\n")
    assert identity(profiles.load()) == {"token": "abc"}
    monkeypatch.setenv("DELIVERY_API_KEY", "def")
    with pytest.raises(UsageFault, match="both"):
        identity(profiles.load())


@pytest.mark.parametrize("value", ["two words", "käse", "   ", "a\x00b"])
def test_what_is_no_key_is_told_before_it_is_sent(monkeypatch, value):
    monkeypatch.setenv("DELIVERY_URL", "https://delivery.example.com")
    monkeypatch.setattr("os.environ", {**__import__("os").environ, "DELIVERY_API_KEY": value})
    with pytest.raises(UsageFault, match="is no key"):
        identity(profiles.load())


def test_one_process_renews_at_a_time(home):
    order = []

    def second():
        with only_one("renewal"):
            order.append("second")

    with only_one("renewal"):
        other = threading.Thread(target=second)
        other.start()
        order.append("first")
    other.join(60)
    assert order == ["first", "second"]


def test_a_profile_holds_no_secret(home):
    profiles.save(Profile("work", "https://delivery.example.com", "org-1", "client"))
    text = (home / ".config" / "delivery" / "profiles.json").read_text()
    assert json.loads(text) == {
        "work": {"url": "https://delivery.example.com", "organization": "org-1", "client_id": "client"}
    }
