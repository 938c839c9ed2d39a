"""What the files of these tests are called and hold."""

from __future__ import annotations

import os

from mplus_ray.model.object_store.range_cache import PAGE_BYTES

KIB = 1024


BODY = os.urandom(3 * PAGE_BYTES + 1234)


NAME = "tenant/head/00000001-rows-0.arrow"
