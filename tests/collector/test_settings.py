"""Settings: where they come from, and what is said about wrong ones."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from p402.collector.address import Address
from p402.collector.settings import Settings, SettingsInvalid, load_settings


@pytest.fixture(autouse=True)
def _nothing_is_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    for name in [name for name in os.environ if name.startswith("P402_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "share"))


def configure(monkeypatch: pytest.MonkeyPatch, folder: Path, toml: str) -> None:
    file = folder / "p402.toml"
    file.write_text(toml)
    monkeypatch.setenv("P402_CONFIG", str(file))


def test_nothing_needs_to_be_set(tmp_path: Path) -> None:
    settings = load_settings()
    assert settings.database_file == tmp_path / "share" / "p402" / "p402.sqlite3"
    assert settings.log_key_file == tmp_path / "share" / "p402" / "keys" / "log.pem"
    assert settings.listen == Address("127.0.0.1", 4318)
    assert (settings.settlement_mode, settings.key_required, settings.default_organisation) == ("off", False, "default")


def test_the_environment_overrides_the_file_and_a_caller_both(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configure(monkeypatch, tmp_path, 'default_organisation = "a"\nsession_idle_seconds = 1\nlisten = "[::1]:9"\n')
    monkeypatch.setenv("P402_DEFAULT_ORGANISATION", "b")
    monkeypatch.setenv("P402_SESSION_IDLE_SECONDS", "2.5")
    settings = load_settings(default_organisation="c")
    assert (settings.default_organisation, settings.session_idle_seconds) == ("c", 2.5)
    assert settings.listen == Address("::1", 9)


def test_paths_of_the_database_and_the_key_can_be_given(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P402_DATABASE_URL", "sqlite:////var/lib/p402/books.sqlite3")
    monkeypatch.setenv("P402_SIGNING_KEY_FILE", "/etc/p402/log.pem")
    settings = load_settings()
    assert settings.database_file == Path("/var/lib/p402/books.sqlite3")
    assert settings.log_key_file == Path("/etc/p402/log.pem")


@pytest.mark.parametrize(
    ("listen", "required", "needed"),
    [
        ("127.0.0.1:1", None, False),
        ("localhost:1", None, False),
        ("[::1]:1", None, False),
        ("127.8.8.8:1", None, False),
        ("0.0.0.0:1", None, True),
        ("[::]:1", None, True),
        ("192.0.2.1:1", None, True),
        ("p402.example:1", None, True),
        ("127.0.0.1:1", "true", True),
        ("0.0.0.0:1", "false", False),
    ],
)
def test_a_key_is_needed_where_others_can_connect(
    monkeypatch: pytest.MonkeyPatch, *, listen: str, required: str | None, needed: bool
) -> None:
    monkeypatch.setenv("P402_LISTEN", listen)
    if required is not None:
        monkeypatch.setenv("P402_REQUIRE_KEY", required)
    assert load_settings().key_required is needed


@pytest.mark.parametrize(
    ("name", "value", "said"),
    [
        ("P402_LISTEN", "4318", "an address looks like 127.0.0.1:4318"),
        ("P402_LISTEN", "127.0.0.1:99999", "an address looks like 127.0.0.1:4318"),
        ("P402_MAX_REQUEST_BYTES", "0", "greater than 0"),
        ("P402_MAX_REQUEST_BYTES", "much", "valid integer"),
        ("P402_SESSION_IDLE_SECONDS", "-1", "greater than or equal to 0"),
        ("P402_SESSION_IDLE_SECONDS", "inf", ""),
        ("P402_SESSION_MAX_SECONDS", "nan", ""),
        ("P402_SESSION_CLOSE_GRACE_SECONDS", "1e300", ""),
        ("P402_SETTLEMENT_INTERVAL_SECONDS", "inf", ""),
        ("P402_REQUIRE_KEY", "perhaps", "valid boolean"),
        ("P402_SETTLEMENT_MODE", "give", "'off', 'anchor', 'pay' or 'reference'"),
        ("P402_SETTLEMENT_NETWORK", "ethereum", "'mainnet', 'moderato' or 'local'"),
        ("P402_RECEIPT_ORIGIN", "two words", "no spaces"),
        ("P402_RECEIPT_ORIGIN", "a+b", "no '+'"),
    ],
)
def test_a_wrong_value_is_named_with_what_it_should_be(
    monkeypatch: pytest.MonkeyPatch, name: str, value: str, said: str
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid) as refusal:
        load_settings()
    [_, line] = str(refusal.value).splitlines()
    assert line.startswith(f"  {name}: ")
    assert said in line


def test_a_password_is_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P402_DATABASE_URL", "postgresql://p402:hunter2@db/p402")
    settings = load_settings()
    assert settings.postgresql_url == "postgresql://p402:hunter2@db/p402"
    assert "hunter2" not in repr(settings)


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"P402_DEFAULT_ORGANISATION": " "}, "default_organisation must be 1 to 256 printable characters"),
        (
            {"P402_DATABASE_URL": "mysql://db/p402"},
            "database_url must be sqlite:///FILE or postgresql://user:password@host",
        ),
        ({"P402_SETTLEMENT_MODE": "anchor"}, "settlement_key_file must name the file of the signing key"),
    ],
)
def test_what_does_not_fit_together_is_said(
    monkeypatch: pytest.MonkeyPatch, variables: dict[str, str], said: str
) -> None:
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(SettingsInvalid, match=said):
        load_settings()


def test_every_wrong_value_is_named_at_once(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configure(monkeypatch, tmp_path, 'session_idle_seconds = "soon"\n')
    monkeypatch.setenv("P402_LISTEN", "here")
    with pytest.raises(SettingsInvalid) as refusal:
        load_settings()
    assert "P402_LISTEN: " in str(refusal.value)
    assert "P402_SESSION_IDLE_SECONDS: " in str(refusal.value)


def test_a_file_that_is_not_there_or_no_toml_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("P402_CONFIG", str(tmp_path / "nowhere.toml"))
    with pytest.raises(SettingsInvalid, match=r"nowhere\.toml, which is not a file"):
        load_settings()
    configure(monkeypatch, tmp_path, "listen = \n")
    with pytest.raises(SettingsInvalid, match=r"p402\.toml cannot be read: .*line 1"):
        load_settings()


def test_a_key_of_the_file_that_does_not_exist_is_named(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    configure(monkeypatch, tmp_path, 'lissten = "127.0.0.1:1"\n')
    with pytest.raises(SettingsInvalid, match="lissten"):
        load_settings()


def test_variables_of_other_parts_do_not_disturb(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P402_API_KEY", "p402_secret")
    monkeypatch.setenv("P402_COLLECTOR_URL", "http://127.0.0.1:4318")
    assert load_settings() == Settings()


def test_secrets_are_not_repeated_in_errors(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("P402_DATABASE_URL", "mysql://user:hunter2@db/p402")
    with pytest.raises(SettingsInvalid) as refusal:
        load_settings()
    assert "hunter2" not in str(refusal.value)


def test_every_setting_is_described() -> None:
    fields: dict[str, Any] = dict(Settings.model_fields)
    assert all(field.description and field.description.endswith(".") for field in fields.values())
