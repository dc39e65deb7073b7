"""What a client asks of MongoDB, seen by the driver, and how the database plans to answer it."""

from contextlib import contextmanager

import pymongo
from pymongo import monitoring

WRITES = frozenset({"insert", "update", "delete", "findAndModify"})
ASKED = WRITES | {"find", "aggregate", "count", "distinct"}
_OF_THE_DRIVER = frozenset(
    {"lsid", "txnNumber", "$clusterTime", "$readPreference", "$db", "writeConcern", "readConcern"}
    | {"ordered", "bypassDocumentValidation", "cursor"}
)


class Commands(monitoring.CommandListener):
    """Notes the commands of all clients that were made since; `pymongo` forgets no listener."""

    def __init__(self):
        self.noted = []
        self.is_noting = False

    def started(self, event):
        if self.is_noting and event.command_name in ASKED:
            self.noted.append((event.database_name, dict(event.command), event.connection_id))

    def take(self):
        """Stop noting; what was noted."""
        self.is_noting = False
        taken, self.noted = self.noted, []
        return taken

    def succeeded(self, event):
        pass

    def failed(self, event):
        pass


def shape(command):
    """Collection, command and fields of a command's condition: queries of one shape, one plan."""
    name = next(iter(command))
    if name == "insert":
        return None  # it looks for nothing
    first = command.get("updates", command.get("deletes", [{}]))[0]
    condition = command.get("filter", command.get("query", first.get("q")))
    if name == "aggregate":
        condition = command["pipeline"][0].get("$match", {})
    order = tuple(command.get("sort") or ())
    return command[name], name, tuple(sorted(condition or {})), order


def indexes_used(database, command):
    """Names of the indexes in the plan that the database chooses; COLLSCAN for none."""
    asked = {name: value for name, value in command.items() if name not in _OF_THE_DRIVER}
    if "aggregate" in asked:
        asked["cursor"] = {}
    told = database.command("explain", asked, verbosity="queryPlanner")
    found = set()

    def visit(part):
        if isinstance(part, dict):
            if part.get("stage") == "COLLSCAN":
                found.add("COLLSCAN")
            elif part.get("stage") in ("IDHACK", "EXPRESS_IXSCAN", "CLUSTERED_IXSCAN"):
                found.add(part.get("indexName", "_id_"))
            elif "indexName" in part:
                found.add(part["indexName"])
            if part.get("stage") == "SORT":
                found.add("SORT")
            for name, value in part.items():
                if name != "rejectedPlans":
                    visit(value)
        elif isinstance(part, list):
            for value in part:
                visit(value)

    visit(told)
    return found


def primary_and_secondaries(url):
    """The addresses, as the replica set itself tells them."""
    with pymongo.MongoClient(url) as client:
        members = client.admin.command("replSetGetStatus")["members"]
    found = {"PRIMARY": set(), "SECONDARY": set()}
    for member in members:
        host, _, port = member["name"].partition(":")
        found.setdefault(member["stateStr"], set()).add((host, int(port)))
    (primary,) = found["PRIMARY"]
    return primary, found["SECONDARY"]


@contextmanager
def one_secondary_late(url):
    """One secondary applies nothing that happens meanwhile; it answers reads as before."""
    late = min(primary_and_secondaries(url)[1])
    with pymongo.MongoClient(*late, directConnection=True) as member:
        member.admin.command("fsync", lock=True)
        try:
            yield late
        finally:
            member.admin.command("fsyncUnlock")
