"""Certificates of a test: an authority of its own, and what it signs. They live for an hour."""

from dataclasses import dataclass
from datetime import timedelta

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from runtime.ids import now


@dataclass(frozen=True)
class Issued:
    """A certificate and its private key, as PEM; `serial` as Envoy logs it."""

    certificate: bytes
    key: bytes
    serial: str


class Authority:
    """Signs certificates for servers and clients."""

    def __init__(self, name: str) -> None:
        self._key = ec.generate_private_key(ec.SECP256R1())
        self._name = _named(name)
        usage = x509.BasicConstraints(ca=True, path_length=0)
        signed = _unsigned(self._name, self._name, self._key).add_extension(usage, critical=True)
        self.certificate = _pem(signed.sign(self._key, hashes.SHA256()))

    def issue(self, host: str) -> Issued:
        """A certificate for a host name."""
        key = ec.generate_private_key(ec.SECP256R1())
        names = x509.SubjectAlternativeName([x509.DNSName(host)])
        unsigned = _unsigned(_named(host), self._name, key).add_extension(names, critical=False)
        signed = unsigned.sign(self._key, hashes.SHA256())
        private = key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        )
        return Issued(_pem(signed), private, f"{signed.serial_number:x}")


def _unsigned(subject: x509.Name, issuer: x509.Name, key: ec.EllipticCurvePrivateKey) -> x509.CertificateBuilder:
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now() - timedelta(minutes=5))
        .not_valid_after(now() + timedelta(hours=1))
    )


def _named(name: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])


def _pem(certificate: x509.Certificate) -> bytes:
    return certificate.public_bytes(serialization.Encoding.PEM)
