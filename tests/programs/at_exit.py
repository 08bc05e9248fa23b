"""A process in shutdown: an atexit handler blocks while a daemon thread lives."""

import atexit

import truth


def farewell(word):
    truth.stay(said=word)


def parked():
    truth.park()


truth.start(parked, name="daemon", daemon=True)
atexit.register(farewell, "bye")
