"""Outside issuers of tokens that the settings trust, and how their claims are read."""

from ipaddress import ip_address
from typing import Annotated, Literal
from urllib.parse import urlsplit
from uuid import UUID

from pydantic import BaseModel, ConfigDict, Field, StringConstraints, field_validator

from domain.permissions import Role

Text = Annotated[str, StringConstraints(min_length=1, max_length=500)]
# With a public key only: both owners of a shared secret could sign.
Algorithm = Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]


class TrustedIssuer(BaseModel):
    """One entry of `DELIVERY_TRUSTED_ISSUERS`.

    Attributes:
        name: prefix of the subject, so that it never equals one of our users: `corp:<sub>`.
        issuer: `iss` of their tokens, to the letter.
        audience: `aud` that says that a token is for us.
        jwks_url: where their public keys are.
        algorithms: what they may sign with.
        types: header `typ` of what is accepted; "" stands for tokens without one. ID tokens have "JWT" or none.
        organization: all of theirs belong to this one; else `organization_claim` names it.
        organizations: the only ones that they may name; empty: any.
        roles: their roles to ours; a role that is not in it counts as it is, but `platform_admin` only from here.
        role: of who has no role in `role_claim`; None: they are refused.
        scope_claim: claim that cuts permissions down (text with spaces, or a list); empty: the role grants all of its.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: Annotated[str, StringConstraints(pattern=r"^[a-z0-9][a-z0-9-]{0,31}$")]
    issuer: Text
    audience: Text
    jwks_url: Text
    algorithms: tuple[Algorithm, ...] = Field(default=("RS256",), min_length=1)
    types: tuple[str, ...] = Field(default=("at+jwt", "application/at+jwt"), min_length=1)
    subject_claim: Text = "sub"
    email_claim: Text = "email"
    organization: UUID | None = None
    organization_claim: Text = "org"
    organizations: tuple[UUID, ...] = ()
    role: Role | None = None
    role_claim: Text = "role"
    roles: dict[str, Role] = Field(default_factory=dict)
    scope_claim: str = ""

    @field_validator("name")
    @classmethod
    def _is_not_taken(cls, name: str) -> str:
        if name in ("mailbox", "machine"):
            msg = "stands for something of our own; choose another name"
            raise ValueError(msg)
        return name

    @field_validator("jwks_url")
    @classmethod
    def _is_an_address(cls, url: str) -> str:
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc:
            msg = "must be https://host/path, without user or password"
            raise ValueError(msg)
        return url

    def may_speak_for(self, organization_id: UUID) -> bool:
        """Whether its tokens may be of an organization."""
        if self.organization is not None:
            return self.organization == organization_id
        return not self.organizations or organization_id in self.organizations

    @property
    def is_protected(self) -> bool:
        """Whether the keys are fetched in a way that no one else can change them."""
        return urlsplit(self.jwks_url).scheme == "https"

    @property
    def is_here(self) -> bool:
        """Whether its keys come from this machine."""
        host = urlsplit(self.jwks_url).hostname or ""
        try:
            return ip_address(host).is_loopback
        except ValueError:
            return host == "localhost"
