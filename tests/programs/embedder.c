/* A program with a CPython inside that it starts, ends and starts again, a step for each byte of its standard input, each
   said when it is done. Argument: the library. */
#include <dlfcn.h>
#include <stdio.h>
#include <unistd.h>

static void said(const char *what)
{
    char next;
    puts(what);
    fflush(stdout);
    if (read(0, &next, 1) != 1)
        _exit(0);
}

int main(int argc, char **argv)
{
    void *library = argc > 1 ? dlopen(argv[1], RTLD_NOW | RTLD_GLOBAL) : NULL;
    if (library == NULL) {
        puts(argc > 1 ? dlerror() : "no library");
        return 1;
    }
    void (*initialize)(int) = (void (*)(int))dlsym(library, "Py_InitializeEx");
    int (*run)(const char *) = (int (*)(const char *))dlsym(library, "PyRun_SimpleString");
    int (*finalize)(void) = (int (*)(void))dlsym(library, "Py_FinalizeEx");
    said("loaded");
    initialize(0);
    run("import threading");
    said("up");
    finalize();
    said("down");
    initialize(0);
    said("up again");
    return 0;
}
