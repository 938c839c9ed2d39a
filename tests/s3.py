"""An S3 service for tests: moto's server on a free port of this machine, with one bucket."""

from __future__ import annotations

import logging
from collections.abc import Iterator
from dataclasses import dataclass

import pyarrow.fs as pafs
import pytest

BUCKET = "mplus-test"


@dataclass(frozen=True)
class S3:
    """Where the service listens, and how to name places in it."""

    endpoint: str  # host:port

    def url(self, prefix: str, bucket: str = BUCKET) -> str:
        """A storage URL of files below `prefix`."""
        options = f"endpoint_override={self.endpoint}&scheme=http&region=us-east-1"
        return f"s3://{bucket}/{prefix}?{options}"


# Bind it in a test module: `s3 = tests.s3.s3`.
@pytest.fixture(scope="session")
def s3() -> Iterator[S3]:
    """A running service; its credentials are in the environment, as in production."""
    server_module = pytest.importorskip(
        "moto.server", reason="S3 tests need moto: pip install 'moto[server]'"
    )
    logging.getLogger("werkzeug").setLevel(logging.ERROR)  # it logs every request
    server = server_module.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    with pytest.MonkeyPatch.context() as environment:
        for name in ("AWS_ACCESS_KEY_ID", "AWS_SECRET_ACCESS_KEY"):
            environment.setenv(name, "testing")
        for name in ("AWS_SESSION_TOKEN", "AWS_PROFILE", "HTTP_PROXY", "http_proxy"):
            environment.delenv(name, raising=False)
        environment.setenv("AWS_EC2_METADATA_DISABLED", "true")
        server.start()
        try:
            _, port = server.get_host_and_port()
            endpoint = f"127.0.0.1:{port}"
            pafs.S3FileSystem(
                endpoint_override=endpoint,
                scheme="http",
                region="us-east-1",
                allow_bucket_creation=True,
            ).create_dir(BUCKET)
            yield S3(endpoint)
        finally:
            server.stop()
