"""Credentials that travel in a query or a body are cut in the records, as those in headers are."""

from __future__ import annotations

import re
from typing import Final

SECRET_NAMES: Final = (
    "access_token",
    "apiKey",
    "app_secret",
    "appsecret_proof",
    "auth_code",
    "client_secret",
    "code_verifier",
    "fb_exchange_token",
    "input_token",
    "license_key",
    "refresh_token",
    "secret",
)
IN_FORMS: Final = ("code", "token")  # in JSON these names say other things too
# A form's `name=value` or JSON's `"name": "value"`; the first four characters stay, to tell two values apart.
NAMED: Final = rf"""(?:{"|".join(SECRET_NAMES)})(?:=|"\s*:\s*")|(?:{"|".join(IN_FORMS)})="""
SECRET: Final = re.compile(rf"""(?<!\w)((?:{NAMED})[^&"]{{4}})[^&"]+""")


def without_secrets(text: str) -> str:
    """The text of a query, a form or JSON with the values of credentials cut to their first characters."""
    return SECRET.sub(r"\1…", text)
