"""Where things are kept: any fsspec URL; publish once, read only what is published."""

from glacier_core.store.backends import checksum_of, checksum_of_file
from glacier_core.store.collecting import Collected
from glacier_core.store.digests import canonical_json, digest_of, plain, stage_digest
from glacier_core.store.outputs import Attempt, Output, StoredObject
from glacier_core.store.stores import Pointer, Store

__all__ = [
    "Attempt",
    "Collected",
    "Output",
    "Pointer",
    "Store",
    "StoredObject",
    "canonical_json",
    "checksum_of",
    "checksum_of_file",
    "digest_of",
    "plain",
    "stage_digest",
]
