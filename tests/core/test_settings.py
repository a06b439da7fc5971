"""Settings: each says what it means, in what unit, and nonsense is refused at the start."""

import re
from pathlib import Path

import pytest
from pydantic import SecretStr, ValidationError
from pydantic.fields import FieldInfo

from server.app import instance_secret
from storage.settings import Settings
from tests.world import settings_for

FIELDS = sorted(Settings.model_fields.items())
UNITS = re.compile(r"\((seconds|count|bytes|KiB|characters|hours|days)\)")


@pytest.mark.parametrize(("name", "field"), FIELDS, ids=[name for name, _ in FIELDS])
def test_each_says_what_it_means(name: str, field: FieldInfo) -> None:
    assert field.description, f"{name} has no description"
    assert field.description.endswith("."), f"{name}: a description is a sentence"
    if field.annotation in (int, float):
        assert UNITS.search(field.description), f"{name} has no unit"
        assert field.metadata, f"{name} has no bounds"


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("ATRIUM_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("ATRIUM_ORIGINS", " https://a.example/ ,https://b.example,")
    monkeypatch.setenv("DATABASE_URL", "postgresql://somebody@somewhere/else")
    monkeypatch.setenv("REDIS_URL", "redis://:hunter7@somewhere")
    settings = Settings()
    assert settings.data_dir == tmp_path
    assert settings.allowed_origins == {"https://a.example", "https://b.example"}
    assert str(settings.database_url) == "postgresql://somebody@somewhere/else"
    assert "hunter7" not in repr(settings)


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        ("ATRIUM_ENVIRONMENT", "staging"),
        ("ATRIUM_SECRET_KEY", "short"),
        ("ATRIUM_POOL_MIN", "0"),
        ("ATRIUM_PING_INTERVAL", "-1"),
        ("ATRIUM_MAX_PAYLOAD", "lots"),
        ("ATRIUM_LOG_LEVEL", "loud"),
        ("ATRIUM_COMMAND_RETENTION", "23"),
        ("DATABASE_URL", "mysql://x"),
    ],
)
def test_nonsense_is_refused(monkeypatch: pytest.MonkeyPatch, variable: str, value: str) -> None:
    monkeypatch.setenv(variable, value)
    with pytest.raises(ValidationError):
        Settings()


ISSUER = '{"name": "keycloak", "issuer": "https://id.example.com", "client_id": "atrium", "client_secret": "hunter7"}'


def test_issuers_are_read_from_text_or_a_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    file = tmp_path / "issuers.json"
    file.write_text(f"[{ISSUER}]")
    for value in (f" [{ISSUER}]", str(file)):
        monkeypatch.setenv("ATRIUM_OIDC_ISSUERS", value)
        (issuer,) = Settings().oidc_issuers
        assert (issuer.name, issuer.scopes, issuer.second_factor) == (
            "keycloak",
            "openid email profile",
            "claimed",
        )
        assert issuer.client_secret is not None
        assert issuer.client_secret.get_secret_value() == "hunter7"
        assert "hunter7" not in repr(Settings())
    monkeypatch.setenv("ATRIUM_OIDC_ISSUERS", "")
    assert Settings().oidc_issuers == ()


@pytest.mark.parametrize(
    ("value", "said"),
    [
        ("[", "not valid JSON"), ("/no/such/file", "neither a JSON list nor a file"), (f"[{ISSUER}, {ISSUER}]", "same name"),
        (f"[{ISSUER}, {ISSUER.replace('keycloak', 'other')}]", "same issuer"),
        (f"[{ISSUER.replace('https://', 'ftp://')}]", "must be an address"),
        (f"[{ISSUER.replace('https://', 'https://a:b@')}]", "must not hold a user"),
        (f"[{ISSUER.replace('example.com', 'example.com?x=1')}]", "without query"),
        (f"[{ISSUER.replace('keycloak', 'Key/cloak')}]", "pattern"), (f'[{ISSUER[:-1]}, "colour": 1}}]', "Extra"),
        (f'[{ISSUER[:-1]}, "scopes": "email"}}]', "must hold openid"),
    ],
)  # fmt: skip
def test_an_odd_issuer_is_refused(monkeypatch: pytest.MonkeyPatch, value: str, said: str) -> None:
    monkeypatch.setenv("ATRIUM_OIDC_ISSUERS", value)
    with pytest.raises(ValidationError) as error:
        Settings()
    assert said in str(error.value)
    assert "hunter7" not in str(error.value)


def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data", secret_key=None)
    secret = instance_secret(settings)
    assert len(secret) >= 64
    assert instance_secret(settings) == secret
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o777 == 0o600
    assert instance_secret(settings_for(tmp_path, secret_key=SecretStr("y" * 32))) == "y" * 32
