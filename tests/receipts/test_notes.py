"""Signed checkpoints: who may vouch for them, and that every text has one spelling."""

from __future__ import annotations

import stat
from pathlib import Path

import pytest
from cryptography.hazmat.primitives.asymmetric.x25519 import X25519PrivateKey
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat

from p402.receipts import Checkpoint, Signer, VerifierKey, open_checkpoint, parse_checkpoint, sign_checkpoint
from p402.receipts.errors import CheckpointUntrusted, Malformed
from support.sample_log import ORIGIN, fixed_signer

CHECKPOINT = Checkpoint(ORIGIN, 20852163, bytes(range(32)))
SIGNER = fixed_signer()
NOTE = sign_checkpoint(CHECKPOINT, [SIGNER])


def test_a_signed_checkpoint_opens_with_the_key_of_its_signer() -> None:
    assert open_checkpoint(NOTE, [SIGNER.verifier_key]) == CHECKPOINT
    assert parse_checkpoint(NOTE) == CHECKPOINT


def test_the_key_id_is_that_of_the_reference_implementation() -> None:
    # The example key of golang.org/x/mod/sumdb/note; parsing checks that its id fits.
    key = VerifierKey.parse("PeterNeumann+c74f20a3+ARpc2QcUPDhMQegwxbzhKqiBfsVkmqq/LDE4izWy10TW")
    assert (key.name, key.id.hex()) == ("PeterNeumann", "c74f20a3")


def test_the_example_of_the_checkpoint_specification_is_read() -> None:
    note = (
        "example.com/behind-the-sofa\n20852163\nCsUYapGGPo4dkMgIAUqom/Xajj7h2fB2MPA3j2jxq2I=\n\n— example.com/behind-the-sofa "
        "Az3grlgtzPICa5OS8npVmf1Myq/5IZniMp+ZJurmRDeOoRDe4URYN7u5/Zhcyv2q1gGzGku9nTo+zyWE+xeMcTOAYQ8=\n"
    )
    checkpoint = parse_checkpoint(note)
    assert (checkpoint.origin, checkpoint.size) == ("example.com/behind-the-sofa", 20852163)
    assert note.startswith(f"{checkpoint}\n")


def test_another_key_does_not_vouch() -> None:
    with pytest.raises(CheckpointUntrusted, match="None of the 1 pinned keys"):
        open_checkpoint(NOTE, [Signer.generate(ORIGIN).verifier_key])


def test_no_key_does_not_vouch() -> None:
    with pytest.raises(CheckpointUntrusted):
        open_checkpoint(NOTE, [])


def test_the_key_of_another_log_does_not_vouch() -> None:
    with pytest.raises(CheckpointUntrusted):
        open_checkpoint(NOTE, [fixed_signer(origin="receipts.example.com/org/other").verifier_key])


def test_a_signer_signs_for_its_own_log_only() -> None:
    with pytest.raises(ValueError, match="No signer"):
        sign_checkpoint(CHECKPOINT, [fixed_signer(origin="receipts.example.com/org/other")])


def test_while_keys_rotate_the_old_and_the_new_one_each_vouch() -> None:
    new = fixed_signer("new")
    note = sign_checkpoint(CHECKPOINT, [SIGNER, new])
    for key in (SIGNER, new):
        assert open_checkpoint(note, [key.verifier_key]) == CHECKPOINT


def test_a_wrong_signature_of_one_pinned_key_refuses_the_note_although_another_vouches() -> None:
    new = fixed_signer("new")
    lines = sign_checkpoint(CHECKPOINT, [SIGNER, new]).splitlines(keepends=True)
    forged = sign_checkpoint(Checkpoint(ORIGIN, 1, bytes(32)), [new]).splitlines(keepends=True)[-1]
    with pytest.raises(CheckpointUntrusted, match="is wrong"):
        open_checkpoint("".join([*lines[:-1], forged]), [SIGNER.verifier_key, new.verifier_key])


@pytest.mark.parametrize("flip", [1, 2, 4, 8, 16, 32, 64])
def test_every_changed_byte_is_noticed(flip: int) -> None:
    for position, byte in enumerate(NOTE.encode()):
        changed = bytearray(NOTE.encode())
        changed[position] = byte ^ flip
        with pytest.raises((CheckpointUntrusted, Malformed, UnicodeDecodeError)):
            open_checkpoint(changed.decode(), [SIGNER.verifier_key])


@pytest.mark.parametrize(
    "text",
    [
        f"{ORIGIN}\n01\n{'A' * 43}=\n",
        f"{ORIGIN}\n+1\n{'A' * 43}=\n",
        f"{ORIGIN}\n\u0661\n{'A' * 43}=\n",
        f"{ORIGIN}\n1\n{'A' * 42}B=\n",
        f"{ORIGIN}\n1\n{'A' * 43}\n",
        f"{ORIGIN}\n1\n{'A' * 40}\n",
        f"{ORIGIN}\n1\n{'A' * 43}=\nextension\n",
        f"{ORIGIN}\n1\n{'A' * 43}=",
        f"{ORIGIN}\r\n1\n{'A' * 43}=\n",
        f"\n1\n{'A' * 43}=\n",
        f"a b\n1\n{'A' * 43}=\n",
        f"a+b\n1\n{'A' * 43}=\n",
        f"a\u2003b\n1\n{'A' * 43}=\n",
        f"a\x1b[2Jb\n1\n{'A' * 43}=\n",
    ],
    ids=range(14),
)
def test_a_checkpoint_has_one_spelling(text: str) -> None:
    with pytest.raises(Malformed):
        Checkpoint.parse(text)


@pytest.mark.parametrize(
    "note",
    [
        str(CHECKPOINT),
        str(CHECKPOINT) + "\n",
        NOTE.rstrip("\n"),
        NOTE + "\n",
        NOTE.replace("—", "-"),
        NOTE.replace("— ", "—  "),
        str(CHECKPOINT) + "\n" + NOTE.split("\n\n")[1] * 65,
    ],
    ids=range(7),
)
def test_a_note_has_one_spelling(note: str) -> None:
    with pytest.raises(Malformed):
        open_checkpoint(note, [SIGNER.verifier_key])


@pytest.mark.parametrize(
    "key",
    [
        "",
        "name",
        "name+00000000+AAAA",
        SIGNER.verifier_key + " ",
        SIGNER.verifier_key.replace("+", "+0", 1),
        SIGNER.verifier_key.replace("receipts", "receipt"),
        str(VerifierKey(ORIGIN, bytes(31))),
    ],
    ids=range(7),
)
def test_a_malformed_key_is_refused(key: str) -> None:
    with pytest.raises(Malformed):
        VerifierKey.parse(key)


def test_a_key_survives_its_file_which_only_the_owner_reads(tmp_path: Path) -> None:
    path = tmp_path / "checkpoint.pem"
    SIGNER.save(path)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert Signer.from_file(path, ORIGIN).verifier_key == SIGNER.verifier_key
    with pytest.raises(FileExistsError):
        SIGNER.save(path)


def test_a_file_that_is_no_signing_key_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "key.pem"
    path.write_text("no key")
    with pytest.raises(Malformed, match="not a private key"):
        Signer.from_file(path, ORIGIN)
    path.write_bytes(X25519PrivateKey.generate().private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption()))
    with pytest.raises(Malformed, match="not an Ed25519 key"):
        Signer.from_file(path, ORIGIN)


def test_a_signer_does_not_show_its_key() -> None:
    assert repr(SIGNER) == f"<Signer of {SIGNER.verifier_key}>"
