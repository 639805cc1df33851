"""Keys and ciphertexts of the oracle, by the cryptography package: makes and wraps data keys for local-kms, opens what the library sealed."""
import base64
import hashlib

from cryptography.hazmat.primitives.ciphers import algorithms
from cryptography.hazmat.primitives.ciphers.aead import AESGCM, AESSIV
from cryptography.hazmat.primitives.cmac import CMAC
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

KEY_BYTES = {"AES128_GCM": 16, "AES256_GCM": 32, "AES256_SIV": 64}
KEK = AESGCM(HKDF(SHA256(), 16, salt=None, info=b"").derive(b"oracle secret"))


def wrap(rnd, algorithm, key):
    """encryptedKeyMaterial: the key in a Tink message, sealed under the key that local-kms derives from its secret."""
    nonce = rnd.randbytes(12)
    message = bytes([0x12 if algorithm == "AES256_SIV" else 0x1A, len(key)]) + key
    return base64.b64encode(nonce + KEK.encrypt(nonce, message, None)).decode()


def unwrap(algorithm, text):
    raw = base64.b64decode(text, validate=True)
    message = KEK.decrypt(raw[:12], raw[12:], None)
    assert message[:2] == bytes([0x12 if algorithm == "AES256_SIV" else 0x1A, KEY_BYTES[algorithm]]), "key message is not canonical"
    return message[2:]


def siv_of_nothing(key):
    """S2V(K1, "", "") of RFC 5297 2.4, where the package refuses the empty plaintext."""
    def cmac(data):
        c = CMAC(algorithms.AES(key[:32]))
        c.update(data)
        return c.finalize()

    def dbl(block):
        n = int.from_bytes(block, "big") << 1
        return (n & (1 << 128) - 1 ^ (0x87 if n >> 128 else 0)).to_bytes(16, "big")

    def xor(a, b):
        return bytes(x ^ y for x, y in zip(a, b))

    d = xor(dbl(cmac(bytes(16))), cmac(b""))
    return cmac(xor(dbl(d), b"\x80" + bytes(15)))


class Opener:
    """Opens ciphertexts under one key and keeps the nonces it saw: 8 bytes that name the key, and the nonce."""

    def __init__(self, algorithm, key):
        self.algorithm, self.key = algorithm, key
        self.aead = AESSIV(key) if algorithm == "AES256_SIV" else AESGCM(key)
        self.name = hashlib.sha256(key).digest()[:8]

    def open(self, sealed, nonces):
        if self.algorithm == "AES256_SIV":
            if len(sealed) == 16:
                assert sealed == siv_of_nothing(self.key), "the empty value's synthetic IV is wrong"
                return b""
            return self.aead.decrypt(sealed, [b""])
        nonces.append(self.name + sealed[:12])
        return self.aead.decrypt(sealed[:12], sealed[12:], None)


def open_field(kind, stored, openers, nonces):
    """The plaintext of a leaf's content: openers (opener, version or None) in the order in which the rules sealed."""
    for opener, version in reversed(openers):
        if kind == "string":
            raw = base64.b64decode(stored, validate=True)
            assert base64.b64encode(raw) == stored, "Base64 is not canonical"
            stored = raw
        if version is not None:
            assert stored[:5] == b"\0" + version.to_bytes(4, "big"), f"version prefix is {stored[:5].hex()}, expected {version}"
            stored = stored[5:]
        stored = opener.open(stored, nonces)
    return stored
