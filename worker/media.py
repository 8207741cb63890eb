"""Media storage: a local folder by default, any fsspec URL (s3://, gs://, …) by MESH_MEDIA_URL."""

from __future__ import annotations

import hashlib
from functools import partial
from typing import Any

import fsspec

from model import MediaAsset
from providers.waiting import aside
from worker import ids


class MediaFolder:
    """Where one tenant's files go: `<media url>/<tenant id>/<name>`."""

    def __init__(self, url: str, tenant_id: str) -> None:
        self._base = f"{url.rstrip('/')}/{tenant_id.replace(':', '_')}"

    def keep(self, name: str, content: bytes, mime: str, **details: Any) -> MediaAsset:
        """Store one file whole or not at all. The same name again replaces the file, so a repeated step leaves one."""
        uri = f"{self._base}/{name}"
        aside(partial(_write, uri, content))
        return MediaAsset(
            id=ids.new(),
            uri=uri,
            mime=mime,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            details=details,
        )


def _write(uri: str, content: bytes) -> None:
    filesystem, path = fsspec.core.url_to_fs(uri)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    part = f"{path}.part-{ids.new()}"
    filesystem.pipe_file(part, content)
    filesystem.mv(part, path)


def probe(url: str) -> None:
    """Write and remove a small file, as a check that this storage takes any; raises whatever the storage raises."""
    filesystem, folder = fsspec.core.url_to_fs(url)
    filesystem.makedirs(folder, exist_ok=True)
    path = f"{folder}/.probe-{ids.new()}"
    filesystem.pipe_file(path, b"probe")
    filesystem.rm_file(path)
