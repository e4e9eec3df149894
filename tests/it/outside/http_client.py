"""Calls what `llmc serve` serves over HTTP with `requests`, and prints the statuses and bodies as JSON.

http_client.py URL TOKEN
"""

import json
import sys
from concurrent.futures import ThreadPoolExecutor

import requests

url, token = sys.argv[1:]
session = requests.Session()
session.headers["Authorization"] = f"Bearer {token}"


def told(response):
    return {"status": response.status_code, "body": response.json()}


def call(name, given):
    return told(session.post(f"{url}/v1/components/{name}", json=given, timeout=60))


seen = {
    "health": told(requests.get(f"{url}/healthz", timeout=60)),
    "no token": told(requests.get(f"{url}/v1/components", timeout=60)),
    "list": told(session.get(f"{url}/v1/components", timeout=60)),
    "one": told(session.get(f"{url}/v1/components/classify", timeout=60)),
    "classify": call("classify", {"subject": "the server is on fire"}),
    "shout": call("shout", "it is here"),
    "wrong input": call("classify", 7),
    "broken": call("broken", "x"),
    "pay": call("pay", {"amount": 1}),
    "nothing": call("nothing", 1),
}
with ThreadPoolExecutor(20) as pool:
    many = pool.map(lambda n: call("shout", f"n{n}")["body"]["output"], range(200))
    seen["many"] = list(many)
print(json.dumps(seen))
