"""A worker process that needs an account's token: says that it is ready, waits for a word, then says what it got.

One JSON object on the command line: `settings` by name, `account`, `lease_s`, `patience_s`.
"""

from __future__ import annotations

import hashlib
import json
import sys
from typing import Any
from uuid import UUID

from providers.errors import ProviderError
from tests.conftest import Given
from tests.oauth import install, tokens_with
from worker.logs import configure_logging
from worker.resources import build


def main() -> None:
    """One token."""
    configure_logging("INFO")
    told: dict[str, Any] = json.loads(sys.argv[1])
    install()
    settings = Given(**told["settings"])
    shared = build(settings)
    tokens = tokens_with(shared, lease_s=told["lease_s"], patience_s=told["patience_s"])
    say({"ready": True})
    sys.stdin.readline()
    try:
        token, version = tokens.access(UUID(told["account"]))
        say({"version": version, "token": hashlib.sha256(token.encode()).hexdigest()})
    except ProviderError as error:
        say({"error": error.code, "said": str(error)})
    tokens.close()
    shared.close()


def say(what: dict[str, Any]) -> None:
    """One line."""
    print(json.dumps(what), flush=True)


if __name__ == "__main__":
    main()
