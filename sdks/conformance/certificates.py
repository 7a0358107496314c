"""Certificates that no client may accept."""

from datetime import UTC, datetime, timedelta
from enum import StrEnum
from ipaddress import ip_address

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID


class Fault(StrEnum):
    """What is wrong with it; all of them are of an authority that nobody knows as well."""

    SELF_SIGNED = "self_signed"
    WRONG_HOST = "wrong_host"
    EXPIRED = "expired"


def certificate(fault: Fault) -> bytes:
    """Certificate and key in one PEM."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "conformance")])
    there = x509.IPAddress(ip_address("127.0.0.1"))
    end = datetime.now(UTC) + (timedelta(days=-1) if fault is Fault.EXPIRED else timedelta(hours=1))
    signed = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(end - timedelta(days=2))
        .not_valid_after(end)
        .add_extension(
            x509.SubjectAlternativeName([x509.DNSName("elsewhere.example") if fault is Fault.WRONG_HOST else there]),
            critical=False,
        )
        .sign(key, hashes.SHA256())
    )
    private = key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )
    return signed.public_bytes(serialization.Encoding.PEM) + private
