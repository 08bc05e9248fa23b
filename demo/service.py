"""A small shop that hangs: a service to look at with pyattach. Needs Python 3.7 or later and nothing else.

Orders wait for the catalog. The price feed has locked the catalog and waits for its supplier, who took the connection and
never answers. Nothing crashes, nothing is logged, no order gets through.

It prints "ready PID" once every thread is where it hangs, and runs until it is killed.
"""

import http.server
import os
import queue
import socket
import threading
from concurrent.futures import ThreadPoolExecutor

catalog_lock = threading.Lock()
prices = {}
mails = queue.Queue()
in_place = threading.Semaphore(0)


def refresh_prices(supplier):
    """Asks the supplier for prices, with the catalog locked: the mistake that this demo is about."""
    with catalog_lock:
        supplier.sendall(b"GET /prices\n")
        in_place.release()
        answer = supplier.recv(4096)
        prices.update(line.split() for line in answer.decode().splitlines())


def place_order(article):
    """Looks up a price, which takes the catalog's lock."""
    in_place.release()
    with catalog_lock:
        price = prices[article]
    mails.put("one {} for {}".format(article, price))


def send_mails():
    """Sends what is queued; nothing is."""
    in_place.release()
    while True:
        print("mail:", mails.get())


class Shop(http.server.ThreadingHTTPServer):
    """The shop's web server. Says that the service is ready when it has begun to serve."""

    is_ready = False

    def service_actions(self):
        if not self.is_ready:
            self.is_ready = True
            print("ready", os.getpid(), flush=True)


def main():
    silent = socket.socket()
    silent.bind(("127.0.0.1", 0))
    silent.listen()
    supplier = socket.create_connection(silent.getsockname())
    threading.Thread(target=refresh_prices, args=[supplier], name="price-feed", daemon=True).start()
    in_place.acquire()
    threading.Thread(target=send_mails, name="mailer", daemon=True).start()
    orders = ThreadPoolExecutor(3, thread_name_prefix="order")
    for article in ["bolts", "nuts", "washers"]:
        orders.submit(place_order, article)
    for _ in range(4):
        in_place.acquire()
    Shop(("127.0.0.1", 0), http.server.SimpleHTTPRequestHandler).serve_forever()


if __name__ == "__main__":
    main()
