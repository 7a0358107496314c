"""Swagger UI and ReDoc, served from packaged files without internet access."""

import base64
import hashlib
import re
from pathlib import Path

import fastapi_offline
from fastapi import FastAPI
from fastapi.openapi.docs import get_redoc_html, get_swagger_ui_html
from fastapi.responses import HTMLResponse
from starlette.staticfiles import StaticFiles

from api.openapi.addresses import NEWEST
from api.version import PREFIX

ASSETS = "/docs-assets"
OPENAPI = NEWEST
_FOLDER = Path(fastapi_offline.__file__).parent / "static"
# ReDoc's script would load a logo from its vendor; the policy keeps every page on this host. Scripts are ours, or the
# inline one, by its hash. Both viewers create their styles at run time, so those cannot be listed.
_POLICY = (
    "default-src 'none'; script-src 'self' {hashes}; style-src 'self' 'unsafe-inline'; img-src 'self' data:; "
    "font-src 'self' data:; connect-src 'self'; worker-src 'self' blob:; base-uri 'none'; form-action 'none'; "
    "frame-ancestors 'none'"
)
_INLINE = re.compile(rb"<script>(.*?)</script>", re.DOTALL)


def install(app: FastAPI) -> None:
    """Serve /docs and /redoc, at the root and under the version."""
    app.mount(ASSETS, StaticFiles(directory=_FOLDER), name="docs-assets")
    for prefix in ("", PREFIX):
        app.add_api_route(f"{prefix}/docs", _swagger, include_in_schema=False)
        app.add_api_route(f"{prefix}/redoc", _redoc, include_in_schema=False)


async def _swagger() -> HTMLResponse:
    return _page(
        get_swagger_ui_html(
            openapi_url=OPENAPI,
            title="Delivery engine: API",
            swagger_js_url=f"{ASSETS}/swagger-ui-bundle.js",
            swagger_css_url=f"{ASSETS}/swagger-ui.css",
            swagger_favicon_url=f"{ASSETS}/favicon.png",
            swagger_ui_parameters={"validatorUrl": None, "persistAuthorization": True},
        )
    )


async def _redoc() -> HTMLResponse:
    return _page(
        get_redoc_html(
            openapi_url=OPENAPI,
            title="Delivery engine: API",
            redoc_js_url=f"{ASSETS}/redoc.standalone.js",
            redoc_favicon_url=f"{ASSETS}/favicon.png",
            with_google_fonts=False,
        )
    )


def _page(page: HTMLResponse) -> HTMLResponse:
    body = bytes(page.body)
    digests = (base64.b64encode(hashlib.sha256(script).digest()).decode() for script in _INLINE.findall(body))
    policy = _POLICY.format(hashes=" ".join(f"'sha256-{digest}'" for digest in digests))
    return HTMLResponse(
        body, headers={"Content-Security-Policy": policy, "Cross-Origin-Embedder-Policy": "require-corp"}
    )
