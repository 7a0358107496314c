"""Where users reach services, as the API says it."""

import pytest
from pydantic import ValidationError

from runtime.settings import Settings

HOST = "dev.shop.acme.apps.example.com"


@pytest.mark.parametrize(
    ("set_to", "said"),
    [
        ("", f"http://{HOST}:8123"),
        ("https://*", f"https://{HOST}"),
        ("https://*:8443", f"https://{HOST}:8443"),
        ("http://*:80", f"http://{HOST}:80"),
    ],
)
def test_the_address_of_the_proxy_before_the_ingress_is_said(set_to, said):
    assert Settings(services_url=set_to, ingress_port=8123).service_url(HOST) == said


@pytest.mark.parametrize(
    "wrong",
    [
        "https",
        "https://apps.example.com",
        "*",
        "ftp://*",
        "https://*/",
        "https://*.x",
        "https://*:0",
        "https://*:70000",
        "https://*:",
        "https://a@*",
        "https://*\n",
    ],
)
def test_anything_else_is_refused_by_name(wrong):
    with pytest.raises(ValidationError, match="services_url"):
        Settings(services_url=wrong)
