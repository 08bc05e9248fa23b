"""Class bodies, nested, with metaclasses and what runs while a class is made."""

import truth


class Meta(type):
    def __new__(mcs, name, bases, namespace):
        if namespace.get("park"):
            truth.park()
        return super().__new__(mcs, name, bases, namespace)

    @classmethod
    def __prepare__(mcs, name, bases):
        if name == "Prepared":
            truth.park()
        return {}


def body():
    class Outer:
        class Inner:
            truth.park()


def metaclass():
    class Made(metaclass=Meta):
        park = True


def prepared():
    class Prepared(metaclass=Meta):
        pass


class Base:
    def __init_subclass__(cls):
        truth.park()


def subclass():
    class Derived(Base):
        pass


class Descriptor:
    def __set_name__(self, owner, name):
        truth.park()


def described():
    class Owner:
        field = Descriptor()


for target in (body, metaclass, prepared, subclass, described):
    truth.start(target, name=target.__name__, daemon=True)


class Module:
    truth.stay()
