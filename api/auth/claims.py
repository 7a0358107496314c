"""Builds the principal from verified claims."""

from collections.abc import Iterable, Mapping
from typing import Any
from uuid import UUID

from api.auth.principal import Principal
from domain.emails import normal_email
from domain.permissions import Role, granted, permissions_of
from domain.texts import name_of
from runtime.trusted_issuers import TrustedIssuer

MAX_SUBJECT = 200
Claims = Mapping[str, Any]


def own_principal(claims: Claims) -> Principal:
    """The principal of a token that we issued.

    Raises:
        ValueError: a claim differs from what we issue; also TypeError, KeyError.
    """
    role = Role(str(claims["role"]))
    asked = claims["permissions"]
    if not isinstance(asked, list):
        raise TypeError("permissions is a list")
    subject = _subject(str(claims["sub"]))
    machine = subject == claims.get("client_id")
    return Principal(
        subject=subject,
        organization_id=_organization(role, claims.get("org")),
        role=role,
        permissions=granted(role, (str(name) for name in asked)),
        credential=f"client:{subject}" if machine else f"user:{subject}",
        email=str(claims.get("email") or ""),
    )


def outside_principal(claims: Claims, issuer: TrustedIssuer) -> Principal:
    """The principal of a trusted issuer's token, by the mapping in the settings.

    Raises:
        ValueError: no role, or an organization that this issuer may not name; also TypeError, KeyError.
    """
    role = _outside_role(claims.get(issuer.role_claim), issuer)
    organization_id = _organization(role, issuer.organization or claims.get(issuer.organization_claim))
    if organization_id is not None and issuer.organizations and organization_id not in issuer.organizations:
        raise ValueError("the issuer has no say in this organization")
    subject = _subject(f"{issuer.name}:{claims[issuer.subject_claim]}")
    email = claims.get(issuer.email_claim) if _is_proven(claims) else None
    return Principal(
        subject=subject,
        organization_id=organization_id,
        role=role,
        permissions=_outside_permissions(claims, role, issuer),
        credential=f"user:{subject}",
        email=_email(email),
        is_foreign_machine=_is_machine(claims),
    )


# Subjects of workloads: runs of GitHub Actions and GitLab CI, Kubernetes service accounts, SPIFFE.
_WORKLOADS = ("repo:", "project_path:", "system:serviceaccount:", "spiffe://")


def _is_machine(claims: Claims) -> bool:
    """Whether a foreign token is a program's own (client credentials), as RFC 9068 and the larger issuers mark it.

    Entra ID sets `oid` equal to `sub` for applications only; Keycloak names the client's service account user.
    """
    subject = str(claims.get("sub") or "")
    itself = any(claims.get(name) == subject for name in ("client_id", "azp", "appid", "cid", "oid"))
    told = claims.get("gty") == "client-credentials" or claims.get("idtyp") == "app"
    keycloak = str(claims.get("preferred_username") or "").startswith("service-account-")
    return itself or told or keycloak or subject.endswith("@clients") or subject.startswith(_WORKLOADS)


def _outside_role(given: object, issuer: TrustedIssuer) -> Role:
    """The highest of the given roles that is known here."""
    names = given if isinstance(given, list) else [given]
    ours = [_role(name, issuer) for name in names if isinstance(name, str)]
    found = [role for role in ours if role is not None]
    if found:
        return max(found, key=list(Role).index)
    if issuer.role is None:
        raise ValueError("no role that we know")
    return issuer.role


def _role(name: str, issuer: TrustedIssuer) -> Role | None:
    if name in issuer.roles:
        return issuer.roles[name]
    return Role(name) if name in set(Role) - {Role.PLATFORM_ADMIN} else None


def _outside_permissions(claims: Claims, role: Role, issuer: TrustedIssuer) -> frozenset[Any]:
    if not issuer.scope_claim:
        return permissions_of(role)
    given = claims.get(issuer.scope_claim, "")
    names: Iterable[object] = given.split() if isinstance(given, str) else given
    return granted(role, (str(name) for name in names))


def _subject(subject: str) -> str:
    if not 0 < len(subject) <= MAX_SUBJECT or not subject.isprintable():
        raise ValueError("subject too long, or with characters nobody can read")
    name_of(subject)  # only for display; as an identifier it keeps the issuer's spelling
    return subject


def _is_proven(claims: Claims) -> bool:
    """Whether the issuer does not declare the email unverified (OpenID Connect Core, 5.1)."""
    return str(claims.get("email_verified", True)).lower() not in {"false", "0", "none", ""}


def _email(given: object) -> str:
    """An email from another issuer, for display and for matching people; dropped if it is not valid."""
    try:
        return normal_email(given) if isinstance(given, str) else ""
    except ValueError:
        return ""


def _organization(role: Role, given: object) -> UUID | None:
    if given is None and role is not Role.PLATFORM_ADMIN:
        raise ValueError("no organization")
    return None if given is None else UUID(str(given))
