"""Secrets wherever they are kept. None of them is to be seen; what is beside them is."""

import array
import asyncio
import collections
import contextvars
import dataclasses
import functools
import queue
import re
import subprocess
import sys
import threading
import types

import truth

SECRET = "hunter2"
hidden = []


def secret(text="%s"):
    """A text with a secret of its own."""
    hidden.append(SECRET + "x%dx" % len(hidden))
    return text % hidden[-1]


class Client:
    def __init__(self):
        self.api_key = secret()
        self.apiKey = secret()
        self._session = [secret()]
        self.visible = "see me"
        self.headers = {"Authorization": "Bearer " + secret(), "X-Auth-Token": secret(), "Host": "see me"}


class Slots:
    __slots__ = ("private_key", "visible")

    def __init__(self):
        self.private_key, self.visible = secret().encode(), "see me"


@dataclasses.dataclass
class Data:
    password: str
    visible: str = "see me"


Pair = collections.namedtuple("Pair", "user passwd")


def connect(password, token=None, **options):
    secret_number = int("0x" + secret().encode().hex(), 16)
    DB_PASSWORD, passwd, api_key, apikey = secret(), [secret()], {1: secret()}, (secret(),)
    authorization, cookie, credentials, dsn = secret(), secret(), {"user": secret()}, secret()
    session, session_id, access_token, refreshToken = {secret()}, secret(), secret(), secret()
    client_secret, private_key, csrf = bytearray(secret(), "ascii"), secret().encode(), secret()
    client, slots, data, pair = Client(), Slots(), Data(secret()), Pair("see me", secret())
    url, redis = secret("postgres://app:%s@db.example:5432/shop"), secret("redis://:%s@cache/0").encode()
    userless, query = secret("https://%s@example.com/x.git"), secret("https://h/cb?code=1&access_token=%s&see=me")
    keywords, server = secret("host=db user=app password=%s dbname=see_me"), secret("Server=s;Uid=u;Pwd=%s;See=me")
    header, cookies = secret("Authorization: Bearer %s"), secret("Cookie: see=%s; other=%s" % ("%s", secret()))
    text = secret('{"visible": "see me", "password": "%s"}')
    nested = {"db": {"password": secret(), "hosts": ["see me"]}, "secrets": [secret()], b"token": secret()}
    pairs = [(b"authorization", secret().encode()), ("cookie", secret()), ("see", "me")]
    command = ["mysql", "--password", secret(), "see me"]
    partial = functools.partial(connect, "see me", api_key=secret())
    error = ValueError(secret("cannot connect to mysql://root:%s@db/"))
    long = secret("x" * 395 + " https://user:%s@h/" )
    ordered = collections.OrderedDict(token=secret())
    default = collections.defaultdict(str, secret_key=secret())
    line = collections.deque([secret("password=%s")])
    queues = [queue.Queue(), queue.SimpleQueue(), queue.PriorityQueue()]
    for one in queues:
        one.put({"password": secret()})
    keyed = {"password": secret(), "api_key": secret(), "visible": "see me"}
    values, items, proxy, chain = keyed.values(), keyed.items(), types.MappingProxyType(keyed), collections.ChainMap(keyed)
    ordered_values, space = ordered.values(), types.SimpleNamespace(token=secret(), visible="see me")
    thread = threading.Thread(name=secret("see me, token=%s"))
    key = contextvars.ContextVar("api_key", default=secret())
    request = contextvars.ContextVar("request", default={"Authorization": secret()})
    memory = memoryview(secret("password=%s").encode())
    characters = array.array("u", secret("redis://:%s@cache/0"))
    pattern = re.compile(secret("password=%s"))
    found = re.search("(?<==).*", secret("password=%s"))
    piece = re.search(b"(?<==).*", secret("password=%s").encode())
    done = asyncio.futures._PyFuture(loop=asyncio.new_event_loop())
    done.set_result({"cookie": secret()})
    child = subprocess.Popen([sys.executable, "-S", "-c", "import os; os.read(0, 1)"], stdin=subprocess.PIPE)
    child.args = ["mysql", "--password", secret(), secret("redis://:%s@cache/0")]
    method = data.__repr__
    unset_token = None
    shown = "see me"
    try:
        raise error
    except ValueError:
        truth.stay(secrets=hidden, secret_prefix=SECRET)


connect(secret(), token=secret(), db_password=secret(), visible="see me")
