"""Our own signing keys, as this process knows them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey, RSAPublicKey

from domain.errors import DependencyError
from runtime.keys import HS256, RS256, Signer, key_file, load_signer, published
from runtime.settings import Mode, Settings


@dataclass(frozen=True)
class StoredKey:
    """A key of the database. `private` is set for the active one only."""

    kid: str
    state: str
    public: RSAPublicKey
    private: RSAPrivateKey | None = field(default=None, repr=False)


@dataclass(frozen=True)
class VerifyingKey:
    """A key to verify signatures with, and its allowed algorithms."""

    algorithms: tuple[str, ...]
    key: object = field(repr=False)


class SigningKeys:
    """The keys of the settings, and those of the database once they are loaded.

    The key of the settings signs development tokens in embedded mode, and all tokens while no other key is known. A
    shared secret (HS256) replaces all other keys.

    Raises:
        DependencyError: embedded mode without a usable key.
    """

    def __init__(self, settings: Settings) -> None:
        embedded = settings.mode is Mode.EMBEDDED
        self.own = load_signer(settings) if embedded or key_file(settings).exists() else None
        self._keep_own = embedded
        self.is_shared_secret = self.own is not None and self.own.algorithm == HS256
        self.generation = 0
        self._stored: Sequence[StoredKey] = ()
        self._signer = self.own
        self._verifying = self._known()

    def replace(self, stored: Sequence[StoredKey]) -> None:
        """Replace the database's keys. Cached verifications by other keys are dropped."""
        if self.is_shared_secret:
            return
        self._stored = stored
        active = next((key for key in stored if key.private is not None), None)
        if active is not None and active.private is not None:
            self._signer = Signer(active.kid, RS256, active.private)
        self._verifying = self._known()
        self.generation += 1

    def signer(self) -> Signer:
        """The current signing key.

        Raises:
            DependencyError: none is known yet.
        """
        if self._signer is None:
            raise DependencyError("the signing keys have not been read yet: the database does not answer")
        return self._signer

    def find(self, kid: object) -> VerifyingKey | None:
        """The key with that id, for a token's `kid`.

        Raises:
            DependencyError: no key at all is known yet.
        """
        if not self._verifying:
            raise DependencyError("the signing keys have not been read yet: the database does not answer")
        return self._verifying.get(kid) if isinstance(kid, str) else None

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """The public keys as a JWK set (RFC 7517), including the next signing key. A shared secret is left out."""
        keys = {key.kid: key.public for key in self._stored}
        if self.own is not None and (self._keep_own or not keys) and isinstance(self.own.key, RSAPrivateKey):
            keys.setdefault(self.own.kid, self.own.key.public_key())
        return {"keys": [published(key) for key in keys.values()]}

    def _known(self) -> Mapping[str, VerifyingKey]:
        known = {key.kid: VerifyingKey((RS256,), key.public) for key in self._stored}
        if self.own is not None and (self._keep_own or not known):
            known[self.own.kid] = VerifyingKey((self.own.algorithm,), self.own.verifying)
        return known
