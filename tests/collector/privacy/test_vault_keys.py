"""The file of the vault's keys: made once, readable by its owner, shared, rotated."""

from __future__ import annotations

import stat
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from p402.collector.privacy.vault_keys import PERSON, SESSION, VaultKeys, VaultKeyUnusable, new_data_key, seal, unseal


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "keys" / "vault.key"


@pytest.fixture
def keys(file: Path) -> VaultKeys:
    made = VaultKeys(file)
    assert made.make_if_missing()
    return made


def test_the_file_is_for_its_owners_eyes_only(keys: VaultKeys, file: Path) -> None:
    assert stat.S_IMODE(file.stat().st_mode) == 0o600
    assert stat.S_IMODE(file.parent.stat().st_mode) == 0o700
    assert not keys.make_if_missing()


def test_collectors_that_start_together_have_one_key(file: Path) -> None:
    with ThreadPoolExecutor(8) as pool:
        made = list(pool.map(lambda keys: (keys.make_if_missing(), keys)[1], [VaultKeys(file) for _ in range(8)]))
    assert len({keys.locate(PERSON, "acme", "ada") for keys in made}) == 1
    assert made[0].unwrap(made[1].wrap(b"data", b"about"), b"about") == b"data"


def test_a_place_tells_people_sessions_and_organisations_apart(keys: VaultKeys, tmp_path: Path) -> None:
    other = VaultKeys(tmp_path / "other.key")
    other.make_if_missing()
    places = {
        keys.locate(PERSON, "acme", "ada"),
        keys.locate(SESSION, "acme", "ada"),
        keys.locate(PERSON, "initech", "ada"),
        keys.locate(PERSON, "acme", "bob"),
        other.locate(PERSON, "acme", "ada"),
    }
    assert len(places) == 5
    assert {len(place) for place in places} == {32}


def test_what_is_sealed_opens_with_its_key_and_about_the_same_thing_only() -> None:
    key = new_data_key()
    sealed = seal(key, b"e-1042", b"acme 7")
    assert unseal(key, sealed, b"acme 7") == b"e-1042"
    assert seal(key, b"e-1042", b"acme 7") != sealed
    for other_key, changed, about in [
        (new_data_key(), sealed, b"acme 7"),
        (key, sealed, b"acme 8"),
        (key, sealed[:-1] + bytes([sealed[-1] ^ 1]), b"acme 7"),
    ]:
        with pytest.raises(VaultKeyUnusable):
            unseal(other_key, changed, about)


def test_after_a_rotation_the_new_key_wraps_and_the_old_one_still_opens(keys: VaultKeys, file: Path) -> None:
    old = keys.wrap(b"data", b"about")
    place = keys.locate(PERSON, "acme", "ada")
    VaultKeys(file).add_wrapping_key()
    new = keys.wrap(b"data", b"about")
    assert (keys.is_newest(old), keys.is_newest(new)) == (False, True)
    assert keys.unwrap(old, b"about") == keys.unwrap(new, b"about") == b"data"
    assert keys.locate(PERSON, "acme", "ada") == place
    assert stat.S_IMODE(file.stat().st_mode) == 0o600


def test_a_forgotten_key_opens_nothing_any_more(keys: VaultKeys, file: Path) -> None:
    old = keys.wrap(b"data", b"about")
    keys.add_wrapping_key()
    assert VaultKeys(file).forget_old_wrapping_keys() == 1
    with pytest.raises(VaultKeyUnusable, match="P402_VAULT_KEY_FILE"):
        keys.unwrap(old, b"about")
    assert [left.name for left in file.parent.iterdir()] == ["vault.key"]


@pytest.mark.parametrize("text", ["", "{}", "not json", '{"version": 2, "index": "", "wrapping": []}'])
def test_a_damaged_file_is_refused_by_name(file: Path, text: str) -> None:
    file.parent.mkdir()
    file.write_text(text)
    with pytest.raises(VaultKeyUnusable, match=r"vault\.key is not a key file"):
        VaultKeys(file).make_if_missing()


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "keys").write_text("a file in the way")
    with pytest.raises(VaultKeyUnusable, match="cannot be made"):
        VaultKeys(tmp_path / "keys" / "vault.key").make_if_missing()
