"""Whether stacks of tests/programs/churn.py can exist, for any tool's dump: see that program for what it says of itself.

The peers print less than pyattach, so this checks functions, files and lines; tests/churn.rs checks the rest too.
"""
import re
from collections import defaultdict


class Checker:
    def __init__(self, facts):
        self.functions, self.cycle, self.worker = facts["functions"], facts["made_cycle"], facts["worker"]
        self.bases = {thread["tid"]: thread["base"] for thread in facts["threads"]}
        self.children = defaultdict(list)
        for index, (function, parent, line) in enumerate(facts["nodes"]):
            self.children[parent, line].append((index, self.functions[function]))

    def verdicts(self, dump):
        """What is wrong with each churning thread: None, "missing", or a kind of impossible stack."""
        return {tid: self.verdict(tid, dump[tid]) if tid in dump else "missing" for tid in self.bases}

    def verdict(self, tid, frames):
        base = self.bases[tid]
        if not frames:
            return "empty"
        own, outer = frames[:len(frames) - len(base)], frames[max(0, len(frames) - len(base)):]
        expected = [((each["name"], each["qualname"]), each["line"]) for each in base]
        started = len(outer) == len(expected) and all(
            function in names and line == expected_line
            for (function, _, line), (names, expected_line) in zip(outer, expected))
        if not started or not own or own[-1][0] != "worker":
            return "truncated"
        if own[-1][2] not in (self.worker["lines"] if len(own) == 1 else [self.worker["loop"]]):
            return "line outside function"
        return self.walk(own[:-1])

    def walk(self, frames):
        parents = [(-1, 0)]
        number = None
        for function, file, line in reversed(frames):
            if found := re.search(r"made-(\d+)>?$", file or ""):
                if number not in (None, found[1]) or function not in ("<module>", f"made_{found[1]}"):
                    return "mixed code objects"
                number = found[1]
                line = line if line is None else max(1, line - int(number) % self.cycle)
                function = "made" if function != "<module>" else function
            reached = [(index, entry) for parent in parents for index, entry in self.children[parent]
                       if function in (entry["name"], entry["qualname"])]
            if not reached:
                return "impossible call"
            if not any(line in entry["lines"] or not line and entry["lineless"] for _, entry in reached):
                return "line outside function"
            parents = [(index, line) for index, _ in reached]
        return None
