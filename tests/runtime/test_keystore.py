"""Key files: written and read again, opened by OpenSSL, and every fault with its one line."""

from __future__ import annotations

import os
import shutil
import stat
import subprocess
from hashlib import sha256
from pathlib import Path

import pytest
from Crypto.IO import PEM, PKCS8
from Crypto.PublicKey import ECC
from Crypto.Util.asn1 import DerInteger, DerNull, DerOctetString

from blockchain.errors import InvalidKey, KeyFileError
from blockchain.primitives.crypto import SigningKey
from blockchain.runtime import keystore
from blockchain.runtime.keystore import (
    DEMO_KEYS,
    KDF_ROUNDS,
    KEY_FILE_BYTES_MAX,
    check_mode,
    check_secret,
    generate_key,
    node_key,
    public_key_of,
    read_key_file,
    read_public_key_pem,
    write_key_file,
)

KEY = SigningKey(bytes(range(32)))
OTHER = SigningKey(b"\x05" * 32)
PASSWORD = b"correct horse"
KEYS_FOLDER = Path(__file__).parents[2] / "keys"
DEMO_FILES = [KEYS_FOLDER / f"{name}_private_key.pem" for name in ("genesis", "staker", "exchange")]

# RFC 8410 §10.1 and §10.3: the public key, and the private key whose public key follows it (version 2).
RFC_8410_PUBLIC = """-----BEGIN PUBLIC KEY-----
MCowBQYDK2VwAyEAGb9ECWmEzf6FQbrBZ9w7lshQhqowtrbLDFw4rXAxZuE=
-----END PUBLIC KEY-----
"""
RFC_8410_PRIVATE = """-----BEGIN PRIVATE KEY-----
MC4CAQAwBQYDK2VwBCIEINTuctv5E1hK1bbY8fdp+K06/nwoy/HU++CXqI9EdVhC
-----END PRIVATE KEY-----
"""
RFC_8410_KEY = bytes.fromhex("19bf44096984cdfe8541bac167dc3b96c85086aa30b6b6cb0c5c38ad703166e1")

posix_modes = pytest.mark.skipif(os.name == "nt", reason="Windows has no modes of this kind")


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain.pem"
    write_key_file(path, KEY, None)
    return path


@pytest.fixture(scope="module")
def encrypted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("keys") / "encrypted.pem"
    write_key_file(path, KEY, PASSWORD)
    return path


def holding(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "given.pem"
    path.write_text(text, encoding="latin-1")
    path.chmod(0o600)
    return path


def fault(path: Path, password: bytes | None = None) -> str:
    """The message with which the file is refused: one line, naming the file."""
    with pytest.raises(KeyFileError) as refusal:
        read_key_file(path, password)
    message = str(refusal.value)
    assert str(path) in message
    assert "\n" not in message
    return message


def public_pem(key: bytes) -> str:
    return PEM.encode(bytes.fromhex("302a300506032b6570032100") + key, "PUBLIC KEY") + "\n"


# ------------------------------------------------------------------------------------------ there and back


def test_a_plain_file_comes_back(plain: Path) -> None:
    assert read_key_file(plain, None) == KEY
    assert read_key_file(plain, b"not needed") == KEY
    assert read_key_file(str(plain)) == KEY
    with pytest.raises(KeyFileError, match="no such file"):
        read_key_file("text")
    assert public_key_of(plain) == KEY.public_key


def test_an_encrypted_file_comes_back(encrypted: Path) -> None:
    assert read_key_file(encrypted, PASSWORD) == KEY
    assert public_key_of(encrypted) == KEY.public_key
    assert KEY.seed not in encrypted.read_bytes()


def test_the_encryption_is_the_one_that_is_written_down(encrypted: Path) -> None:
    der, marker, _ = PEM.decode(encrypted.read_text().split("-----BEGIN PUBLIC")[0])
    assert marker == "ENCRYPTED PRIVATE KEY"
    for what in ("2a864886f70d01050c", "2a864886f70d020b", "60864801650304012a"):  # PBKDF2, HMAC-SHA512, AES-256-CBC
        assert bytes.fromhex(what) in der
    assert KDF_ROUNDS >= 210_000
    assert DerInteger(KDF_ROUNDS).encode() in der


def test_two_files_of_one_key_share_no_salt(encrypted: Path, tmp_path: Path) -> None:
    again = tmp_path / "again.pem"
    write_key_file(again, KEY, PASSWORD)
    assert again.read_bytes() != encrypted.read_bytes()


def test_reads_the_key_of_rfc_8410(tmp_path: Path) -> None:
    path = holding(tmp_path, RFC_8410_PRIVATE)
    assert read_key_file(path, None).public_key == RFC_8410_KEY
    assert public_key_of(path) == RFC_8410_KEY
    assert read_public_key_pem(RFC_8410_PUBLIC) == RFC_8410_KEY


def test_text_around_the_blocks_does_not_matter(tmp_path: Path) -> None:
    text = f"Key of node 3, caf\xe9\r\n{RFC_8410_PRIVATE}\n and more\n".replace("\n", "\r\n")
    assert read_key_file(holding(tmp_path, text), None).public_key == RFC_8410_KEY


def test_a_file_of_a_public_key_alone_tells_it(tmp_path: Path) -> None:
    path = holding(tmp_path, RFC_8410_PUBLIC)
    assert public_key_of(path) == RFC_8410_KEY
    assert "no private key" in fault(path)


def test_generated_keys_differ() -> None:
    assert generate_key() != generate_key()


# ------------------------------------------------------------------------------------------------- OpenSSL


def openssl(*arguments: str | Path) -> str:
    program = shutil.which("openssl")
    if program is None:
        pytest.skip("no openssl on this machine")
    done = subprocess.run([program, *map(str, arguments)], capture_output=True, text=True, timeout=60)
    if done.returncode != 0 and "lgorithm ed25519" in done.stderr:
        pytest.skip("the openssl of this machine knows no Ed25519")
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_openssl_opens_a_plain_file(plain: Path) -> None:
    assert read_public_key_pem(openssl("pkey", "-in", plain, "-pubout")) == KEY.public_key


def test_openssl_opens_an_encrypted_file(encrypted: Path) -> None:
    text = openssl("pkey", "-in", encrypted, "-passin", f"pass:{PASSWORD.decode()}", "-pubout")
    assert read_public_key_pem(text) == KEY.public_key


def test_opens_what_openssl_makes(tmp_path: Path) -> None:
    path = tmp_path / "made.pem"
    openssl("genpkey", "-algorithm", "ed25519", "-out", path)
    assert public_key_of(path) == read_public_key_pem(openssl("pkey", "-in", path, "-pubout"))
    locked = tmp_path / "locked.pem"
    openssl("pkcs8", "-topk8", "-in", path, "-out", locked, "-passout", "pass:x", "-v2", "aes256", "-v2prf",
            "hmacWithSHA512", "-iter", "1000")  # fmt: skip
    assert read_key_file(locked, b"x") == read_key_file(path, None)
    with pytest.raises(KeyFileError, match="no public key is recorded"):
        public_key_of(locked)


# -------------------------------------------------------------------------------------------------- faults


def test_a_missing_file(tmp_path: Path) -> None:
    assert "there is no such file" in fault(tmp_path / "none.pem")
    with pytest.raises(KeyFileError, match="there is no such file"):
        public_key_of(tmp_path / "none.pem")


def test_a_folder(tmp_path: Path) -> None:
    assert "it is a folder" in fault(tmp_path)


@posix_modes
def test_a_file_that_cannot_be_read(plain: Path) -> None:
    assert "cannot be read: Not a directory" in fault(plain / "within.pem")
    with pytest.raises(KeyFileError, match="cannot be read: Not a directory"):
        check_mode(plain / "within.pem", public_ok=True)


@pytest.mark.parametrize("text", ["", "hello", "\x00\xff" * 50, KEY.seed.hex(), RFC_8410_PRIVATE[:60]])
def test_no_pem(tmp_path: Path, text: str) -> None:
    assert "no PEM key in it" in fault(holding(tmp_path, text))


def test_a_file_that_is_too_large(tmp_path: Path) -> None:
    padding = KEY_FILE_BYTES_MAX - len(RFC_8410_PRIVATE)
    assert read_key_file(holding(tmp_path, RFC_8410_PRIVATE + " " * padding), None).public_key == RFC_8410_KEY
    assert "larger than" in fault(holding(tmp_path, RFC_8410_PRIVATE + " " * (padding + 1)))


P256 = ECC.construct(curve="P-256", d=7)
X25519 = ECC.construct(curve="Curve25519", seed=bytes(32))
ED448 = ECC.construct(curve="Ed448", seed=bytes(57))


@pytest.mark.parametrize(
    "kind, text",
    [
        ("RSA", str(P256.export_key(format="PEM")).replace("PRIVATE", "RSA PRIVATE")),
        ("EC", str(P256.export_key(format="PEM", use_pkcs8=False))),
        ("EC", str(P256.export_key(format="PEM"))),
        ("X25519", str(X25519.export_key(format="PEM"))),
        ("Ed448", str(ED448.export_key(format="PEM"))),
        ("RSA", PEM.encode(PKCS8.wrap(b"\x30\x00", "1.2.840.113549.1.1.1"), "PRIVATE KEY")),
        ("1.2.3.4", PEM.encode(PKCS8.wrap(b"\x30\x00", "1.2.3.4"), "PRIVATE KEY")),
        ("OPENSSH", "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----\n"),
    ],
)
def test_a_key_of_another_kind(tmp_path: Path, kind: str, text: str) -> None:
    path = holding(tmp_path, text)
    assert f"a key of another kind ({kind}), where Ed25519 is used" in fault(path)
    with pytest.raises(KeyFileError, match="another kind"):
        public_key_of(path)


def test_a_wrong_password(encrypted: Path) -> None:
    assert "the password is wrong" in fault(encrypted, b"wrong")
    assert "the password is wrong" in fault(encrypted, b"")


def test_a_password_that_is_needed(encrypted: Path) -> None:
    assert "it is encrypted: give its password" in fault(encrypted)


def test_a_swapped_public_key(plain: Path, encrypted: Path, tmp_path: Path) -> None:
    for source, password in ((plain, None), (encrypted, PASSWORD)):
        private = source.read_text().split("-----BEGIN PUBLIC")[0]
        path = holding(tmp_path, private + public_pem(OTHER.public_key))
        assert "not that of the public key recorded" in fault(path, password)
    with pytest.raises(KeyFileError, match="not that of the public key"):
        public_key_of(holding(tmp_path, swapped_plain(plain)))


def swapped_plain(plain: Path) -> str:
    return plain.read_text().split("-----BEGIN PUBLIC")[0] + public_pem(OTHER.public_key)


def test_a_swapped_public_key_within_the_private_block(tmp_path: Path) -> None:
    seed = DerOctetString(KEY.seed).encode()
    for recorded, good in ((KEY.public_key, True), (OTHER.public_key, False)):
        der = PKCS8.wrap(seed, "1.3.101.112", key_params=None, public_key=recorded)
        path = holding(tmp_path, PEM.encode(der, "PRIVATE KEY"))
        if good:
            assert read_key_file(path, None) == KEY
        else:
            assert "not that of the public key" in fault(path)


def test_too_many_keys(tmp_path: Path) -> None:
    assert "2 private keys" in fault(holding(tmp_path, RFC_8410_PRIVATE * 2))
    assert "2 public keys" in fault(holding(tmp_path, RFC_8410_PRIVATE + RFC_8410_PUBLIC * 2))


@pytest.mark.parametrize(
    "text",
    [
        RFC_8410_PRIVATE.replace("MC4C", "MC4"),
        RFC_8410_PRIVATE.replace("MC4C", "MC4!"),
        RFC_8410_PRIVATE.replace("MC4C", "NC4C"),
        PEM.encode(b"", "PRIVATE KEY"),
        PEM.encode(PKCS8.wrap(DerOctetString(bytes(31)).encode(), "1.3.101.112", key_params=None), "PRIVATE KEY"),
        PEM.encode(PKCS8.wrap(bytes(32), "1.3.101.112", key_params=None), "PRIVATE KEY"),
        # On these two the library's decoder raises IndexError and TypeError.
        PEM.encode(bytes.fromhex("3051020101300506802b657004220420" + "00" * 32 + "812100" + "00" * 32), "PRIVATE KEY"),
        PEM.encode(bytes.fromhex("300a02010030030201010400"), "PRIVATE KEY"),
    ],
)
def test_a_damaged_private_key(tmp_path: Path, text: str) -> None:
    assert "the private key in it is damaged" in fault(holding(tmp_path, text))


def test_a_damaged_public_key(tmp_path: Path) -> None:
    text = RFC_8410_PRIVATE + RFC_8410_PUBLIC.replace("Gb9E", "Gb9")
    assert "its public key: the PEM text is damaged" in fault(holding(tmp_path, text))


def test_an_encryption_that_would_take_for_ever(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(keystore, "KDF_ROUNDS_MAX", 1_000)
    for rounds, expected in ((1_000, "the password is wrong"), (1_001, "too much work")):
        der = PKCS8.wrap(
            DerOctetString(KEY.seed).encode(),
            "1.3.101.112",
            b"x",
            "PBKDF2WithHMAC-SHA512AndAES256-CBC",
            {"iteration_count": rounds},
            key_params=None,
        )
        assert expected in fault(holding(tmp_path, PEM.encode(der, "ENCRYPTED PRIVATE KEY")), b"y")


def test_no_message_and_no_repr_shows_the_key(plain: Path, tmp_path: Path) -> None:
    path = holding(tmp_path, swapped_plain(plain))
    secret = plain.read_text().splitlines()[1]
    assert secret not in fault(path)
    assert KEY.seed.hex() not in repr(read_key_file(plain, None))


# ------------------------------------------------------------------------------------------------- writing


@posix_modes
@pytest.mark.parametrize("mask", [0, 0o077])
def test_only_the_owner_may_read_what_is_written(tmp_path: Path, mask: int) -> None:
    before = os.umask(mask)
    try:
        write_key_file(tmp_path / "new.pem", KEY, None)
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "new.pem").stat().st_mode) == 0o600


def test_nothing_is_ever_overwritten(plain: Path, tmp_path: Path) -> None:
    before = plain.read_bytes()
    with pytest.raises(KeyFileError, match="it exists, and keys are never overwritten"):
        write_key_file(plain, OTHER, None)
    assert plain.read_bytes() == before
    assert os.listdir(tmp_path) == [plain.name]


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="cannot be written: No such file"):
        write_key_file(tmp_path / "none" / "new.pem", KEY, None)


def test_an_empty_password_is_refused(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="empty password"):
        write_key_file(tmp_path / "new.pem", KEY, b"")
    assert os.listdir(tmp_path) == []


# ------------------------------------------------------------------------------------------------ node keys


def test_a_node_key_is_made_once(tmp_path: Path) -> None:
    folder = tmp_path / "deep" / "data"
    first = node_key(folder)
    assert node_key(folder) == first
    assert os.listdir(folder) == ["node_key.pem"]
    assert node_key(tmp_path / "other") != first


def test_a_start_removes_the_half_written_key_of_one_that_was_killed(tmp_path: Path) -> None:
    for _ in ("the first start", "each later one"):
        left = tmp_path / ".node_key.pem.0123456789abcdef.blockchain.tmp"
        left.write_bytes(b"-----BEGIN PRIVATE KEY-----")
        os.utime(left, (0, 0))
        node_key(tmp_path)
        assert os.listdir(tmp_path) == ["node_key.pem"]


def test_a_node_key_that_another_process_has_just_made_is_taken(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_key_file(tmp_path / "node_key.pem", KEY, None)
    monkeypatch.setattr(Path, "exists", lambda path: False)  # what this process saw a moment earlier
    assert node_key(tmp_path) == KEY


@posix_modes
def test_a_node_key_that_others_may_read_is_refused(tmp_path: Path) -> None:
    node_key(tmp_path)
    (tmp_path / "node_key.pem").chmod(0o640)
    with pytest.raises(KeyFileError, match="others may read"):
        node_key(tmp_path)


def test_a_node_key_whose_folder_cannot_be_made(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(KeyFileError, match="cannot be written"):
        node_key(tmp_path / "file" / "data")


# --------------------------------------------------------------------------------------- modes and demo keys


@posix_modes
@pytest.mark.parametrize(
    "mode, is_private",
    [(0o600, True), (0o400, True), (0o640, False), (0o604, False), (0o620, False), (0o602, False), (0o644, False)],
)
def test_a_key_is_for_its_owner_alone(plain: Path, mode: int, is_private: bool) -> None:
    plain.chmod(mode)
    for public_ok in (False, True):  # it is no demo key, so a demo chain makes no difference
        if is_private:
            check_mode(plain, public_ok)
        else:
            with pytest.raises(KeyFileError, match=rf"mode {mode:04o}.*chmod 600"):
                check_mode(plain, public_ok)


@posix_modes
@pytest.mark.parametrize("source", DEMO_FILES, ids=lambda path: path.name)
def test_a_demo_key_may_lie_open_on_a_demo_chain(source: Path, tmp_path: Path) -> None:
    path = tmp_path / "demo.pem"
    shutil.copy(source, path)
    path.chmod(0o644)
    check_mode(path, public_ok=True)
    with pytest.raises(KeyFileError, match="others may read"):
        check_mode(path, public_ok=False)
    path.chmod(0o600)
    check_mode(path, public_ok=False)


@posix_modes
def test_a_demo_key_written_beside_another_private_key_opens_nothing(plain: Path, tmp_path: Path) -> None:
    text = plain.read_text().split("-----BEGIN PUBLIC")[0] + public_pem(DEMO_KEYS[0])
    path = holding(tmp_path, text)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="not that of the public key"):
        check_mode(path, public_ok=True)


@posix_modes
def test_the_mode_of_a_missing_file(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="there is no such file"):
        check_mode(tmp_path / "none.pem", public_ok=True)


def test_the_demo_keys_are_those_of_the_files_and_of_the_phrases() -> None:
    assert sorted(path.name for path in KEYS_FOLDER.glob("*.pem")) == sorted(path.name for path in DEMO_FILES)
    names = ("genesis", "staker", "exchange")
    phrases = [f"blockchain-node demo key, public knowledge: {name}" for name in names]
    keys = [SigningKey(sha256(phrase.encode("ascii")).digest()) for phrase in phrases]
    assert [read_key_file(path, None) for path in DEMO_FILES] == keys
    assert [key.public_key for key in keys] == list(DEMO_KEYS)


def test_the_readme_of_the_demo_keys_tells_the_truth() -> None:
    text = (KEYS_FOLDER / "README.md").read_text(encoding="utf-8")
    for path, key in zip(DEMO_FILES, DEMO_KEYS, strict=True):
        assert f"| `{path.name}` |" in text
        assert key.hex() in text
    assert "blockchain-node demo key, public knowledge: NAME" in text


def test_a_demo_key_is_no_secret() -> None:
    for key in DEMO_KEYS:
        with pytest.raises(KeyFileError, match="public knowledge"):
            check_secret(Path("any.pem"), key)
    check_secret(Path("any.pem"), KEY.public_key)


# ----------------------------------------------------------------------------------------- pasted public keys


def test_reads_a_pasted_public_key() -> None:
    assert read_public_key_pem(f"  here it is:\n{public_pem(KEY.public_key)}") == KEY.public_key
    indented = "\n".join("    " + line for line in RFC_8410_PUBLIC.splitlines())
    assert read_public_key_pem(indented) == RFC_8410_KEY


@pytest.mark.parametrize(
    "text, why",
    [
        ("", "this has 0"),
        (RFC_8410_PUBLIC * 2, "this has 2"),
        (RFC_8410_PRIVATE, "private key, keep it to yourself"),
        (RFC_8410_PRIVATE + RFC_8410_PUBLIC, "private key, keep it to yourself"),
        (RFC_8410_PUBLIC.replace("MCow", "MC!w"), "damaged"),
        (public_pem(KEY.public_key[:31]), "another kind"),
        (public_pem(KEY.public_key + b"\x00"), "another kind"),
        (public_pem(b"\x01" + bytes(31)), "no Ed25519 public key"),  # the neutral element
        (public_pem(b"\x02" + bytes(31)), "no Ed25519 public key"),  # no point at all
        (str(P256.public_key().export_key(format="PEM")), "another kind (EC)"),
        (str(X25519.public_key().export_key(format="PEM")), "another kind (X25519)"),
        (PEM.encode(DerNull().encode(), "PUBLIC KEY"), "another kind (unknown)"),
    ],
)
def test_refuses_what_is_no_public_key(text: str, why: str) -> None:
    with pytest.raises(InvalidKey) as refusal:
        read_public_key_pem(text)
    assert why in str(refusal.value)
    assert "\n" not in str(refusal.value)
