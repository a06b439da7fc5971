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


def test_a_secret_is_made_once_and_kept_private(tmp_path: Path) -> None:
    settings = settings_for(tmp_path / "data", secret_key=None)
    secret = instance_secret(settings)
    assert len(secret) >= 64
    assert instance_secret(settings) == secret
    assert (tmp_path / "data" / "secret").stat().st_mode & 0o777 == 0o600
    assert instance_secret(settings_for(tmp_path, secret_key=SecretStr("y" * 32))) == "y" * 32
