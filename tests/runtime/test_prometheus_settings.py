"""The operator's Prometheus server."""

import pytest
from pydantic import ValidationError

from runtime.settings import Settings


@pytest.mark.parametrize("url", ["", "http://127.0.0.1:9090", "https://metrics.example:443/prometheus"])
def test_a_base_address_or_none(url):
    assert Settings(prometheus_url=url).prometheus_url == url
    assert Settings(prometheus_url=f"{url}/" if url else "").prometheus_url == url


@pytest.mark.parametrize(
    "url", ["prometheus:9090", "file:///etc", "http://", "http://me:pw@host", "http://host?x=1", "http://host#x", "//h"]
)
def test_anything_else_is_refused_by_name(url):
    with pytest.raises(ValidationError, match="prometheus_url"):
        Settings(prometheus_url=url)


def test_the_token_is_not_shown(monkeypatch):
    monkeypatch.setenv("DELIVERY_PROMETHEUS_TOKEN", "s3cret")
    settings = Settings()
    assert settings.prometheus_token.get_secret_value() == "s3cret"
    assert "s3cret" not in repr(settings)
