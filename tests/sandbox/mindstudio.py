"""A plain HTTP client of the MindStudio stand-in, and the official npm packages, unmodified, as clients."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import requests

KEY = "sk_test"
API = "/developer/v2"
WRITER = "3f0d1c52-7a4e-4b7e-9c1d-000000000001"
READER = "3f0d1c52-7a4e-4b7e-9c1d-000000000002"
CHAT = "3f0d1c52-7a4e-4b7e-9c1d-000000000003"
PATIENCE_S = 10.0
PACKAGES = ("@mindstudio-ai/agent@0.1.7", "mindstudio@0.9.7")
INSTALL_S = 180
# Reads calls from stdin, makes them one after another with one client of each package, prints what they gave.
SCRIPT = """
import { readFileSync } from 'node:fs';
import { MindStudioAgent } from '@mindstudio-ai/agent';
import package097 from 'mindstudio';

const { url, key, calls } = JSON.parse(readFileSync(0, 'utf8'));
const clients = {
  agent: new MindStudioAgent({ apiKey: key, baseUrl: url, reuseThreadId: true }),
  mindstudio: new package097.MindStudio(key, { baseUrl: url + '/developer/v2' }),
};
const given = (value) => (value && value.bytes !== undefined ? Buffer.from(value.bytes) : value);
const results = [];
for (const [client, method, ...args] of calls) {
  try {
    results.push({ value: await clients[client][method](...args.map(given)) });
  } catch (error) {
    results.push({ name: error.name, status: error.status, code: error.code, message: error.message });
  }
}
console.log(JSON.stringify(results));
"""


@dataclass(frozen=True)
class Reply:
    """Status, headers by lower-case name, and body of an answer."""

    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)

    @property
    def refusal(self) -> tuple[int, str]:
        """Status and code of an error."""
        assert set(self.json) == {"message", "code"}, self.json
        return self.status, self.json["code"]


class Client:
    """Requests with a key, or without one."""

    def __init__(self, url: str, key: str | None = KEY) -> None:
        self.url = url
        self._session = requests.Session()
        self._session.trust_env = False
        if key is not None:
            self._session.headers["Authorization"] = f"Bearer {key}"

    def post(self, path: str, accept: str = "*/*", **body: Any) -> Reply:
        return self.send("POST", path, json.dumps(body).encode(), {"Accept": accept})

    def get(self, path: str) -> Reply:
        return self.send("GET", path)

    def send(self, method: str, path: str, body: bytes = b"", headers: Mapping[str, str] | None = None) -> Reply:
        url = path if path.startswith("http") else self.url + API + path
        given = {"Content-Type": "application/json", **(headers or {})}
        answer = self._session.request(method, url, data=body, headers=given, timeout=PATIENCE_S, allow_redirects=False)
        lower = {name.lower(): value for name, value in answer.headers.items()}
        return Reply(answer.status_code, lower, answer.content)


@dataclass(frozen=True)
class Packages:
    """The npm packages in a folder of their own."""

    folder: Path

    def call(self, url: str, *calls: Sequence[Any]) -> list[Any]:
        """Make calls `(client, method, arguments…)`: of each its `value`, or the fields of its error."""
        asked = json.dumps({"url": url, "key": KEY, "calls": calls})
        environment = {"PATH": os.environ["PATH"], "HOME": str(self.folder)}  # no settings of the person who tests
        done = subprocess.run(
            ["node", "script.mjs"],
            cwd=self.folder,
            env=environment,
            input=asked,
            capture_output=True,
            text=True,
            timeout=INSTALL_S,
            check=False,
        )
        assert done.returncode == 0, done.stderr
        results: list[Any] = json.loads(done.stdout)
        return results


def installed(folder: Path) -> Packages:
    """The packages, fresh from the registry; skips where there is no node or no registry."""
    if shutil.which("node") is None or shutil.which("npm") is None:
        pytest.skip("OFFICIAL CLIENTS NOT RUN: node and npm are not on PATH")
    (folder / "package.json").write_text('{"private": true}')
    (folder / "script.mjs").write_text(SCRIPT)
    command = ["npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", *PACKAGES]
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=INSTALL_S, check=False)
    except subprocess.TimeoutExpired:
        pytest.skip(f"OFFICIAL CLIENTS NOT RUN: npm did not install them in {INSTALL_S} s")
    if done.returncode != 0:
        pytest.skip(f"OFFICIAL CLIENTS NOT RUN: npm cannot install {' and '.join(PACKAGES)}: {done.stderr[-300:]}")
    return Packages(folder)
