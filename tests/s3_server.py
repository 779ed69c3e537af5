"""An S3 server on this machine, for tests of folders that are elsewhere; skips them without moto and s3fs."""

import contextlib
import os
from unittest import mock

import pytest


@contextlib.contextmanager
def serving():
    """Serves an empty bucket for as long as the context lasts; gives its address."""
    pytest.importorskip("s3fs")
    server_of = pytest.importorskip("moto.server")
    server = server_of.ThreadedMotoServer("127.0.0.1", 0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    keys = {"AWS_ACCESS_KEY_ID": "id", "AWS_SECRET_ACCESS_KEY": "key", "AWS_DEFAULT_REGION": "us-east-1"}
    try:
        with mock.patch.dict(os.environ, keys | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}):
            import s3fs

            s3fs.S3FileSystem.clear_instance_cache()
            s3fs.S3FileSystem().mkdir("bucket")
            yield "s3://bucket"
    finally:
        server.stop()
