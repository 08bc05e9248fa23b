"""Plain calls: functions, nested functions, methods of every sort."""

import truth


class Order:
    class Item:
        def weigh(self):
            self.registered(1)

        @classmethod
        def registered(cls, count, *rest, **options):
            cls.checked(count, key="value")

        @staticmethod
        def checked(count, key=None):
            nested()

    def total(self):
        self.Item().weigh()

    def __call__(self):
        return self.total()


def nested():
    word = "closed over"

    def inner():
        def innermost():
            truth.stay(word=word)

        innermost()

    inner()


def main():
    Order()()


if __name__ == "__main__":
    main()
