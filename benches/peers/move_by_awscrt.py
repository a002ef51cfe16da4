"""Moves a tree with the S3 client of the AWS common runtime, which reads and writes the files
itself; boto3 lists, since that client does not.

move_by_awscrt.py down|up ENDPOINT PREFIX FOLDER
"""
import os
import sys
import threading
from pathlib import Path
from urllib.parse import urlsplit

import boto3
from awscrt.auth import AwsCredentialsProvider
from awscrt.http import HttpHeaders, HttpRequest
from awscrt.io import (
    ClientBootstrap,
    ClientTlsContext,
    DefaultHostResolver,
    EventLoopGroup,
    TlsContextOptions,
)
from awscrt.s3 import (
    S3Client,
    S3RequestTlsMode,
    S3RequestType,
    create_default_s3_signing_config,
)

BUCKET = "bench"
REGION = "us-east-1"
# Objects handed over and not yet done: the client paces its own requests, the tree is not its.
OBJECTS_AT_ONCE = 256


class Mover:
    def __init__(self, endpoint):
        self.endpoint = endpoint
        self.host = urlsplit(endpoint).netloc
        self.room = threading.BoundedSemaphore(OBJECTS_AT_ONCE)
        loops = EventLoopGroup()
        tls = {"tls_mode": S3RequestTlsMode.DISABLED}
        if endpoint.startswith("https:"):
            trust = TlsContextOptions()
            trust.override_default_trust_store_from_path(None, os.environ["AWS_CA_BUNDLE"])
            options = ClientTlsContext(trust).new_connection_options()
            tls = {"tls_mode": S3RequestTlsMode.ENABLED, "tls_connection_options": options}
        keys = AwsCredentialsProvider.new_environment()
        self.client = S3Client(
            bootstrap=ClientBootstrap(loops, DefaultHostResolver(loops)),
            region=REGION,
            signing_config=create_default_s3_signing_config(region=REGION, credential_provider=keys),
            throughput_target_gbps=10,
            **tls,
        )

    def start(self, kind, method, key, fields, **file):
        self.room.acquire()
        headers = HttpHeaders([("host", self.host), *fields])
        request = HttpRequest(method, f"/{BUCKET}/{key}", headers)
        done = lambda **_: self.room.release()
        return self.client.make_request(type=kind, request=request, on_done=done, **file)

    def down(self, prefix, root):
        s3 = boto3.client("s3", endpoint_url=self.endpoint)
        for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
            for entry in page.get("Contents", ()):
                target = root / entry["Key"][len(prefix) :]
                target.parent.mkdir(parents=True, exist_ok=True)
                yield self.start(
                    S3RequestType.GET_OBJECT, "GET", entry["Key"], [], recv_filepath=str(target)
                )

    def up(self, prefix, root):
        for path in root.rglob("*"):
            if path.is_file():
                fields = [("content-length", str(path.stat().st_size))]
                key = prefix + path.relative_to(root).as_posix()
                yield self.start(
                    S3RequestType.PUT_OBJECT, "PUT", key, fields, send_filepath=str(path)
                )


def main(way, endpoint, prefix, folder):
    mover = Mover(endpoint)
    move = mover.down if way == "down" else mover.up
    for request in list(move(prefix, Path(folder))):
        request.finished_future.result()


main(*sys.argv[1:])
