"""A stand-in for Trove's guest agent, on the real oslo.messaging.

guest.py URL ID KEY

serves guestagent.ID until its input ends. KEY encrypts what it says and hears; "-" is
none. What it hears it prints, one JSON object a line; each line of its input says what
to do with backups from then on: complete, fail, silent, foreign.
"""
import base64, hashlib, json, os, sys, threading, time

import oslo_messaging as om
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from oslo_config import cfg

url, me, key = sys.argv[1:4]
key = None if key == "-" else hashlib.md5(key.encode()).hexdigest().encode()
todo = ["complete"]


def say(**what):
    print(json.dumps(what), flush=True)


def seal(value):
    iv, text = os.urandom(16), json.dumps(value).encode()
    pad = 16 - len(text) % 16
    e = Cipher(algorithms.AES(key), modes.CBC(iv)).encryptor()
    return base64.b64encode(iv + e.update(text + bytes([pad]) * pad) + e.finalize()).decode()


def unseal(text):
    raw = base64.b64decode(text)
    d = Cipher(algorithms.AES(key), modes.CBC(raw[:16])).decryptor()
    plain = d.update(raw[16:]) + d.finalize()
    return json.loads(plain[:-plain[-1]])


class Heard(om.Serializer):
    """Of what comes to the guest, and of its answers."""

    def serialize_entity(self, context, entity):
        return seal(entity) if key else entity

    def deserialize_entity(self, context, entity):
        return unseal(entity) if key else entity

    def serialize_context(self, context):
        return context

    def deserialize_context(self, context):
        return unseal(context["context"]) if key else context


class Said(Heard):
    """Of what goes to the conductor: it names whose key it is under."""

    def serialize_entity(self, context, entity):
        return json.dumps({"entity": seal(entity), "csz-instance-id": me}) if key else entity

    def serialize_context(self, context):
        return {"context": seal(context), "csz-instance-id": me} if key else context


cfg.CONF([], project="guest")
om.set_transport_defaults("trove")
transport = om.get_rpc_transport(cfg.CONF, url=url)
conductor = om.RPCClient(transport, om.Target(topic="trove-conductor", version="1.0"), serializer=Said())


def cast(method, context=None, **args):
    conductor.cast(context or {}, method, **args)


def work(context, info):
    mode, note = todo[0], context["trove_notification"]
    base = {"instance_id": me, "backup_id": info["id"], "size": 1.25, "backup_type": info["backup_type"]}
    cast("update_backup", context, sent=time.time(), state="BUILDING", **base)
    if mode == "silent":
        return
    if mode == "fail":
        note = dict(note, instance_id=me)
        cast("notify_exc_info", context, serialized_notification=note, message="the tool said no", exception=["Traceback\n"])
        cast("update_backup", context, sent=time.time(), state="FAILED", success=False, **base)
        return
    where = "%s/%s/%s.xbstream.gz" % (info["swift_url"], info["swift_container"], info["id"] if mode == "complete" else "another")
    # The clock was set back, and columns are named that are none of a guest's.
    cast("update_backup", context, sent=time.time() - 3600, state="COMPLETED", success=True, location=where,
         checksum=hashlib.md5(info["id"].encode()).hexdigest(), tenant_id="mine", deleted=True, **base)
    cast("notify_end", context, serialized_notification=note, notification_args={})


class Guest:
    target = om.Target(version="1.3")

    def rpc_ping(self, context):
        return True

    def create_backup(self, context, backup_info):
        say(info=backup_info, token=context.get("auth_token"), project=context.get("project_id"), note=context.get("trove_notification"))
        threading.Thread(target=work, args=(context, backup_info)).start()


def beats():
    while True:
        if todo[0] != "silent":
            cast("heartbeat", instance_id=me, sent=time.time(), payload={"service_status": "healthy"})
        time.sleep(0.5)


target = om.Target(topic="guestagent." + me, server=me)
server = om.get_rpc_server(transport, target, [Guest()], executor="threading", serializer=Heard())
server.start()
threading.Thread(target=beats, daemon=True).start()
say(ready=me)
for line in sys.stdin:
    todo[0] = line.strip()
    say(mode=todo[0])
server.stop()
os._exit(0)
