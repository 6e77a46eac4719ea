"""Drives the class with which Patroni keeps a PostgreSQL cluster in etcd v3, and prints what each call gave.

    client-suites.patroni.py URL [CA-FILE]

A line is a name and what came of it; nothing in it differs between two fresh servers that do the same. Of a cluster it
has what is not as in the line of a cluster before. Run by scripts/client-suites, in an environment that has Patroni.
"""

import base64
import json
import ssl
import sys
import time
import urllib.parse
import urllib.request

from patroni.dcs import get_dcs
from patroni.dcs.etcd3 import PermissionDenied

# Nothing is decided by how long something takes: these only end a run that hangs.
PATIENCE_SECONDS = 240
# No lease but the one that is meant to runs out during a run.
LONG_TTL, SHORT_TTL = 3600, 3


class Server:
    def __init__(self, url, authority):
        self.url = url
        self.authority = authority

    def post(self, path, body):
        """A call of the gateway that Patroni does not make."""
        context = ssl.create_default_context(cafile=self.authority) if self.authority else None
        request = urllib.request.Request(self.url + "/v3" + path, json.dumps(body).encode())
        with urllib.request.urlopen(request, timeout=PATIENCE_SECONDS, context=context) as answer:
            return json.load(answer)

    def node(self, name, login=None, ttl=LONG_TTL, ctl=False):
        """What one Patroni, or with `ctl` one patronictl, makes of its configuration."""
        address = urllib.parse.urlparse(self.url)
        etcd3 = {"hosts": [address.netloc], "protocol": address.scheme}
        if self.authority:
            etcd3["cacert"] = self.authority
        if login:
            etcd3["username"], etcd3["password"] = login
        return get_dcs({
            "etcd3": etcd3, "name": name, "scope": "demo", "ttl": ttl, "loop_wait": 10, "retry_timeout": 60,
            "patronictl": ctl,
        })


def eventually(what, condition):
    """Waits for what another thread or the server does."""
    end = time.monotonic() + PATIENCE_SECONDS
    while not condition():
        if time.monotonic() > end:
            sys.exit("waited too long for " + what)
        time.sleep(0.05)


class Life:
    """The calls of two nodes, of one that only watches, and of patronictl, from a cluster's beginning to its end."""

    def __init__(self, server, name, login=None):
        self.server, self.name, self.login = server, name, login
        self.one, self.two = server.node("one", login), server.node("two", login)
        self.watcher = server.node("watcher", login)
        self.ctl = server.node("ctl", login, ctl=True)
        self.shown = {}

    def show(self, call, result):
        print(self.name + "." + call, json.dumps(result, sort_keys=True))

    def owner(self, session):
        """Whose lease it is: their numbers are the server's choice."""
        if session is None:
            return None
        return {node._lease: node._name for node in (self.one, self.two)}.get(session, "another")

    def cluster(self, call):
        """Prints what has changed, as patronictl sees it."""
        cluster = self.ctl.get_cluster()
        leader, config, failover, history = cluster.leader, cluster.config, cluster.failover, cluster.history
        now = {
            "initialize": cluster.initialize,
            "config": config and [config.version, config.data],
            "leader": leader and [leader.version, leader.name, self.owner(leader.session)],
            "status": [cluster.status.last_lsn, cluster.status.slots],
            "members": sorted([m.name, m.version, self.owner(m.session), m.data] for m in cluster.members),
            "failover": failover and [failover.version, failover.leader, failover.candidate],
            "sync": [cluster.sync.version, cluster.sync.leader, cluster.sync.sync_standby],
            "history": history and [history.version, history.lines],
            "failsafe": cluster.failsafe,
        }
        self.show(call, {name: value for name, value in now.items() if self.shown.get(name) != value})
        self.shown = now

    def run(self):
        self.cluster("empty")
        self.bootstrap()
        self.settings()
        self.leadership()
        self.expiry()
        self.lost_lease()
        self.end()

    def bootstrap(self):
        one, two = self.one, self.two
        self.show("initialize", bool(one.initialize(create_new=True, sysid="")))
        self.show("initialize.second", bool(two.initialize(create_new=True, sysid="")))
        self.show("touch_member", one.touch_member({"state": "running", "role": "primary"}))
        self.show("touch_member.other", two.touch_member({"state": "running", "role": "replica"}))
        self.show("attempt_to_acquire_leader", bool(one.attempt_to_acquire_leader()))
        self.show("attempt_to_acquire_leader.second", bool(two.attempt_to_acquire_leader()))
        self.show("initialize.known", bool(one.initialize(create_new=False, sysid="7000000000000000001")))
        # Nothing is written, as it stands there already.
        one.get_cluster()
        self.show("touch_member.unchanged", one.touch_member({"state": "running", "role": "primary"}))
        self.cluster("bootstrapped")

    def settings(self):
        one = self.one
        self.show("set_config_value", one.set_config_value('{"ttl":30,"slots":{"a":{"type":"physical"}}}'))
        version = self.ctl.get_cluster().config.version
        self.show("set_config_value.stale", one.set_config_value('{"ttl":31}', version="1"))
        self.show("set_config_value.fresh", one.set_config_value('{"ttl":32}', version=version))
        self.show("set_history_value", one.set_history_value('[[1,25165824,"no recovery target specified"]]'))
        self.show("manual_failover", one.manual_failover("one", "two"))
        self.cluster("failover")
        version = self.ctl.get_cluster().failover.version
        self.show("set_failover_value.stale", one.set_failover_value("{}", version="2"))
        self.show("set_failover_value.fresh", one.set_failover_value("{}", version=version))
        self.show("write_sync_state", bool(one.write_sync_state("one", ["two"], 0)))
        version = self.ctl.get_cluster().sync.version
        self.show("write_sync_state.stale", bool(one.write_sync_state("two", [], 0, version="3")))
        self.cluster("synchronous")
        self.show("delete_sync_state.stale", bool(one.delete_sync_state(version="3")))
        self.show("delete_sync_state", bool(one.delete_sync_state(version=version)))
        self.cluster("settled")

    def leadership(self):
        one, two = self.one, self.two
        slots, failsafe = {"a": 100}, {"one": "http://127.0.0.1:8008/patroni"}
        self.show("update_leader", one.update_leader(self.ctl.get_cluster(), 12345, slots, failsafe))
        one.write_leader_optime(12346)
        one.write_status({"optime": 12347, "slots": {"a": 101}})
        self.cluster("status")

        # The leader's key goes, and the one that watches wakes up. A node whose transaction has failed fetches its
        # cache anew, without waking anybody; the watcher makes none.
        eventually("the leader in a cache", lambda: self.watcher.get_cluster().leader is not None)
        self.show("delete_leader.not_mine", bool(two.delete_leader(self.ctl.get_cluster().leader)))
        self.watcher.event.clear()
        self.show("delete_leader", bool(one.delete_leader(self.ctl.get_cluster().leader, 12348)))
        self.show("watch", self.watcher.watch(None, PATIENCE_SECONDS))
        self.cluster("unlocked")

        # Who has lost the key does not get it by an update, unless nobody has it.
        self.show("attempt_to_acquire_leader.free", bool(two.attempt_to_acquire_leader()))
        led_by_two = self.ctl.get_cluster()
        self.show("update_leader.lost", one.update_leader(led_by_two, 12349))
        self.show("take_leader", bool(one.take_leader()))
        self.cluster("taken")
        self.show("update_leader.taken", two.update_leader(self.ctl.get_cluster(), 12350))
        self.show("delete_leader.taken", bool(one.delete_leader(self.ctl.get_cluster().leader)))
        self.show("update_leader.nobody", one.update_leader(led_by_two, 12351))
        self.cluster("nobody")
        self.show("delete_leader.again", bool(one.delete_leader(self.ctl.get_cluster().leader)))

    def expiry(self):
        """Somebody leads and is not heard of again."""
        brief = self.server.node("brief", self.login, ttl=SHORT_TTL)
        self.show("attempt_to_acquire_leader.brief", bool(brief.attempt_to_acquire_leader()))
        eventually("the end of a lease", lambda: self.ctl.get_cluster().leader is None)
        eventually("the end of a lease in a cache", lambda: self.watcher.get_cluster().leader is None)
        self.cluster("expired")

    def lost_lease(self):
        """A lease that is gone: the call says so, or asks for another one."""
        one, two = self.one, self.two
        for node in (one, two):
            node._client.call_rpc("/lease/revoke", {"ID": node._lease})
        for node in (one, two):
            eventually("the members to go from a cache", lambda: not node.get_cluster().members)
        self.cluster("no_leases")
        self.show("touch_member.lost_lease", one.touch_member({"state": "starting"}))
        self.show("touch_member.new_lease", one.touch_member({"state": "starting"}))
        self.show("attempt_to_acquire_leader.lost_lease", bool(two.attempt_to_acquire_leader()))
        self.cluster("new_leases")

    def end(self):
        self.show("cancel_initialization", bool(self.one.cancel_initialization()))
        self.cluster("cancelled")
        self.show("delete_cluster", bool(self.ctl.delete_cluster()))
        self.cluster("deleted")
        for node in (self.one, self.two, self.watcher):
            eventually("an empty cache", lambda: node.get_cluster().is_empty())


def with_users(server):
    """The same with a login whose rights end where the cluster's keys do."""
    def text(value):
        return base64.b64encode(value.encode()).decode()

    for user in ("root", "patroni"):
        server.post("/auth/user/add", {"name": user, "password": user + "-password"})
    server.post("/auth/user/grant", {"user": "root", "role": "root"})
    server.post("/auth/role/add", {"name": "patroni"})
    permission = {"permType": "READWRITE", "key": text("/service/demo/"), "range_end": text("/service/demo0")}
    server.post("/auth/role/grant", {"name": "patroni", "perm": permission})
    server.post("/auth/user/grant", {"user": "patroni", "role": "patroni"})
    server.post("/auth/enable", {})

    login = ("patroni", "patroni-password")
    life = Life(server, "users", login)
    # A token that is not known (any more): the client logs in again by itself.
    life.one._client._token = life.ctl._client._token = "abcdefghijklmnop.1"
    life.run()
    try:
        server.node("three", ("patroni", "wrong"))
        life.show("wrong_password", "let in")
    except SystemExit as end:
        life.show("wrong_password", end.code)
    client = life.ctl._client
    for name, call in (("range", client.range), ("put", lambda key: client.put(key, "x"))):
        try:
            call("/service/other/leader")
            life.show("outside." + name, "let in")
        except PermissionDenied:
            life.show("outside." + name, "denied")


def main():
    server = Server(sys.argv[1], sys.argv[2] if len(sys.argv) > 2 else None)
    Life(server, "open").run()
    with_users(server)


main()
