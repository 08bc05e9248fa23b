"""Blocked inside an import: the import system's own frames, frozen into the interpreter, are in the stack."""


def main():
    import imported_and_blocks  # noqa: F401


main()
