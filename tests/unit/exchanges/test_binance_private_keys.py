"""Private keys of the Binance connector: what is taken, what is refused and how, and that none of it shows."""

from __future__ import annotations

import base64
import sys
import traceback
from pathlib import Path
from urllib.parse import unquote

import pytest

from qtxconn.errors import ConfigurationError
from qtxconn.exchanges.binance.auth import BinanceAuth
from qtxconn.net.rest import RestRequest

PAYLOAD = "symbol=BTCUSDT&timestamp=1"
# RFC 8032, section 7.1, test 1: a key that everybody has.
PUBLISHED_SEED = "9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60"


def make(secret: str, passphrase: str = "") -> BinanceAuth:
    return BinanceAuth("key", secret, lambda: 1, 5000, passphrase)


def test_without_the_extra_the_error_names_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "cryptography.exceptions", None)
    with pytest.raises(ConfigurationError, match=r"pip install 'qtxconn\[ed25519\]'"):
        make("-----BEGIN PRIVATE KEY-----\n")


def test_a_key_file_that_is_not_there_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match=r"missing\.pem cannot be read: No such file"):
        make(str(tmp_path / "missing.pem"))


class TestWithCryptography:
    @pytest.fixture(autouse=True)
    def crypto(self) -> None:
        pytest.importorskip("cryptography", reason="cryptography is not installed: pip install 'qtxconn[ed25519]'")

    @staticmethod
    def pem(key: object, passphrase: str = "") -> str:
        from cryptography.hazmat.primitives import serialization as form

        protection = form.BestAvailableEncryption(passphrase.encode()) if passphrase else form.NoEncryption()
        return key.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, protection).decode()

    @staticmethod
    def ed25519() -> object:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        return Ed25519PrivateKey.generate()

    def test_a_published_signature(self) -> None:
        from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

        signer = make(self.pem(Ed25519PrivateKey.from_private_bytes(bytes.fromhex(PUBLISHED_SEED))))
        assert (
            signer.signature("")
            == base64.b64encode(
                bytes.fromhex(
                    "e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e065224901555fb8821590a33bacc61e39701cf9b46b"
                    "d25bf5f0595bbe24655141438e7a100b"
                )
            ).decode()
        )
        assert signer.can_log_on

    def test_text_file_and_protected_file_are_one_key(self, tmp_path: Path) -> None:
        key = self.ed25519()
        (tmp_path / "plain.pem").write_text(self.pem(key))
        (tmp_path / "protected.pem").write_text(self.pem(key, "a passphrase"))
        signers = (
            make(self.pem(key)),
            make(str(tmp_path / "plain.pem")),
            make(str(tmp_path / "protected.pem"), "a passphrase"),
        )
        assert len({signer.signature(PAYLOAD) for signer in signers}) == 1

    def test_a_signature_is_percent_encoded_in_a_query_and_not_in_json(self) -> None:
        key = self.ed25519()
        signer = make(self.pem(key))
        query, signature = signer.sign(RestRequest("GET", "/x", "a=b")).query.split("&signature=")
        assert not set("+/=") & set(signature)
        key.public_key().verify(base64.b64decode(unquote(signature)), query.encode())
        params = signer.sign_params({"symbol": "BTCUSDT"})
        payload = f"apiKey=key&recvWindow=5000&symbol=BTCUSDT&timestamp={params['timestamp']}"
        key.public_key().verify(base64.b64decode(params["signature"], validate=True), payload.encode())

    def test_rsa(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import padding, rsa
        from cryptography.hazmat.primitives.hashes import SHA256

        key = rsa.generate_private_key(65537, 2048)
        signer = make(self.pem(key))
        signature = base64.b64decode(signer.signature(PAYLOAD))
        key.public_key().verify(signature, PAYLOAD.encode(), padding.PKCS1v15(), SHA256())
        assert not signer.can_log_on

    def test_what_cannot_be_used_says_why_and_shows_nothing(self) -> None:
        from cryptography.hazmat.primitives.asymmetric import ec

        protected, plain = self.pem(self.ed25519(), "a passphrase"), self.pem(self.ed25519())
        for secret, passphrase, reason in (
            (protected, "", "protected by a passphrase"),
            (protected, "not that one", "passphrase is wrong"),
            (plain, "a passphrase", "no passphrase"),
            (plain.replace("M", "!"), "", "not a PEM private key"),
            (plain[:60], "", "not a PEM private key"),
            (self.pem(ec.generate_private_key(ec.SECP256R1())), "", "neither an Ed25519 nor an RSA key"),
        ):
            with pytest.raises(ConfigurationError, match=reason) as caught:
                make(secret, passphrase)
            shown = "".join(traceback.format_exception(caught.value))
            assert caught.value.__context__ is None
            assert not any(line in shown for line in secret.splitlines()[1:-1])
            assert "not that one" not in shown
        signer = make(plain)
        assert plain.splitlines()[1] not in f"{signer!r} {signer}"
