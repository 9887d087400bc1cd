"""RSA keys of 2048 bits, with Python's integers: made of a seed (so for tests only), written as PKCS #8
(RFC 5958), and used to look at signatures (RFC 8017, RSASSA-PKCS1-v1_5 with SHA-256)."""

import base64
import functools
import hashlib
import random
from dataclasses import dataclass

_BITS = 2048
_EXPONENT = 65537
# AlgorithmIdentifier rsaEncryption, and the head of a DigestInfo for SHA-256 (RFC 8017, 9.2).
_RSA_ENCRYPTION = bytes.fromhex("300d06092a864886f70d0101010500")
_SHA256 = bytes.fromhex("3031300d060960864801650304020105000420")
_SMALL_PRIMES = [n for n in range(3, 2000, 2) if all(n % d for d in range(3, int(n**0.5) + 1, 2))]
# An error of less than 2^-80 for candidates of this size.
_ROUNDS = 8


@dataclass(frozen=True)
class PublicKey:
    modulus: int

    def signed(self, message: bytes, signature: bytes) -> bool:
        size = (self.modulus.bit_length() + 7) // 8
        number = int.from_bytes(signature, "big")
        if len(signature) != size or number >= self.modulus:
            return False
        digest = _SHA256 + hashlib.sha256(message).digest()
        wanted = b"\x00\x01" + b"\xff" * (size - len(digest) - 3) + b"\x00" + digest
        return pow(number, _EXPONENT, self.modulus).to_bytes(size, "big") == wanted


# It takes a second, and tests reset to the same seed again and again.
@functools.cache
def generate(seed: int) -> tuple[PublicKey, str]:
    """The public key, and the private one as PEM."""
    chance = random.Random(seed)
    p, q = _prime(chance), _prime(chance)
    while p == q:
        q = _prime(chance)
    p, q = max(p, q), min(p, q)
    d = pow(_EXPONENT, -1, (p - 1) * (q - 1))
    numbers = [0, p * q, _EXPONENT, d, p, q, d % (p - 1), d % (q - 1), pow(q, -1, p)]
    private = _sequence(b"".join(_integer(number) for number in numbers))
    return PublicKey(p * q), _pem(_sequence(_integer(0) + _RSA_ENCRYPTION + _tagged(0x04, private)))


def _prime(chance: random.Random) -> int:
    # With the two highest bits set the product has all its bits.
    ends = 3 << (_BITS // 2 - 2) | 1
    while True:
        candidate = chance.getrandbits(_BITS // 2) | ends
        divided = any(candidate % prime == 0 for prime in _SMALL_PRIMES)
        if not divided and candidate % _EXPONENT != 1 and _is_prime(candidate, chance):
            return candidate


def _is_prime(candidate: int, chance: random.Random) -> bool:
    """Miller and Rabin's test."""
    odd, halvings = candidate - 1, 0
    while odd % 2 == 0:
        odd, halvings = odd // 2, halvings + 1
    for _ in range(_ROUNDS):
        power = pow(chance.randrange(2, candidate - 1), odd, candidate)
        if power in (1, candidate - 1):
            continue
        for _ in range(halvings - 1):
            power = power * power % candidate
            if power == candidate - 1:
                break
        else:
            return False
    return True


def _tagged(tag: int, content: bytes) -> bytes:
    size = len(content)
    if size < 0x80:
        return bytes([tag, size]) + content
    length = size.to_bytes((size.bit_length() + 7) // 8, "big")
    return bytes([tag, 0x80 | len(length)]) + length + content


def _sequence(content: bytes) -> bytes:
    return _tagged(0x30, content)


def _integer(number: int) -> bytes:
    # One bit more than it has: the first is the sign.
    return _tagged(0x02, number.to_bytes(number.bit_length() // 8 + 1, "big"))


def _pem(der: bytes) -> str:
    text = base64.b64encode(der).decode()
    lines = [text[at : at + 64] for at in range(0, len(text), 64)]
    return "\n".join(["-----BEGIN PRIVATE KEY-----", *lines, "-----END PRIVATE KEY-----", ""])
