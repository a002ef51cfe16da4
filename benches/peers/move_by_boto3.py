"""Moves a tree with boto3's transfer manager as it comes: ten threads, parts of 8 MiB.

move_by_boto3.py down|up ENDPOINT PREFIX FOLDER
"""
import sys
from pathlib import Path

import boto3
from boto3.s3.transfer import TransferConfig, create_transfer_manager

BUCKET = "bench"


def main(way, endpoint, prefix, folder):
    s3 = boto3.client("s3", endpoint_url=endpoint)
    root = Path(folder)
    with create_transfer_manager(s3, TransferConfig()) as manager:
        moves = down(s3, manager, prefix, root) if way == "down" else up(manager, prefix, root)
        for move in list(moves):
            move.result()


def down(s3, manager, prefix, root):
    for page in s3.get_paginator("list_objects_v2").paginate(Bucket=BUCKET, Prefix=prefix):
        for entry in page.get("Contents", ()):
            target = root / entry["Key"][len(prefix) :]
            target.parent.mkdir(parents=True, exist_ok=True)
            yield manager.download(BUCKET, entry["Key"], str(target))


def up(manager, prefix, root):
    for path in root.rglob("*"):
        if path.is_file():
            yield manager.upload(str(path), BUCKET, prefix + path.relative_to(root).as_posix())


main(*sys.argv[1:])
