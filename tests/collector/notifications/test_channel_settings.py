"""Where events go comes from the file alone, and is checked when it is read."""

from __future__ import annotations

import base64
from pathlib import Path

import pytest

from p402.collector.channel_settings import EventType
from p402.collector.notifications.connect import connect_channels
from p402.collector.settings import SettingsInvalid, load_settings

SECRET = "whsec_" + base64.b64encode(b"s" * 32).decode()
GOOD = f"""
[[webhooks]]
name = "ops"
url = "https://alerts.example.com/p402"
events = ["anomaly.detected", "budget.threshold"]
secrets = ["{SECRET}"]

[[channels]]
name = "finance"
apprise_url = "mailto://user:hunter2@example.com"
"""


@pytest.fixture
def file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    file = tmp_path / "p402.toml"
    monkeypatch.setenv("P402_CONFIG", str(file))
    monkeypatch.setenv("P402_DATA_DIR", str(tmp_path))
    return file


def test_webhooks_and_channels_are_read_from_the_file(file: Path) -> None:
    file.write_text(GOOD)
    ops, finance = connect_channels(load_settings())
    assert (ops.name, sorted(ops.subscribed)) == ("ops", ["anomaly.detected", "budget.threshold"])
    assert (finance.name, finance.subscribed) == ("finance", frozenset(EventType))


def test_neither_secrets_nor_addresses_are_shown_with_the_settings(file: Path) -> None:
    file.write_text(GOOD)
    shown = repr(load_settings())
    assert SECRET not in shown
    assert "hunter2" not in shown
    assert "alerts.example.com" not in shown


@pytest.mark.parametrize("name", ["P402_WEBHOOKS", "P402_CHANNELS", "p402_webhooks"])
def test_the_environment_cannot_name_an_address(file: Path, monkeypatch: pytest.MonkeyPatch, name: str) -> None:
    file.write_text(GOOD)
    monkeypatch.setenv(name, "[]")
    with pytest.raises(SettingsInvalid, match=f"{name} cannot be set"):
        load_settings()


@pytest.mark.parametrize(
    ("good", "bad", "said"),
    [
        ("https://alerts", "ftp://alerts", r"\[\[webhooks\]\] number 1, url: .*https://alerts.example.com"),
        ("https://alerts", "https://me:pw@alerts", "no user, password or fragment"),
        (SECRET, "whsec_c2hvcnQ=", r"\[\[webhooks\]\] number 1, secrets, 0: .*24 to 64 bytes"),
        (SECRET, SECRET.removeprefix("whsec_"), "whsec_ followed by"),
        ('"anomaly.detected"', '"anomaly.undetected"', r"\[\[webhooks\]\] number 1, events, 0"),
        ('name = "finance"', 'name = "ops"', "names of their own"),
        ('name = "ops"', 'name = "Ops!"', r"\[\[webhooks\]\] number 1, name"),
        ("apprise_url =", "url =", r"\[\[channels\]\] number 1"),
        (f'secrets = ["{SECRET}"]', "", "either secrets .* or secret_file"),
    ],
)
def test_what_is_wrong_is_named_with_its_place(file: Path, good: str, bad: str, said: str) -> None:
    assert good in GOOD
    file.write_text(GOOD.replace(good, bad))
    with pytest.raises(SettingsInvalid, match=said) as refused:
        load_settings()
    assert SECRET not in str(refused.value)
    assert "hunter2" not in str(refused.value)


def test_a_secret_file_that_is_missing_stops_the_start_and_is_named(file: Path, tmp_path: Path) -> None:
    file.write_text(GOOD.replace(f'secrets = ["{SECRET}"]', f'secret_file = "{tmp_path / "missing"}"'))
    with pytest.raises(SettingsInvalid, match=r"'ops' cannot be used: .*missing"):
        connect_channels(load_settings())
