#!/usr/bin/env python3
"""Golden vectors of the canonical leaf (base/leaf.h), made without HDB: tests/golden/leaves.json.

Without arguments, fails unless the file holds what this makes; --update writes it, for vectors that are added.
"""
import hashlib
import itertools
import json
import pathlib
import struct
import sys
import uuid

FILE = pathlib.Path(__file__).parent / "golden" / "leaves.json"
TEXTS = ["type", "entity", "host", "stream", "source", "collector", "format", "content_type", "schema"]

EVENTS = [
    {"append_time": 0},
    {"time": 1521911721255387000, "payload": ""},
    {"time": -1, "type": "dns"},
    {"append_time": 1700000000123000000, "id": "6f9619ff-8b86-8011-b42d-00c04fc964ff", "payload": "00ff0a"},
    {"time": 1521911721255387000, "id": "0190e0a2-3c4d-4e5f-8071-8293a4b5c6d7", "type": "dns",
     "entity": "Ckdgdu1RMwc5AO49F3", "host": "10.128.0.241", "tags": ["ip:10.1.2.3", "user:root", "ip:10.1.2.3"],
     "stream": "zeek/dns", "source": "zeek", "collector": "sensor-1", "format": "Zeek",
     "content_type": "application/json", "schema": "v1", "metadata": "{\"lab\":\"\u00f6st\"}",
     "payload": b"{\"query\":\"example.com\",\"rcode_name\":\"NOERROR\"}".hex()},
    {"time": 0, "entity": "dns"},
    {"time": 0, "metadata": "{}", "payload": "7b7d"},
    {"time": 0, "payload": bytes(range(256)).hex() * 8},
    # Lengths of more than two bytes; the canonical leaf is left out of the file.
    {"time": 0, "payload": "78", "payload_times": 16777216},
    {"time": 0, "metadata": "[1,2]", "metadata_times": 14000, "tags": [f"number:{number}" for number in range(64)]},
]
LEAF_BYTES_SHOWN = 4096


def field(tag, content):
    return struct.pack("<BI", tag, len(content)) + content


def canonical_leaf(event):
    leaf = b"\x01"
    leaf += field(1, struct.pack("<q", event["time"])) if "time" in event else field(2, struct.pack(
        "<q", event["append_time"]))
    if "id" in event:
        leaf += field(3, uuid.UUID(event["id"]).bytes)
    for tag, name in enumerate(TEXTS, start=4):
        if event.get(name):
            leaf += field(tag, event[name].encode())
    for tag in event.get("tags", []):
        leaf += field(13, tag.encode())
    if event.get("metadata"):
        leaf += field(14, event["metadata"].encode() * event.get("metadata_times", 1))
    if event.get("payload"):
        leaf += field(15, bytes.fromhex(event["payload"]) * event.get("payload_times", 1))
    return leaf


def vectors():
    made = []
    for event in EVENTS:
        leaf = canonical_leaf(event)
        shown = leaf.hex() if len(leaf) <= LEAF_BYTES_SHOWN else ""
        made.append({"event": event, "canonical_leaf": shown, "leaf_hash": hashlib.sha256(b"\0" + leaf).hexdigest()})
    return json.dumps(made, indent=1) + "\n"


if __name__ == "__main__":
    if sys.argv[1:] == ["--update"]:
        FILE.write_text(vectors())
        sys.exit()
    stored, made = FILE.read_text().splitlines(), vectors().splitlines()
    for number, (old, new) in enumerate(itertools.zip_longest(stored, made), start=1):
        if old != new:
            print(f"{FILE.name}:{number}: is {old}, made is {new}: a leaf that was written once must never change")
            print("0 passed, 1 failed")
            sys.exit(1)
    print("1 passed, 0 failed")
