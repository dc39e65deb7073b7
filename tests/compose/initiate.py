"""Make the replica set once and wait for its primary: what mongo-init does with mongosh."""

import time

import pymongo
from pymongo.errors import OperationFailure

client = pymongo.MongoClient("mongo1", directConnection=True)
members = [{"_id": n, "host": f"mongo{n}:27017"} for n in (1, 2, 3)]
try:
    client.admin.command("replSetInitiate", {"_id": "rs0", "members": members})
except OperationFailure as error:
    if error.codeName != "AlreadyInitialized":
        raise
for _ in range(300):
    states = [m["stateStr"] for m in client.admin.command("replSetGetStatus")["members"]]
    if "PRIMARY" in states:
        break
    time.sleep(0.2)
else:
    raise SystemExit(f"no primary: {states}")
