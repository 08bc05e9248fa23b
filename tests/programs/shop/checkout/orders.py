"""A module two packages deep."""


def place(order):
    order()
