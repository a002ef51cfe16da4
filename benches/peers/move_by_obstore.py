"""Moves a tree with obstore, the Python face of Rust's object_store. It has no transfer of its own
for trees, so this is the plainest one: large objects in ranges of 8 MiB, the others whole.

move_by_obstore.py down|up ENDPOINT PREFIX FOLDER
"""
import asyncio
import os
import sys
from pathlib import Path

import obstore
from obstore.store import S3Store

RANGE_BYTES = 8 << 20
# Requests at once, for large and for small objects; tasks that wait for one.
AT_ONCE, AT_ONCE_SMALL, TASKS = 16, 64, 4096


def open_store(endpoint):
    client = {"allow_http": True}
    if endpoint.startswith("https:"):
        client["root_certificate"] = Path(os.environ["AWS_CA_BUNDLE"]).read_bytes()
    return S3Store(
        "bench",
        endpoint=endpoint,
        region="us-east-1",
        virtual_hosted_style_request=False,
        client_options=client,
    )


async def fetch_range(store, room, file, key, start, end):
    async with room:
        data = await obstore.get_range_async(store, key, start=start, end=end)
        os.pwrite(file, data, start)


async def fetch_whole(store, room, path, key):
    async with room:
        answer = await obstore.get_async(store, key)
        data = await answer.bytes_async()
        with open(path, "wb", buffering=0) as file:
            file.write(data)


async def send(store, room, path, key):
    async with room:
        await obstore.put_async(store, key, path)


def down(store, few, many, prefix, root):
    for page in obstore.list(store, prefix, chunk_size=1000):
        for entry in page:
            path = root / entry["path"][len(prefix) :]
            path.parent.mkdir(parents=True, exist_ok=True)
            if entry["size"] <= RANGE_BYTES:
                yield fetch_whole(store, many, path, entry["path"])
                continue
            file = os.open(path, os.O_WRONLY | os.O_CREAT, 0o644)
            for start in range(0, entry["size"], RANGE_BYTES):
                end = min(start + RANGE_BYTES, entry["size"])
                yield fetch_range(store, few, file, entry["path"], start, end)


def up(store, few, many, prefix, root):
    for path in root.rglob("*"):
        if path.is_file():
            room = few if path.stat().st_size > RANGE_BYTES else many
            yield send(store, room, path, prefix + path.relative_to(root).as_posix())


async def main(way, endpoint, prefix, folder):
    store = open_store(endpoint)
    few, many = asyncio.Semaphore(AT_ONCE), asyncio.Semaphore(AT_ONCE_SMALL)
    tasks = list((down if way == "down" else up)(store, few, many, prefix, Path(folder)))
    for start in range(0, len(tasks), TASKS):
        await asyncio.gather(*tasks[start : start + TASKS])


asyncio.run(main(*sys.argv[1:]))
sys.stdout.flush()
# Its runtime's threads sometimes abort an ordinary exit; the files are closed by the kernel.
os._exit(0)
