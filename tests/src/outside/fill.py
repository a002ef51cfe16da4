"""Fills a bucket of an S3 store over plain HTTP, with a signer of its own:
what a download finds was not put there by the client under test.

usage: fill.py HOST:PORT BUCKET <PAIRS   (key and secret in the environment)

PAIRS is a JSON array of [KEY, PATH]. The bucket is made where it is missing.
"""
import datetime
import hashlib
import hmac
import http.client
import json
import os
import sys
import urllib.parse
from concurrent.futures import ThreadPoolExecutor

HOST, BUCKET = sys.argv[1:]
KEY, SECRET = os.environ['AWS_ACCESS_KEY_ID'], os.environ['AWS_SECRET_ACCESS_KEY']
WIDTH = 4


def mac(key, text):
    return hmac.new(key, text.encode(), hashlib.sha256).digest()


def signed(path, digest):
    """The headers of a PUT of `path`, which is percent-encoded already."""
    now = datetime.datetime.now(datetime.timezone.utc).strftime('%Y%m%dT%H%M%SZ')
    headers = {'host': HOST, 'x-amz-content-sha256': digest, 'x-amz-date': now}
    names = ';'.join(headers)
    lines = [f'{name}:{value}' for name, value in headers.items()]
    request = '\n'.join(['PUT', path, '', *lines, '', names, digest])
    scope = f'{now[:8]}/us-east-1/s3/aws4_request'
    text = '\n'.join(['AWS4-HMAC-SHA256', now, scope, hashlib.sha256(request.encode()).hexdigest()])
    key = b'AWS4' + SECRET.encode()
    for step in scope.split('/'):
        key = mac(key, step)
    headers['authorization'] = (f'AWS4-HMAC-SHA256 Credential={KEY}/{scope}, '
                                f'SignedHeaders={names}, Signature={mac(key, text).hex()}')
    return headers


def put(connection, path, body, fine=(200,)):
    path = urllib.parse.quote(path, safe='/-_.~')
    connection.request('PUT', path, body, signed(path, hashlib.sha256(body).hexdigest()))
    answer = connection.getresponse()
    said = answer.read()
    if answer.status not in fine:
        sys.exit(f'PUT {path}: {answer.status} {said!r}')


def fill(pairs):
    connection = http.client.HTTPConnection(HOST)
    for key, path in pairs:
        with open(path, 'rb') as file:
            put(connection, f'/{BUCKET}/{key}', file.read())


def main():
    put(http.client.HTTPConnection(HOST), f'/{BUCKET}', b'', (200, 409))
    pairs = json.load(sys.stdin)
    with ThreadPoolExecutor(WIDTH) as pool:
        list(pool.map(fill, [pairs[n::WIDTH] for n in range(WIDTH)]))


if __name__ == '__main__':
    main()
