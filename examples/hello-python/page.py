"""The version page: one self-contained HTML document, coloured by version so that a switch is visible at once."""

import zlib
from html import escape
from string import Template

_PAGE = Template("""<!doctype html>
<html lang="en"><head><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>hello $version</title>
<style>
  :root { --hue: $hue; color-scheme: light dark }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; color: #fff;
         font: 16px/1.5 system-ui, sans-serif;
         background: linear-gradient(135deg, hsl(var(--hue) 70% 32%), hsl(calc(var(--hue) + 40) 75% 18%)) }
  main { padding: 3rem 4rem; border-radius: 1.5rem; background: rgb(255 255 255 / .09);
         box-shadow: 0 1rem 4rem rgb(0 0 0 / .35) }
  h1 { margin: 0; font-size: clamp(3rem, 10vw, 6rem); line-height: 1; letter-spacing: -.04em }
  p { margin: 0 0 1rem; opacity: .8 }
  dl { display: grid; grid-template-columns: auto 1fr; gap: .25rem 1.5rem; margin: 2rem 0 0 }
  dt { opacity: .65 } dd { margin: 0; font-family: ui-monospace, monospace }
</style></head>
<body><main>
  <p>This is the hello service, version</p>
  <h1>$version</h1>
  <dl>
    <dt>release</dt><dd>$release</dd>
    <dt>instance</dt><dd>pid $pid</dd>
    <dt>colour</dt><dd>$colour</dd>
    <dt>fault</dt><dd>$fault</dd>
  </dl>
</main></body></html>
""")


def hue_of(version: str) -> int:
    """A colour for a version, in degrees: neighbours differ clearly, and the same version always has the same one."""
    return zlib.crc32(version.encode()) * 137 % 360


def render_page(facts: dict[str, str | int]) -> bytes:
    """The page for version, release, pid, colour and fault."""
    text = {name: escape(str(value)) for name, value in facts.items()}
    return _PAGE.substitute(text, hue=hue_of(str(facts["version"]))).encode()
