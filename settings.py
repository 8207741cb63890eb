"""The only reader of the environment.

Every setting is one field here and one line in `.env.example`. `DATABASE_URL` and `REDIS_URL` both unset means the
embedded servers that `mesh up` starts: their addresses are read from the stack file it leaves in `MESH_HOME`.
"""

from __future__ import annotations

import json
from functools import cache
from ipaddress import IPv4Network, IPv6Network, ip_network
from pathlib import Path
from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from click import ClickException
from pydantic import Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

Network = IPv4Network | IPv6Network


class ConfigurationError(ClickException):
    """A setting is missing or wrong; the message is one sentence that says what to do.

    A ClickException, so that the `celery` command shows the sentence instead of a traceback.
    """


class Settings(BaseSettings):
    """What the environment (or a `.env` file beside the project) says."""

    model_config = SettingsConfigDict(env_file=".env", extra="ignore", frozen=True)

    database_url: str = ""
    redis_url: str = ""
    mesh_home: Path = Path(".mesh")
    mesh_encryption_keys: SecretStr = SecretStr("")  # "k2:<key>,k1:<key>"; the first encrypts, all decrypt
    mesh_public_url: str = "http://127.0.0.1:8000"
    mesh_hooks_url: str = ""  # where providers reach our doors for webhooks and media; empty = mesh_public_url
    mesh_key_prefix: str = ""  # before every key and queue on Redis, producers included: for a server that is shared
    mesh_media_url: str = ""  # any fsspec URL; empty = the folder `media` in MESH_HOME

    # Webhook targets inside these networks are allowed, over plain http too; everything else: https, public.
    mesh_private_targets: Annotated[tuple[Network, ...], NoDecode] = ()

    mesh_call_deadline_s: float = Field(default=0, ge=0, le=110)  # 0 = each provider's own
    mesh_lease_margin_s: float = Field(default=15, ge=1, le=600)  # a claim outlives its call's deadline by this
    mesh_calls_in_flight: int = Field(default=256, ge=1, le=4096)  # per worker process
    mesh_worker_threads: int = Field(default=12, ge=2, le=256)
    mesh_keep_events_days: int = Field(default=90, ge=0, le=36_500)  # settled ones with their deliveries; 0 = for ever
    mesh_keep_attempts_days: int = Field(default=90, ge=0, le=36_500)  # a week more at the most; 0 = for ever
    mesh_transport: Literal["own", "stock"] = "own"  # stock = kombu's own Redis transport, unchanged
    mesh_task_events: bool = False  # send Celery task events (Flower); costs about a fifth of a worker's CPU
    mesh_log_level: str = "INFO"
    mesh_stop_at: str = ""  # fault injection for `make chaos`: a file that says where a process dies

    flower_basic_auth: SecretStr = SecretStr("")  # "user:password"

    mindstudio_base_url: str = ""
    autods_base_url: str = ""
    tiktok_ads_base_url: str = ""
    meta_ads_base_url: str = ""
    elevenlabs_base_url: str = ""
    capcut_base_url: str = ""
    zapier_base_url: str = ""

    autods_gateway_url: str = ""
    autods_research_url: str = ""

    # Paths of single operations where an API's are assumed or have moved: {"operation": "/path"} in JSON.
    mindstudio_paths: dict[str, str] = {}
    autods_paths: dict[str, str] = {}
    elevenlabs_paths: dict[str, str] = {}
    capcut_paths: dict[str, str] = {}

    elevenlabs_max_samples: str = ""  # of one instant clone
    elevenlabs_max_sample_bytes: str = ""
    autods_address_style: Literal["", "address1", "address_1"] = ""
    capcut_license_key: SecretStr = SecretStr("")

    tiktok_ads_authorize_url: str = ""  # as the provider's portal shows it, with what it has in its query
    meta_ads_authorize_url: str = ""
    meta_ads_api_version: str = ""

    mindstudio_api_key: SecretStr = SecretStr("")
    autods_api_key: SecretStr = SecretStr("")
    tiktok_ads_api_key: SecretStr = SecretStr("")
    tiktok_ads_secret: SecretStr = SecretStr("")
    meta_ads_api_key: SecretStr = SecretStr("")
    meta_ads_secret: SecretStr = SecretStr("")
    elevenlabs_api_key: SecretStr = SecretStr("")
    capcut_api_key: SecretStr = SecretStr("")

    @field_validator("mesh_private_targets", mode="before")
    @classmethod
    def _networks(cls, value: Any) -> Any:
        """Accept a comma-separated list of networks, as an environment variable holds it."""
        if isinstance(value, str):
            return tuple(ip_network(part.strip()) for part in value.split(",") if part.strip())
        return value

    @field_validator("database_url")
    @classmethod
    def _postgres(cls, value: str) -> str:
        if value and not value.startswith(("postgresql://", "postgres://", "postgresql+psycopg2://")):
            raise ValueError("must start with postgresql://")
        return value.replace("postgresql+psycopg2://", "postgresql://").replace("postgres://", "postgresql://")

    @field_validator("mesh_public_url", "mesh_hooks_url")
    @classmethod
    def _web_address(cls, value: str, info: ValidationInfo) -> str:
        """`http(s)://host[:port][/path]`."""
        if not value and info.field_name == "mesh_hooks_url":
            return value
        parts = urlsplit(value)  # raises ValueError itself for a broken one
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be an address such as https://mesh.example.com")
        return value

    @field_validator("redis_url")
    @classmethod
    def _redis(cls, value: str) -> str:
        if value and not value.startswith(("redis://", "rediss://", "redis+socket://", "sentinel://")):
            raise ValueError("must start with redis://, rediss://, redis+socket:// or sentinel://")
        return value

    @property
    def embedded(self) -> bool:
        """Whether the servers are ours to start."""
        return not self.database_url and not self.redis_url

    @property
    def stack_file(self) -> Path:
        """Where a running stack leaves its addresses."""
        return self.mesh_home / "stack.json"

    @property
    def hooks_url(self) -> str:
        """Where providers reach our doors for webhooks, callbacks and media."""
        return self.mesh_hooks_url or self.mesh_public_url

    @property
    def media_url(self) -> str:
        """The fsspec URL under which media files are kept."""
        return self.mesh_media_url or (self.mesh_home / "media").absolute().as_uri()

    def provider_base_url(self, provider: str) -> str:
        """The base URL set for a provider; empty = the provider's own."""
        return self.provider_setting(provider, "base_url")

    def provider_setting(self, provider: str, name: str) -> str:
        """What is set for one provider under a name; empty = its own default."""
        value = getattr(self, f"{provider}_{name}", "")
        return value.get_secret_value() if isinstance(value, SecretStr) else str(value)

    def provider_paths(self, provider: str) -> dict[str, str]:
        """The paths set for single operations of a provider."""
        return dict(getattr(self, f"{provider}_paths", {}))

    def provider_credentials(self, provider: str) -> dict[str, str]:
        """The account-wide credentials set for a provider, by the field names of its connect form."""
        names = {"api_key": f"{provider}_api_key", "secret": f"{provider}_secret"}
        found = {field: getattr(self, name, None) for field, name in names.items()}
        return {field: secret.get_secret_value() for field, secret in found.items() if secret}


def load(**overrides: Any) -> Settings:
    """Read the environment. Raises ConfigurationError naming the variable and what is wrong with it."""
    try:
        settings = Settings(**overrides)
    except ValidationError as error:
        first = error.errors(include_input=False, include_url=False)[0]
        name = str(first["loc"][0]).upper() if first["loc"] else "the environment"
        said = first["msg"].removeprefix("Value error, ")
        raise ConfigurationError(f"{name} is not usable: {said}. Correct it and start again.") from None
    if bool(settings.database_url) != bool(settings.redis_url):
        missing = "REDIS_URL" if settings.database_url else "DATABASE_URL"
        raise ConfigurationError(
            f"{missing} is not set, the other one is: set both, or neither to use the embedded servers."
        )
    return settings


def resolve(settings: Settings) -> Settings:
    """Fill in what the embedded stack that runs here left in its stack file; what the environment sets wins.

    Raises ConfigurationError when no server is configured and no stack runs in MESH_HOME.
    """
    if not settings.embedded:
        return settings
    try:
        stack: dict[str, str] = json.loads(settings.stack_file.read_text())["settings"]
    except FileNotFoundError:
        raise ConfigurationError(
            f"No stack runs in {settings.mesh_home}/: start one with `mesh up`, or set DATABASE_URL and REDIS_URL."
        ) from None
    except (OSError, ValueError, KeyError) as error:
        raise ConfigurationError(f"{settings.stack_file} cannot be read ({error}): run `mesh up` again.") from None
    explicit = settings.model_dump(exclude_unset=True)
    wins = {name: value for name, value in explicit.items() if value or name not in stack}  # a blank is not set
    return load(**{**stack, **wins})


@cache
def current() -> Settings:
    """The settings of this process, read once at start-up."""
    return resolve(load())
