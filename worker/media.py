"""Media storage: a local folder by default, any fsspec URL (s3://, gs://, …) by MESH_MEDIA_URL."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any
from uuid import UUID

import fsspec
from sqlalchemy import Engine

import db.media
from model import MediaAsset
from providers.waiting import aside
from worker import ids
from worker.links import Links

CHUNK_BYTES = 1024 * 1024


@dataclass(frozen=True, slots=True)
class MediaFolder:
    """One tenant's files: `<media url>/<tenant id>/<name>`, and their rows."""

    url: str
    tenant_id: str
    engine: Engine
    links: Links = field(repr=False)

    def keep(self, name: str, content: bytes, mime: str, **details: Any) -> MediaAsset:
        """Store one file whole or not at all. The same name again replaces the file, so a repeated step leaves one."""
        uri = self._uri(name)
        return MediaAsset(
            id=aside(partial(self._store, uri, content)),
            uri=uri,
            mime=mime,
            size_bytes=len(content),
            sha256=hashlib.sha256(content).hexdigest(),
            details=details,
        )

    def _store(self, uri: str, content: bytes) -> UUID:
        """Write it; the id of its asset, which a file that replaces another one keeps."""
        _write(uri, content)
        with self.engine.begin() as connection:
            return db.media.id_at(connection, uri) or ids.new()

    def read(self, name: str) -> bytes | None:
        """What was kept under a name; None when it is not there."""
        return aside(partial(_content, self._uri(name)))

    def drop(self, name: str) -> None:
        """Remove what was kept under a name, if it is there."""
        aside(partial(_remove, self._uri(name)))

    def find(self, asset_id: str) -> MediaAsset | None:
        """A file of this tenant by the id of its asset; None where there is none."""
        try:
            wanted = UUID(asset_id)
        except ValueError:
            return None
        return aside(partial(self._row, wanted))

    def _row(self, asset_id: UUID) -> MediaAsset | None:
        with self.engine.begin() as connection:
            return db.media.get(connection, asset_id, tenant_id=self.tenant_id)

    def load(self, asset: MediaAsset) -> bytes | None:
        """The whole content of a file; None when it is not in storage any more."""
        return aside(partial(_content, asset.uri))

    def link(self, asset: MediaAsset, lasts_s: float) -> str:
        """Where the file may be fetched for so long: an address of the storage, where it signs such, else ours."""
        return aside(partial(_signed, asset.uri, lasts_s)) or self.links.media(asset.id, lasts_s)

    def _uri(self, name: str) -> str:
        return f"{self.url.rstrip('/')}/{self.tenant_id.replace(':', '_')}/{name}"


def _write(uri: str, content: bytes) -> None:
    filesystem, path = fsspec.core.url_to_fs(uri)
    filesystem.makedirs(path.rsplit("/", 1)[0], exist_ok=True)
    part = f"{path}.part-{ids.new()}"
    filesystem.pipe_file(part, content)
    filesystem.mv(part, path)


def _content(uri: str) -> bytes | None:
    filesystem, path = fsspec.core.url_to_fs(uri)
    try:
        content: bytes = filesystem.cat_file(path)
    except FileNotFoundError:
        return None
    return content


def _remove(uri: str) -> None:
    filesystem, path = fsspec.core.url_to_fs(uri)
    if filesystem.exists(path):
        filesystem.rm_file(path)


def _signed(uri: str, lasts_s: float) -> str | None:
    """The storage's own address for a while; None where it has no such thing."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    try:
        address: str = filesystem.sign(path, expiration=int(lasts_s))
    except NotImplementedError:
        return None
    return address


def local_path(uri: str) -> Path | None:
    """Where a file lies on this machine; None where it is kept elsewhere."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    return Path(path) if "file" in _protocols(filesystem) else None


def _protocols(filesystem: Any) -> tuple[str, ...]:
    given = filesystem.protocol
    return (given,) if isinstance(given, str) else tuple(given)


def stream(uri: str) -> Iterator[bytes] | None:
    """A file's content piece by piece; None when it is not there."""
    filesystem, path = fsspec.core.url_to_fs(uri)
    try:
        file = filesystem.open(path, "rb")
    except FileNotFoundError:
        return None
    return _pieces(file)


def _pieces(file: Any) -> Iterator[bytes]:
    with file:
        while piece := file.read(CHUNK_BYTES):
            yield piece


def probe(url: str) -> None:
    """Write and remove a small file, as a check that this storage takes any; raises whatever the storage raises."""
    filesystem, folder = fsspec.core.url_to_fs(url)
    filesystem.makedirs(folder, exist_ok=True)
    path = f"{folder}/.probe-{ids.new()}"
    filesystem.pipe_file(path, b"probe")
    filesystem.rm_file(path)
