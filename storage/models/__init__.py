"""All tables, imported here so that `Base.metadata` is complete."""

from storage.models.analysis import Analysis
from storage.models.api_keys import ApiKey
from storage.models.attestation_keys import AttestationKey
from storage.models.audit import AuditChain, AuditEntry, AuditLink
from storage.models.base import Base
from storage.models.delivery import (
    Build,
    BuildDocument,
    Deployment,
    Environment,
    GuardChange,
    Instance,
    Operation,
    Release,
    Route,
    RoutingGeneration,
)
from storage.models.events import Event
from storage.models.identity import Client, Invitation, Membership, OutsidePerson, Revocation, User
from storage.models.lists import INDEXES
from storage.models.mails import Mail
from storage.models.metrics import MetricIncrement, MetricRollup, MetricWriter
from storage.models.oauth import Attempts, Grant, LoginSession, RefreshToken, SigningKey
from storage.models.outbox import IdempotencyKey, OutboxEntry
from storage.models.planning import Feature, Organization, Project, Requirement
from storage.models.quality import TestCase, TestResult
from storage.models.secrets import Secret
from storage.models.timeline import TimelineEntry
from storage.models.vulnerabilities import BuildFinding, Vulnerability
from storage.models.webhooks import WebhookAttempt, WebhookDelivery, WebhookEndpoint

__all__ = [
    "INDEXES",
    "Analysis",
    "ApiKey",
    "Attempts",
    "AttestationKey",
    "AuditChain",
    "AuditEntry",
    "AuditLink",
    "Base",
    "Build",
    "BuildDocument",
    "BuildFinding",
    "Client",
    "Deployment",
    "Environment",
    "Event",
    "Feature",
    "Grant",
    "GuardChange",
    "IdempotencyKey",
    "Instance",
    "Invitation",
    "LoginSession",
    "Mail",
    "Membership",
    "MetricIncrement",
    "MetricRollup",
    "MetricWriter",
    "Operation",
    "Organization",
    "OutboxEntry",
    "OutsidePerson",
    "Project",
    "RefreshToken",
    "Release",
    "Requirement",
    "Revocation",
    "Route",
    "RoutingGeneration",
    "Secret",
    "SigningKey",
    "TestCase",
    "TestResult",
    "TimelineEntry",
    "User",
    "Vulnerability",
    "WebhookAttempt",
    "WebhookDelivery",
    "WebhookEndpoint",
]
