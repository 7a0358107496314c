"""Swagger UI and ReDoc from files that come with a package: nothing is fetched from the internet."""

from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from api.openapi.served import NEWEST
from api.version import PREFIX

ASSETS = "/docs-assets"
OPENAPI = NEWEST
_FOLDER = Path(fastapi_offline.__file__).parent / "static"
# ReDoc's script would load a logo from its maker; the policy keeps every page on this host.
_POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline'; style-src 'self' 'unsafe-inline'; "
    "img-src 'self' data:; worker-src 'self' blob:; frame-ancestors 'none'"
)
_HEADERS = {"Content-Security-Policy": _POLICY}


def install(app: FastAPI) -> None:
    """Serve /docs and /redoc, at the root and under the version."""
    app.mount(ASSETS, StaticFiles(directory=_FOLDER), name="docs-assets")
    for prefix in ("", PREFIX):
        app.add_api_route(f"{prefix}/docs", _swagger, include_in_schema=False)
        app.add_api_route(f"{prefix}/redoc", _redoc, include_in_schema=False)


async def _swagger() -> HTMLResponse:
    page = get_swagger_ui_html(
        openapi_url=OPENAPI,
        title="Delivery engine: API",
        swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
        swagger_css_url=f"{ASSETS}/swagger-ui.css",
        swagger_favicon_url=f"{ASSETS}/favicon.png",
        swagger_ui_parameters={"validatorUrl": None, "persistAuthorization": True},
    )
    return HTMLResponse(bytes(page.body), headers=_HEADERS)


async def _redoc() -> HTMLResponse:
    page = get_redoc_html(
        openapi_url=OPENAPI,
        title="Delivery engine: API",
        redoc_js_url=f"{ASSETS}/redoc.standalone.js",
        redoc_favicon_url=f"{ASSETS}/favicon.png",
        with_google_fonts=False,
    )
    return HTMLResponse(bytes(page.body), headers=_HEADERS)
