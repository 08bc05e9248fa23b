//! The cases: what a script does, and what must come of it in every version.

use super::{CASE, Case, Kind, Twist};

pub(super) const CASES: &[Case] = &[
    Case {
        name: "what a script gets",
        script: b"import sys\nprint(__name__, __file__, sys.argv)\nprint(sorted(globals()))\nsys.stderr.write('e')\n",
        told: &[
            "out: __main__ /home of/some script.py ['some script.py', '-x', \"it's\"]\n['__builtins__', '__doc__', \
             '__file__', '__loader__', '__name__', '__package__', '__spec__', 'sys']\n",
            "err: e",
            "done",
        ],
        ..CASE
    },
    Case {
        name: "a namespace of its own each time",
        script: b"print('sys' in globals())\nx = 1\ndef f(): return x\nprint(f())\n",
        circles: true,
        told: &["out: False\n1\n", "done"],
        ..CASE
    },
    Case {
        name: "an object of the application's is let go",
        script: b"import driver\nkept = driver.mark\n1/0\n",
        told: &[
            "thrown: ZeroDivisionError / division by zero / Traceback (most recent call last):\n  File \"<pyattach some \
             script.py>\", line 3, in <module>\nZeroDivisionError: division by zero",
            "done",
        ],
        ..CASE
    },
    Case {
        name: "a module's namespace",
        namespace: Some("driver"),
        script: b"print(ME == os.getpid(), __name__)\nfrom_script = 1\ndel from_script\n",
        told: &["out: True __main__\n", "done"],
        ..CASE
    },
    Case {
        name: "a module that is not there",
        namespace: Some("no.such"),
        script: b"print(1)",
        told: &["thrown: LookupError / no module no.such is loaded / LookupError: no module no.such is loaded", "done"],
        ..CASE
    },
    Case {
        name: "output that is no text",
        script: b"import sys\nsys.stdout.buffer.write(b'a\\n')\nprint('\\udc80\xc3\xa9', end='')\nsys.stdout.flush()\n\
                  print(sys.stdout.isatty(), sys.stdout.encoding, sys.stdout.closed)\n\
                  sys.stdout.close()\nsys.stdout.writelines(['x', 'y'])\n\
                  try: sys.stdout.write(b'')\nexcept TypeError as e: print(e)\n",
        told: &["out: a\n\\udc80\u{e9}False utf-8 False\nxywrite() argument must be str, not bytes\n", "done"],
        ..CASE
    },
    Case {
        name: "another thread prints to where it did",
        script: b"import driver\nprint('mine')\ndriver.another_thread_prints()\nprint('mine')\n",
        told: &["out: mine\nmine\n", "done"],
        answer: |answer| answer["stdout"] == "from another thread\n",
        ..CASE
    },
    Case {
        name: "no stdout, and another thread prints",
        setup: "sys.stdout = None",
        script: b"import driver, sys\nprint('mine')\ndriver.another_thread_prints()\nsys.stderr.write('e')\n",
        told: &["out: mine\n", "err: e", "done"],
        ..CASE
    },
    Case {
        name: "stdout closed",
        setup: "sys.stdout.close()",
        script: b"print('mine')\n",
        told: &["out: mine\n", "done"],
        ..CASE
    },
    Case {
        name: "no streams at all",
        setup: "argv = sys.argv; del sys.stdout, sys.stderr, sys.argv",
        undo: "sys.argv = argv; sys.stderr = io.StringIO()",
        script: b"import sys\nprint('mine', len(sys.argv))\n",
        told: &["out: mine 3\n", "done"],
        ..CASE
    },
    Case {
        name: "a stream that a script keeps goes on as the real one",
        script: b"import sys, io\nio.kept = sys.stdout\n",
        undo: "io.kept.write('late'); assert sys.stdout.getvalue() == 'late' and io.kept.getvalue() == 'late'; del io.kept",
        ..CASE
    },
    Case {
        name: "a script that sets stdout itself",
        script: b"import sys, io\nsys.stdout = io.real\nprint('x')\n",
        setup: "io.real = sys.stdout",
        undo: "del io.real",
        answer: |answer| answer["stdout"] == "x\n",
        ..CASE
    },
    Case {
        name: "too much output",
        twist: Twist::Small,
        script: b"for i in range(1000): print('abcdef')\n",
        told: &["out: abcdef\nabc", "limit", "done"],
        ..CASE
    },
    Case {
        name: "a chain of exceptions",
        script: b"try:\n    try: {}['k']\n    except KeyError as e: raise ValueError('v\\nw') from e\n\
                  except ValueError:\n    raise OSError(2, 'm')\n",
        told: &[
            "thrown: FileNotFoundError / [Errno 2] m / Traceback (most recent call last):\n  File \"<pyattach some \
             script.py>\", line 2, in <module>\nKeyError: 'k'\n\nThe above exception was the direct cause of the following \
             exception:\n\nTraceback (most recent call last):\n  File \"<pyattach some script.py>\", line 3, in \
             <module>\nValueError: v\nw\n\nDuring handling of the above exception, another exception occurred:\n\nTraceback \
             (most recent call last):\n  File \"<pyattach some script.py>\", line 5, in <module>\nFileNotFoundError: [Errno \
             2] m",
            "done",
        ],
        ..CASE
    },
    Case {
        name: "while the application handles one",
        how: "handler",
        script: b"import sys\nraise LookupError\n",
        told: &[
            "thrown: LookupError /  / Traceback (most recent call last):\n  File \"<pyattach some script.py>\", line 2, in \
             <module>\nLookupError",
            "done",
        ],
        ..CASE
    },
    Case {
        name: "a deep stack",
        script: b"def f(n): return 1/0 if n == 0 else f(n - 1)\nf(200)\n",
        circles: true,
        told: &[
            "*File \"<pyattach some script.py>\", line 1, in f\n  [102 more frames]\n  File \"<pyattach some script.py>\", line \
             1, in f\n*",
            "done",
        ],
        ..CASE
    },
    Case { name: "SystemExit", script: b"raise SystemExit", told: &["exit", "done"], ..CASE },
    Case { name: "SystemExit 3", script: b"import sys\nsys.exit(3)", told: &["exit 3", "done"], ..CASE },
    Case { name: "SystemExit 'no'", script: b"import sys\nsys.exit('no')", told: &["exit: no", "done"], ..CASE },
    Case {
        name: "KeyboardInterrupt of the script's own",
        script: b"raise KeyboardInterrupt('own')",
        told: &[
            "thrown: KeyboardInterrupt / own / Traceback (most recent call last):\n  File \"<pyattach some script.py>\", line \
             1, in <module>\nKeyboardInterrupt: own",
            "done",
        ],
        ..CASE
    },
    Case {
        name: "KeyboardInterrupt from outside",
        how: "signalled",
        script: b"import os, signal, time\nos.kill(os.getpid(), signal.SIGINT)\ntime.sleep(60)\n",
        told: &[
            "thrown: KeyboardInterrupt /  / Traceback (most recent call last):\n  File \"<pyattach some script.py>\", line *",
            "signal 2",
            "done",
        ],
        answer: |answer| answer["seen"] == serde_json::json!(["KeyboardInterrupt"]),
        ..CASE
    },
    Case {
        name: "a handler that ends the application",
        setup: "def leave(number, frame): raise SystemExit(number)\nold = signal.signal(signal.SIGTERM, leave)",
        undo: "signal.signal(signal.SIGTERM, old)",
        how: "signalled",
        script: b"import os, signal, time\nos.kill(os.getpid(), signal.SIGTERM)\ntime.sleep(60)\n",
        told: &["thrown: SystemExit / 15 / *", "signal 15", "done"],
        answer: |answer| answer["seen"] == serde_json::json!(["SystemExit"]),
        ..CASE
    },
    Case { name: "no Python", script: b"x = (\n", told: &["thrown: SyntaxError / *", "done"], ..CASE },
    Case { name: "not decodable", script: b"x = '\xff'\n", told: &["thrown: SyntaxError / *", "done"], ..CASE },
    Case {
        name: "an encoding cookie",
        script: b"# coding: latin-1\nprint('\xe9')\n",
        told: &["out: \u{e9}\n", "done"],
        ..CASE
    },
    Case {
        name: "a value",
        kind: Kind::Eval,
        script: b"{'a': [1, -2.5, None, True, '\\u20ac\\U0001f600\"\\n'], 'b': (10**30,)}",
        told: &[
            "dict {'a': [1, -2.5, None, True, '\u{20ac}\u{1f600}\"\\n'], 'b': (1000000000000000 78 \
             {\"a\":[1,-2.5,null,true,\"\\u20ac\\ud83d\\ude00\\u0022\\u000a\"],\"b\":[1000000000000000000000000000000]}",
            "done",
        ],
        ..CASE
    },
    Case {
        name: "a value without JSON",
        kind: Kind::Eval,
        script: b"[{1: 2}, float('nan'), b'x']",
        told: &["list [{1: 2}, nan, b'x'] 19 -", "done"],
        ..CASE
    },
    Case {
        name: "a value within itself",
        kind: Kind::Eval,
        script: b"(lambda l: (l.append(l), l)[1])([])",
        circles: true,
        told: &["list [[...]] 7 -", "done"],
        ..CASE
    },
    Case {
        name: "a long value",
        kind: Kind::Eval,
        script: b"'x' * 70000",
        told: &["str 'xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx 70002 -", "done"],
        ..CASE
    },
    Case {
        name: "a value that cannot be shown",
        kind: Kind::Eval,
        script: b"type('T', (), {'__repr__': lambda self: 1})()",
        circles: true,
        told: &["thrown: TypeError / *", "done"],
        ..CASE
    },
    Case {
        name: "trace and profile functions rest meanwhile",
        setup: "def note(frame, event, arg):\n    events.append(frame.f_code.co_filename)\n    return note\nevents = []\n\
                sys.settrace(note); sys.setprofile(note)",
        undo: "sys.settrace(None); sys.setprofile(None); assert events and not [e for e in events if 'some script' in e]",
        script: b"import sys\nprint(sys.gettrace(), sys.getprofile())\nx = 1\n",
        told: &["out: None None\n", "done"],
        ..CASE
    },
    Case {
        name: "modules that are not loaded",
        setup: "lost = [(n, sys.modules.pop(n)) for n in ('posix', 'time', '_thread') if n in sys.modules]",
        undo: "sys.modules.update(lost)",
        script: b"print('x')\n",
        // The module that is dropped again.
        circles: true,
        told: &["out: x\n", "done"],
        ..CASE
    },
    Case {
        name: "in a thread that threading does not know",
        how: "thread",
        script: b"import threading\nprint(type(threading.current_thread()).__name__)\n",
        told: &["out: _DummyThread\n", "done"],
        ..CASE
    },
    Case {
        name: "a warning leaves no source lines",
        setup: "import linecache, re, tokenize",
        script: b"import warnings\nwith warnings.catch_warnings():\n    warnings.simplefilter('always')\n    \
                  warnings.warn('careful')\n",
        told: &["*:4: UserWarning: careful\n*", "done"],
        ..CASE
    },
    Case {
        name: "a child prints elsewhere, and ends",
        script: b"import os\npid = os.fork()\nif pid == 0:\n    print('child')\n    os._exit(5)\n\
                  print(os.waitpid(pid, 0)[1] >> 8)\n",
        told: &["out: 5\n", "done"],
        ..CASE
    },
    Case {
        name: "a child that goes on says nothing",
        script: b"import os\nif os.fork() != 0: print(os.wait()[1] >> 8)\n",
        told: &["out: 7\n", "done"],
        ..CASE
    },
    Case { name: "another file", twist: Twist::OtherFile, script: b"print(1)", told: &[], ..CASE },
    Case { name: "another process", twist: Twist::OtherProcess, script: b"print(1)", told: &[], ..CASE },
    Case { name: "late", twist: Twist::Late, script: b"print(1)", told: &[], ..CASE },
    Case { name: "again", twist: Twist::Again, script: b"print(1)", told: &[], ..CASE },
    Case {
        name: "its own text is closed",
        setup: "os.dup2(0, 99)",
        twist: Twist::Text,
        script: b"import os\ntry: os.fstat(99)\nexcept OSError: print('closed')\nos.dup2(0, 99)\n",
        undo: "os.close(99)",
        told: &["out: closed\n", "done"],
        ..CASE
    },
];
