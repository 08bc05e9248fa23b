# Sums up the output of `cargo test`: prints "passed P", "failed F", and one line "failure WHAT" for each that failed.
# A test binary that ends without its result line has crashed, which is a failure; so is a test that was ignored, and a file
# of tests that has none (one with a main function of its own needs `harness = false` in Cargo.toml).

function died() {
    if (running != "") fail(running " ended without a result")
    running = ""
}
function fail(what) { failures[++count] = what }

/^ +Running .*\(.*\)$/ || /^ +Doc-tests / {
    died()
    running = $0
    gsub(/^ +(Running )?(unittests )?| *\(.*\)$| +$/, "", running)
    binaries++
    next
}
/^test .* \.\.\. +(FAILED|ignored)/ {
    name = $2
    for (i = 3; i <= NF && $i != "..."; i++) name = name " " $i
    fail((running == "" ? "" : running ": ") name ($NF == "FAILED" ? "" : " was ignored"))
}
/^test result: / {
    for (i = 2; i <= NF; i++) if ($i ~ /^passed;?$/) passed += $(i - 1)
    for (i = 2; i <= NF; i++) if ($i ~ /^(failed|ignored);?$/) announced += $(i - 1)
    if (running ~ /^tests\// && / 0 passed; 0 failed; .* 0 filtered out/) fail(running " has no test")
    running = ""
}
END {
    died()
    # Whatever broke up a test's own line, its result was counted.
    while (count < announced) fail("a test that its binary counted but did not name")
    if (binaries == 0) fail("no test was run: the tests do not build")
    printf "passed %d\nfailed %d\n", passed, count
    for (i = 1; i <= count; i++) print "failure " failures[i]
}
