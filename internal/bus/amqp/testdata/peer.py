"""A peer made of the real oslo.messaging: peer.py serve|call URL TOPIC."""
import json, sys, time
import oslo_messaging as om
from oslo_config import cfg

mode, url, topic = sys.argv[1:4]
cfg.CONF([], project="peer")
om.set_transport_defaults("trove")
transport = om.get_rpc_transport(cfg.CONF, url=url)


def say(**what):
    print(json.dumps(what), flush=True)


class Endpoint:
    target = om.Target(version="1.2")

    def echo(self, context, **args):
        return {"args": args, "tenant": context.get("tenant"), "project_id": context.get("project_id")}

    def note(self, context, **args):
        say(noted=args)

    def fail(self, context):
        raise ValueError("no such thing")

    def slow(self, context):
        time.sleep(2.5)
        return "done"


def attempt(client, name, **args):
    try:
        return client.call({"tenant": "p"}, name, **args)
    except Exception as e:
        return {"type": getattr(e, "exc_type", type(e).__name__), "text": getattr(e, "value", str(e))}


if mode == "serve":
    server = om.get_rpc_server(transport, om.Target(topic=topic, server="python"), [Endpoint()], executor="threading")
    server.start()
    say(ready=True)
    sys.stdin.read()
    server.stop()
    server.wait()
else:
    client = om.get_rpc_client(transport, om.Target(topic=topic, version="1.0"), timeout=10)
    client.cast({"tenant": "p"}, "note", a=1)
    say(
        echo=attempt(client, "echo", a=1, b=None),
        conflict=attempt(client, "conflict"),
        nosuch=attempt(client, "nosuch"),
        newer=attempt(client.prepare(version="1.9"), "echo"),
        slow=attempt(om.get_rpc_client(transport, om.Target(topic=topic), timeout=10, call_monitor_timeout=2), "slow"),
        named=attempt(client.prepare(server="host-1"), "echo", a=2),
    )
    client.prepare(fanout=True).cast({}, "note", a=3)
transport.cleanup()
