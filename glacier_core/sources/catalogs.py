"""Where STAC items are found: behind an API (pystac-client), or in the files of a static catalog."""

from __future__ import annotations

import json
import posixpath
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from datetime import date
from functools import cached_property
from pathlib import Path
from typing import Any
from urllib.parse import urljoin, urlparse

from glacier_core.errors import ConfigurationError, GlacierError, NotPublishedError
from glacier_core.sources.landsat import product_id
from glacier_core.sources.remote import (
    BUSY_STATUS,
    TIMEOUT_S,
    deepest_reason,
    fetch,
    is_http,
    rate_limit,
    retry_policy,
    unreachable,
)
from glacier_core.sources.times import is_dated
from glacier_core.store.backends import open_backend

Json = dict[str, Any]
Bbox = tuple[float, float, float, float]

PAGE = 100
"""Items a page of a search."""
SEARCH_RETRIES = 5
"""How often a search is sent again after 429, 5xx or a broken connection."""
READERS = 8
"""Files of a remote static catalog read at a time."""


@dataclass(frozen=True)
class Document:
    """A STAC document and where it was read from; its links are relative to that."""

    href: str
    """Path or URL."""
    content: Json
    """What it holds."""


def load_root(location: str) -> Document:
    """The root document of a catalog, from a URL, a file or a folder.

    A folder holds `catalog.json`, or else items, as the folders in which the USGS delivers its scenes do.

    Raises:
        ConfigurationError: it is not there, or is no STAC.
        ServiceUnavailableError: its host does not answer.
    """
    href = location.removeprefix("file://")
    if "://" not in href and Path(href).is_dir():
        folder = Path(href)
        href = str(folder / "catalog.json")
        if not Path(href).is_file() and (items := _items_in(folder)):
            return Document(href, {"type": "Catalog", "links": [{"rel": "item", "href": item} for item in items]})
    document = _load(href)
    content = document.content
    if not (content.get("type") in {"Catalog", "Collection", "FeatureCollection", "Feature"} or "links" in content):
        raise ConfigurationError(
            f"{location} is no STAC catalog",
            expected="the root of a STAC API or a static catalog",
            do="check --catalog",
        )
    return document


@dataclass(frozen=True)
class ApiCatalog:
    """A STAC API."""

    href: str
    """URL of its root."""

    def items(self, *, bbox: Bbox, start: date, end: date, collection: str, max_cloud_percent: float) -> list[Json]:
        """Items of a search, every page of it; see `CatalogSource.search` for the arguments and errors."""
        from pystac_client.errors import ClientTypeError
        from pystac_client.exceptions import APIError

        try:
            client = self._client
            dates = f"{start.isoformat()}T00:00:00Z/{end.isoformat()}T23:59:59.999Z"

            def search(query: Json | None) -> list[Json]:
                found = client.search(
                    bbox=bbox,
                    datetime=dates if all(map(is_dated, collections_of(collection) or [""])) else None,
                    collections=collections_of(collection) or None,
                    query=query,
                    limit=PAGE,
                )
                return [_absolute(item, _self_href(item) or self.href) for item in found.items_as_dicts()]

            if max_cloud_percent < 100 and client.conforms_to("QUERY"):
                # radar and elevation have no cloud cover: a query for it finds none of them
                return search({"eo:cloud_cover": {"lte": max_cloud_percent}}) or search(None)
            return search(None)
        except APIError as error:
            status = getattr(error, "status_code", None)
            if status is None or status in BUSY_STATUS:
                raise unreachable(self.href, detail=deepest_reason(error)) from None
            raise ConfigurationError(
                f"{self.href} refuses the search (HTTP {status}: {deepest_reason(error)})",
                do="check imagery.collection and --catalog",
            ) from None
        except (ClientTypeError, NotImplementedError) as error:
            raise ConfigurationError(f"{self.href} is no STAC API with item search ({deepest_reason(error)})") from None

    @cached_property
    def _client(self) -> Any:
        from pystac_client import Client
        from pystac_client.stac_api_io import StacApiIO

        def paced(request: Any) -> Any:
            rate_limit().wait()
            return request

        io = StacApiIO(max_retries=retry_policy(SEARCH_RETRIES))
        # `open` sets these two on the given `io`, also to None
        return Client.open(self.href, stac_io=io, request_modifier=paced, timeout=TIMEOUT_S)


@dataclass(frozen=True)
class StaticCatalog:
    """A catalog of files: catalogs and collections that link to items, or one collection of features."""

    root: Document
    """Where it begins."""

    def items(self, *, bbox: Bbox, start: date, end: date, collection: str, max_cloud_percent: float) -> list[Json]:
        """Items that may answer a search; dates and clouds are left to the caller, who checks them in either case."""
        del start, end, max_cloud_percent
        west, south, east, north = bbox
        found = []
        for item in self._all:
            box = item.get("bbox")
            half = len(box) // 2 if box else 0
            if box and (box[0] > east or box[half] < west or box[1] > north or box[half + 1] < south):
                continue
            if not collection or item.get("collection", collection) in (collection, *collections_of(collection)):
                found.append(item)
        return found

    @cached_property
    def _all(self) -> list[Json]:
        return list(self._walk())

    def _walk(self) -> Iterator[Json]:
        """Every item below the root, each document read once."""
        level, seen = [self.root], {self.root.href}
        with ThreadPoolExecutor(READERS) as pool:
            while level:
                hrefs: list[str] = []
                for document in level:
                    yield from _features(document)
                    hrefs += [href for href in _children(document) if href not in seen]
                    seen.update(hrefs)
                # threads help only where a file is far away
                read = pool.map if "://" in self.root.href else map
                level = list(read(_load, hrefs))


def collections_of(collection: str) -> list[str]:
    """The ids of collections that a search names, with commas between them; none for any."""
    return [name.strip() for name in collection.split(",") if name.strip()]


def absolute_href(base: str, href: str) -> str:
    """`href` of a document at `base` as an absolute path or URL."""
    if href.startswith("file://"):
        return href.removeprefix("file://")
    if "://" in href or href.startswith(("/vsi", "/")):
        return urljoin(base, href) if is_http(base) else href
    if is_http(base):
        return urljoin(base, href)
    scheme, separator, path = base.rpartition("://")
    return f"{scheme}{separator}{posixpath.normpath(posixpath.join(posixpath.dirname(path), href))}"


def _items_in(folder: Path) -> list[str]:
    """Names of the STAC items among the JSON files of a folder."""
    names = []
    for path in sorted(folder.glob("*.json")):
        try:
            content = json.loads(path.read_bytes())
        except (OSError, ValueError):
            continue
        if isinstance(content, dict) and content.get("type") == "Feature" and "assets" in content:
            names.append(path.name)
    return names


def _features(document: Document) -> Iterator[Json]:
    content = document.content
    if content.get("type") == "Feature":
        yield _absolute(content, document.href)
    elif content.get("type") == "FeatureCollection":
        for feature in content.get("features", []):
            yield _absolute(feature, _self_href(feature) or document.href)


def _children(document: Document) -> Iterator[str]:
    if document.content.get("type") in {"Feature", "FeatureCollection"}:
        return
    for link in document.content.get("links", []):
        if link.get("rel") in {"child", "item", "items"} and link.get("href"):
            yield absolute_href(document.href, link["href"])


def _absolute(item: Json, base: str) -> Json:
    """The item with absolute links to its assets, and without those to other documents."""
    product = product_id(item) if item.get("id") else ""
    assets = {
        key: {**asset, "href": _nearest(base, asset["href"], product=product)} for key, asset in item["assets"].items()
    }
    return {**item, "assets": assets, "links": []}


def _nearest(base: str, href: str, *, product: str) -> str:
    """The absolute link of an asset: to the file of its name beside a local item, where there is one.

    Items that are delivered with their files, as those of the USGS, link to the place on the web all the same. Only a
    name that begins with the product's is taken for the same file.
    """
    link = absolute_href(base, href)
    if "://" in base or not is_http(link):
        return link
    name = posixpath.basename(urlparse(link).path)
    beside = Path(base).parent / name
    return str(beside) if product and name.startswith(product) and beside.is_file() else link


def _self_href(item: Json) -> str:
    return next((str(link["href"]) for link in item.get("links", []) if link.get("rel") == "self"), "")


def _load(href: str) -> Document:
    """A JSON document from a path or URL."""
    try:
        content = json.loads(_fetch(href))
    except (FileNotFoundError, NotPublishedError):
        raise ConfigurationError(f"{href} does not exist", expected="a STAC document", do="check --catalog") from None
    except ValueError:
        raise ConfigurationError(f"{href} is no JSON", expected="a STAC document", do="check --catalog") from None
    except GlacierError:
        raise
    except OSError as error:
        raise ConfigurationError(f"{href} cannot be read ({deepest_reason(error)})", do="check --catalog") from None
    if not isinstance(content, dict):
        raise ConfigurationError(f"{href} holds {type(content).__name__}", expected="a STAC document")
    return Document(href, content)


def _fetch(href: str) -> bytes:
    if is_http(href):
        return fetch(href)
    if "://" not in href:
        return Path(href).read_bytes()
    folder, _, name = href.rpartition("/")
    return open_backend(folder).read(name)
