"""Every setting: its name in the environment, unit, default and meaning. docs/settings.md is made from this."""

from email.utils import parseaddr
from pathlib import Path
from typing import Annotated
from urllib.parse import urlsplit

from pydantic import AfterValidator, BeforeValidator, Field, SecretStr, field_validator
from pydantic_settings import BaseSettings, NoDecode, SettingsConfigDict

from storage.issuers import InstanceIssuer, read_issuers, with_names_of_their_own
from storage.networks import Networks, networks
from storage.rates import parse_overrides, parse_rates


class Settings(BaseSettings):
    """What an operator may choose. Read once at start from the environment."""

    model_config = SettingsConfigDict(
        env_prefix="ATRIUM_", extra="ignore", populate_by_name=True, hide_input_in_errors=True
    )

    environment: str = Field(
        "development",
        pattern="^(development|production)$",
        description="`production` refuses defaults that are only safe on one's own machine.",
    )
    data_dir: Path = Field(
        Path("data"),
        description="Directory of the embedded Postgres, generated secrets and files; created when missing.",
    )
    database_url: str | None = Field(
        None,
        validation_alias="DATABASE_URL",
        pattern="^postgres(ql)?://",
        description="Postgres 15 or later. Unset: an embedded Postgres 18 under the data directory.",
    )
    database_owner_url: str | None = Field(
        None,
        validation_alias="DATABASE_OWNER_URL",
        pattern="^postgres(ql)?://",
        description="A role that owns the schema and runs the migrations, when DATABASE_URL is already "
        "the login role. Unset: DATABASE_URL is the owner, and the server creates and uses its own login role.",
    )
    redis_url: SecretStr | None = Field(
        None,
        validation_alias="REDIS_URL",
        description="Redis or Valkey that carries events between nodes. Unset: one process, in-process bus.",
    )
    s3_bucket: str | None = Field(
        None,
        validation_alias="S3_BUCKET",
        min_length=1,
        description="Bucket that holds the bytes of files; it must exist. Unset: a directory under ATRIUM_DATA_DIR, which "
        "all nodes must share.",
    )
    s3_endpoint: str | None = Field(
        None,
        validation_alias="S3_ENDPOINT",
        pattern="^https?://",
        description="Address of the S3 service, such as https://s3.example.com. Unset: that of AWS.",
    )
    s3_region: str = Field("us-east-1", validation_alias="S3_REGION", description="Region of the bucket.")
    s3_access_key: SecretStr | None = Field(
        None,
        validation_alias="S3_ACCESS_KEY",
        description="Key of the S3 service. Unset: what the machine has, as AWS tools find it.",
    )
    s3_secret_key: SecretStr | None = Field(
        None, validation_alias="S3_SECRET_KEY", description="The secret of S3_ACCESS_KEY."
    )
    s3_timeout: float = Field(
        20, gt=0, description="Longest silence of the S3 service before it counts as away (seconds)."
    )
    file_max_bytes: int = Field(
        100 * 1024 * 1024, ge=1, le=48 * 1024**3, description="Largest file accepted (bytes)."
    )
    file_quota: int = Field(
        10 * 1024**3,
        ge=0,
        description="What all files of a tenant may have together, those under way included, and those that were deleted until "
        "their bytes are removed (bytes); 0 sets no bound.",
    )
    file_uploads: int = Field(
        20, ge=1, description="Uploads that somebody may have under way in a tenant at a time (count)."
    )
    file_upload_time: float = Field(
        3600, gt=0, description="Longest time for one upload (seconds); what takes longer is cut off."
    )
    file_silence: float = Field(
        60,
        gt=0,
        description="Longest silence of whoever uploads or downloads a file, in the midst of it (seconds); who sends or takes "
        "no byte for so long is cut off.",
    )
    file_grace: float = Field(
        3600,
        ge=300,
        description="How long the bytes of a deleted file are kept, and those of uploads that nobody finished, before they "
        "are removed within the hour (seconds).",
    )
    secret_key: SecretStr | None = Field(
        None,
        description="Signs access tokens; at least 32 characters, the same on every node. "
        "Unset: generated once and kept in the data directory.",
    )
    secret_key_previous: SecretStr | None = Field(
        None,
        description="The secret before ATRIUM_SECRET_KEY: what it has signed is accepted until it expires, and what it "
        "has sealed is opened.",
    )
    key_rotation: int = Field(
        90, ge=0, le=3650, description="How often a new key for access tokens is made (days); 0 never."
    )
    origins: str = Field(
        "",
        description="Comma-separated origins that browsers may connect from, such as https://app.example.com. "
        "Empty: only the server's own host on loopback, which production refuses.",
    )
    web_dir: Path = Field(Path("clients/web/dist"), description="Directory of the built web page.")

    pool_min: int = Field(
        5, ge=1, le=500, description="Connections to Postgres kept open by a worker (count)."
    )
    pool_max: int = Field(20, ge=2, le=500, description="Connections to Postgres opened at most (count).")
    pool_timeout: float = Field(30, gt=0, description="Longest wait for a free connection (seconds).")
    pool_idle: float = Field(600, gt=0, description="A connection unused for so long is closed (seconds).")
    command_timeout: float = Field(30, gt=0, description="Longest run of one SQL statement (seconds).")
    statement_cache: int = Field(
        512, ge=0, description="Prepared statements kept per connection (count); 0 behind PgBouncer."
    )

    access_token_ttl: int = Field(900, ge=30, description="Life of an access token (seconds).")
    refresh_token_ttl: int = Field(30 * 86400, ge=60, description="Life of a refresh token (seconds).")
    token_expiry_grace: float = Field(
        25, ge=0, description="How long a socket stays after its token expired (seconds)."
    )
    token_expiry_notice: float = Field(
        60, ge=0, description="How long before expiry `session.expiring` is sent (seconds)."
    )
    refresh_grace: float = Field(
        5,
        ge=0,
        description="A just-used refresh token is still accepted for so long: two tabs race (seconds).",
    )
    argon2_memory: int = Field(19456, ge=1024, description="Argon2id memory for a password hash (KiB).")
    argon2_time: int = Field(2, ge=1, description="Argon2id passes for a password hash (count).")
    password_min_length: int = Field(10, ge=8, description="Shortest password accepted (characters).")
    login_tries: int = Field(
        10, ge=0, description="Wrong passwords for one address before it is locked (count); 0 never locks."
    )
    login_lock: float = Field(
        900,
        gt=0,
        description="How long an address stays locked, and how long a wrong password is remembered (seconds).",
    )
    impersonation_ttl: int = Field(
        900, ge=60, le=3600, description="How long one may act as somebody else at a time (seconds)."
    )
    impersonation_mail: bool = Field(
        True,
        description="Whether a person gets a mail when somebody who runs the server begins to act as her.",
    )
    api_keys_max: int = Field(
        100,
        ge=1,
        description="API keys that one person has in a tenant, and a tenant of its own, at most (count).",
    )
    api_key_max_days: int = Field(
        0, ge=0, description="Longest life of a new API key (days); 0 sets no bound."
    )
    api_key_notice: int = Field(
        7,
        ge=0,
        description="How long before its end an API key is announced by mail (days); 0 announces none.",
    )
    second_factor_ttl: int = Field(
        300,
        ge=30,
        description="How long the second half of a sign-in and the challenge for a passkey may take (seconds).",
    )
    second_factor_tries: int = Field(
        5,
        ge=1,
        le=20,
        description="Second factors tried for one sign-in before it has to begin anew (count).",
    )
    code_tries: int = Field(
        10,
        ge=1,
        le=50,
        description="Wrong codes of an authenticator app in a row before the account takes none for a while: as "
        "long as ATRIUM_LOGIN_LOCK, then twice as long each time, up to a day (count).",
    )
    proof_ttl: int = Field(
        900,
        ge=60,
        description="How long a sign-in or another proof lets one change the factors of one's account (seconds).",
    )
    issuer_name: str = Field(
        "Atrium",
        min_length=1,
        max_length=60,
        pattern="^[^:]+$",
        description="What authenticator apps and the dialogs of passkeys call this server.",
    )
    passkey_domain: str | None = Field(
        None,
        pattern=r"^[a-z0-9-]+(\.[a-z0-9-]+)*$",
        description="Domain that passkeys are made for: that of the pages, or one above it. A change makes all of "
        "them useless. Unset: the host of ATRIUM_PUBLIC_URL.",
    )
    passkey_origins: str = Field(
        "",
        description="Comma-separated origins whose pages may use passkeys, beside that of ATRIUM_PUBLIC_URL.",
    )
    require_verified_email: bool = Field(
        False,
        description="Whether a new account has to follow the link in its mail before it can sign in. "
        "Accounts that exist already are not asked.",
    )
    open_directory: bool = Field(
        False,
        description="Whether everybody with an account counts as known to every tenant, so that administrators may "
        "add people by address without asking them. For servers of one organisation: it lets them find out "
        "who has an account.",
    )
    invitation_ttl: int = Field(7 * 86400, ge=60, description="How long an invitation is good for (seconds).")
    import_rows: int = Field(5000, ge=1, le=100_000, description="Rows of one import at most (count).")
    import_portion: int = Field(
        50, ge=1, le=1000, description="Rows of an import that are dealt with in one transaction (count)."
    )
    progress_delay: float = Field(
        5,
        ge=0,
        description="How long after a change the progress of a project is reckoned anew (seconds); 0 never, but for "
        "`project.overview`, which reckons when it is asked.",
    )
    trash_days: int = Field(
        30,
        ge=0,
        description="How long deleted projects and tasks can be restored before they are removed (days); 0 for ever.",
    )
    alarm_poll: float = Field(
        1, gt=0, description="How often a node looks for alarms that are due, such as reminders (seconds)."
    )
    alarm_tries: int = Field(
        8,
        ge=1,
        description="How often an alarm is tried that fails, later each time, before it is dropped (count).",
    )
    import_poll: float = Field(
        1, gt=0, description="How often a node looks for an import to carry on with (seconds)."
    )
    import_lease: float = Field(
        30, gt=0, description="After so much silence another node carries on with an import (seconds)."
    )
    invitation_retention: int = Field(
        90,
        ge=1,
        description="How long an invitation or import that is over is kept, with its addresses (days).",
    )
    verify_token_ttl: int = Field(
        3 * 86400, ge=60, description="How long a link that proves an address is good for (seconds)."
    )
    reset_token_ttl: int = Field(
        3600, ge=60, description="How long a link that sets a new password is good for (seconds)."
    )

    tenants_per_account: int = Field(
        10,
        ge=0,
        description="How many tenants one account may found, deleted ones included until they are purged (count).",
    )
    tenant_grace: int = Field(
        30,
        ge=0,
        description="How long a deleted tenant can be brought back before all of it is removed (days).",
    )
    logo_max_bytes: int = Field(
        512 * 1024, ge=1024, description="Largest picture accepted as a logo (bytes)."
    )
    logo_max_pixels: int = Field(
        4_000_000, ge=1024, description="Largest area of a picture accepted as a logo, in pixels (count)."
    )

    public_url: str = Field(
        "http://127.0.0.1:8080",
        description="Address under which people reach this server: links in mails begin with it, and cookies are "
        "Secure when it is https.",
    )
    smtp_url: SecretStr | None = Field(
        None,
        description="Mail server, as smtp://user:password@host:587?starttls or smtps://user:password@host:465. "
        "Unset: each mail is written as a file to mail/ under the data directory.",
    )
    smtp_timeout: float = Field(30, gt=0, description="Longest time for handing over one mail (seconds).")
    mail_from: str = Field(
        "Atrium <atrium@localhost>", description="Sender of mails: an address, with a name or without."
    )
    mail_tries: int = Field(
        10, ge=1, le=60, description="How often a mail is tried before it is given up (count)."
    )
    mail_retry: float = Field(
        10, gt=0, description="Pause before a mail is tried again; it doubles up to an hour (seconds)."
    )
    mail_poll: float = Field(
        3, gt=0, description="How often the outbox is looked at for what another node left in it (seconds)."
    )
    mail_pause: float = Field(
        60,
        ge=0,
        description="Shortest time between two mails of one kind with a link to one account (seconds).",
    )
    mail_retention: int = Field(7, ge=1, description="How long the record of a mail is kept (days).")

    oidc_issuers: Annotated[
        tuple[InstanceIssuer, ...],
        NoDecode,
        BeforeValidator(read_issuers),
        AfterValidator(with_names_of_their_own),
    ] = Field(
        (),
        description="Providers of identity (OpenID Connect) that the instance trusts: a JSON list, or the path of a "
        "file that holds one. See docs/single-sign-on.md for the fields.",
    )
    oidc_flow_ttl: int = Field(600, ge=30, description="How long a sign-in at a provider may take (seconds).")
    oidc_cache: float = Field(
        3600, gt=0, description="How long a provider's configuration and keys are kept (seconds)."
    )
    oidc_keys_pause: float = Field(
        60,
        ge=0,
        description="Shortest time between two looks for a key that a provider may have added (seconds).",
    )
    app_redirects: str = Field(
        "",
        description="Comma-separated addresses of apps that a sign-in at a provider may return to, such as "
        "com.example.app:/signed-in. Pages of allowed origins, and loopback addresses of programs, need no entry.",
    )
    domain_ttl: int = Field(
        398,
        ge=1,
        description="After so long another tenant that proves to own a domain takes it over (days).",
    )
    domain_code_ttl: int = Field(
        86400, ge=60, description="How long a code that proves a domain is good for (seconds)."
    )
    outbound_networks: str = Field(
        "",
        description="Comma-separated networks that requests to addresses chosen by tenants may reach although they "
        "are private, such as 10.1.2.0/24. Empty: the public internet only.",
    )
    outbound_timeout: float = Field(
        10, gt=0, description="Longest time for one request to another server (seconds)."
    )

    audit_retention: int = Field(
        2557,
        ge=31,
        description="How long entries of the audit log are kept (days); 2557 are seven years.",
    )
    audit_seal_interval: float = Field(
        2, gt=0, description="How often new entries of the audit log are chained (seconds)."
    )
    audit_head_interval: float = Field(
        60,
        gt=0,
        description="How often the heads of the chains are written to the log and to audit/ under the data "
        "directory (seconds).",
    )

    ping_interval: float = Field(12, gt=0, description="Time between heartbeats of a connection (seconds).")
    ping_timeout: float = Field(
        8, gt=0, description="A connection that leaves a heartbeat unanswered for so long is dead (seconds)."
    )
    connect_timeout: float = Field(
        20, gt=0, description="A socket must have authenticated within this time (seconds)."
    )
    active_sprints: int = Field(
        1, ge=1, le=100, description="Sprints that may be active in one project at the same time (count)."
    )
    max_payload: int = Field(
        1_000_000, ge=1024, description="Largest packet or request body accepted (bytes)."
    )
    max_pending_commands: int = Field(
        256,
        ge=1,
        description="Unanswered calls of one connection after which the server reads no more from it (count).",
    )
    group_commit: int = Field(
        64, ge=1, le=1000, description="Commands of one room applied in one transaction at most (count)."
    )
    resume_limit: int = Field(
        1000, ge=1, description="A resume that misses more events than this gets a snapshot (count)."
    )
    resume_bytes: int = Field(
        4 * 1024 * 1024,
        ge=4096,
        description="A resume that misses more bytes of events than this gets a snapshot; no more is read from the log at once "
        "than this, or one event (bytes).",
    )
    snapshot_window: int = Field(
        200, ge=1, le=5000, description="Tasks per column in a project's snapshot (count)."
    )
    send_soft_limit: int = Field(
        256 * 1024, ge=1024, description="Unsent bytes after which a member gets no more signals (bytes)."
    )
    send_hard_limit: int = Field(
        4 * 1024 * 1024, ge=4096, description="Unsent bytes after which a member is told to resync (bytes)."
    )
    io_uring: bool = Field(
        True,
        description="Whether events go to the members of a room through io_uring, many in one system call, where the "
        "kernel allows it (Linux 6.1 or later). Without it each member costs a system call.",
    )
    sweep_interval: float = Field(
        2.5, gt=0, description="How often the heads of active rooms are compared with Postgres (seconds)."
    )
    sweep_interval_unhealthy: float = Field(
        0.5, gt=0, description="The same while the bus is unhealthy (seconds)."
    )
    bus_silence: float = Field(
        5,
        gt=0,
        description="Silence of the canary after which the bus is unhealthy and reconnected (seconds).",
    )
    presence_lease: float = Field(
        10,
        gt=1,
        description="A node that is silent for so long is dead, and its members have left (seconds).",
    )
    presence_detail: int = Field(
        200, ge=1, description="Members of a room above which presence is sent as a count (count)."
    )
    schedule_interval: float = Field(
        1,
        gt=0,
        description="A schedule that somebody watches is reckoned anew at most so often by a node, when its project changes "
        "(seconds).",
    )
    typing_ttl: float = Field(6, gt=0, description="Typing ends by itself after this time (seconds).")
    command_retention: int = Field(
        48, ge=24, description="How long a command id is remembered and its reply repeated (hours)."
    )
    log_retention: int = Field(30, ge=1, description="How long events stay in the room log (days).")
    task_templates: int = Field(
        200, ge=0, le=10_000, description="Task templates of one project, and of the tenant, at most (count)."
    )
    rules_per_project: int = Field(50, ge=0, le=1000, description="Rules of one project at most (count).")
    rule_runs_per_command: int = Field(
        100, ge=1, le=1000, description="How often rules may act because of one command (count)."
    )
    rule_runs_per_minute: int = Field(
        120, ge=1, description="How often one rule may act in a minute (count)."
    )
    rule_runs_per_hour: int = Field(2000, ge=1, description="How often one rule may act in an hour (count).")
    project_rule_runs_per_minute: int = Field(
        600, ge=1, description="How often all rules of a project together may act in a minute (count)."
    )
    project_rule_runs_per_hour: int = Field(
        10_000, ge=1, description="How often all rules of a project together may act in an hour (count)."
    )
    rule_history_days: int = Field(30, ge=1, description="How long it is kept what rules did (days).")
    rule_history_rows: int = Field(
        1000, ge=1, le=100_000, description="Runs of one rule that are kept, about (count)."
    )
    drain_seconds: float = Field(
        10, ge=0, description="Time that clients are given to move on at shutdown (seconds)."
    )
    log_level: str = Field(
        "info", pattern="^(debug|info|warning|error)$", description="Least severe log line written."
    )
    metrics_token: SecretStr | None = Field(
        None,
        description="Bearer token that /metrics asks for. Unset: only loopback addresses may read it.",
    )
    rate_limits: bool = Field(
        True,
        description="Whether there are limits on how often one may call; `off` is for benchmarks and tests.",
    )
    limit_user: str = Field(
        "1000/hour;100/minute",
        description="REST calls of one person. Like every limit: amounts and spans, several joined by a semicolon; "
        "empty for no limit.",
    )
    limit_tenant: str = Field("10000/hour", description="REST calls of all people of one tenant.")
    limit_instance: str = Field("100000/hour", description="REST calls of everybody.")
    limit_address: str = Field(
        "3000/hour;300/minute",
        description="REST calls of one address without a sign-in, such as renewing tokens, and with a bad one. An IPv6 "
        "address counts with all of its /64.",
    )
    limit_sign_in: str = Field(
        "200/hour;30/minute",
        description="Sign-ins from one address, whether they succeed or not. Wrong passwords lock an account before: "
        "see ATRIUM_LOGIN_TRIES.",
    )
    limit_register: str = Field("50/hour;10/minute", description="New accounts from one address.")
    limit_recovery: str = Field(
        "60/hour;10/minute",
        description="Links asked for and used, for passwords and addresses, from one address.",
    )
    limit_connections: str = Field(
        "20000/hour;2000/minute", description="Socket.IO connections begun by one address."
    )
    limit_socket_commands: str = Field(
        "20000/hour;1500/minute;100/second", description="Commands of one person by socket."
    )
    limit_socket_queries: str = Field(
        "20000/hour;1500/minute;100/second", description="Queries of one person by socket."
    )
    limit_socket_controls: str = Field(
        "10000/hour;1200/minute",
        description="Joins, leaves and new tokens of one person by socket, and calls that are none.",
    )
    limit_socket_signals: str = Field(
        "6000/minute;200/second", description="Cursors, presence and typing of one person by socket."
    )
    limit_socket_tenant: str = Field(
        "60000/minute;3000/second",
        description="Calls by socket of all people of one tenant, without signals.",
    )
    limit_socket_instance: str = Field(
        "300000/minute;15000/second", description="Calls by socket of everybody, without signals."
    )
    limit_commands: str = Field(
        "",
        description="Budgets of single calls, comma-separated, such as task.move=20/second;600/minute, "
        "auth.login=5/minute. By socket instead of the budget of their kind, by REST beside the person's. Where "
        "nobody is signed in they are the address's, instead of that of their kind.",
    )
    trusted_proxies: str = Field(
        "",
        description="Comma-separated networks of the proxies in front, such as 10.0.0.0/8: from these, and from nobody "
        "else, X-Forwarded-For is believed.",
    )
    hsts: str = Field(
        "max-age=31536000; includeSubDomains",
        pattern="^(max-age=[0-9]+(; ?includeSubDomains)?(; ?preload)?)?$",
        description="Strict-Transport-Security of every answer while ATRIUM_PUBLIC_URL is https. Empty: none.",
    )
    session_retention: int = Field(
        30,
        ge=1,
        description="How long the record of an ended session, and of an expired refresh token, is kept (days).",
    )

    @field_validator(
        "limit_user",
        "limit_tenant",
        "limit_instance",
        "limit_address",
        "limit_sign_in",
        "limit_register",
        "limit_recovery",
        "limit_connections",
        "limit_socket_commands",
        "limit_socket_queries",
        "limit_socket_controls",
        "limit_socket_signals",
        "limit_socket_tenant",
        "limit_socket_instance",
    )
    @classmethod
    def are_limits(cls, text: str) -> str:
        """Refuse what is not in the notation, or would let nothing pass."""
        parse_rates(text)
        return text

    @field_validator("limit_commands")
    @classmethod
    def are_limits_of_calls(cls, text: str) -> str:
        """Refuse what is not in the notation; that the calls exist is checked at the start."""
        parse_overrides(text)
        return text

    @field_validator("trusted_proxies", "outbound_networks")
    @classmethod
    def are_networks(cls, text: str) -> str:
        """Refuse what is no network."""
        networks(text)
        return text

    @field_validator("secret_key", "secret_key_previous")
    @classmethod
    def long_enough(cls, key: SecretStr | None) -> SecretStr | None:
        """Refuse a key that could be guessed."""
        if key is not None and len(key.get_secret_value()) < 32:
            raise ValueError("must have at least 32 characters")
        return key

    @field_validator("public_url")
    @classmethod
    def is_an_address(cls, url: str) -> str:
        """Refuse what no link could begin with."""
        parts = urlsplit(url)
        if parts.scheme not in ("http", "https") or not parts.hostname or parts.query or parts.fragment:
            raise ValueError("must be like https://atrium.example.com")
        return url.rstrip("/")

    @field_validator("smtp_url")
    @classmethod
    def names_a_mail_server(cls, url: SecretStr | None) -> SecretStr | None:
        """Refuse what is not an SMTP address, without repeating the password in it."""
        if url is not None:
            parts = urlsplit(url.get_secret_value())
            if parts.scheme not in ("smtp", "smtps") or not parts.hostname:
                raise ValueError("must be like smtp://user:password@host:587")
            _ = parts.port
        return url

    @field_validator("mail_from")
    @classmethod
    def is_a_sender(cls, sender: str) -> str:
        """Refuse what no mail server would take."""
        if sender != " ".join(sender.split()) or "@" not in parseaddr(sender)[1]:
            raise ValueError("must be an address such as Atrium <atrium@example.com>")
        return sender

    @property
    def outbound_allowed(self) -> Networks:
        return networks(self.outbound_networks)

    @property
    def previous_secrets(self) -> tuple[str, ...]:
        previous = self.secret_key_previous
        return (previous.get_secret_value(),) if previous is not None else ()

    @property
    def allowed_origins(self) -> frozenset[str]:
        return frozenset(origin.strip().rstrip("/") for origin in self.origins.split(",") if origin.strip())

    @property
    def more_passkey_origins(self) -> list[str]:
        return [origin.strip().rstrip("/") for origin in self.passkey_origins.split(",") if origin.strip()]
