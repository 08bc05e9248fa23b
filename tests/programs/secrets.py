"""Secrets wherever they are kept. None of them is to be seen; what is beside them is."""

import collections
import dataclasses
import functools
import threading

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
    queue = collections.deque([secret("password=%s")])
    method = data.__repr__
    unset_token = None
    shown = "see me"
    try:
        raise error
    except ValueError:
        truth.stay(secrets=hidden, secret_prefix=SECRET)


connect(secret(), token=secret(), db_password=secret(), visible="see me")
