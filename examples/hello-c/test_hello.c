/* Tests of the routing, without sockets. Writes a JUnit XML report to the path given. */
#define TESTING
#include "hello.c"

struct check {
    const char *name;
    int passed;
};

static int answers(const char *request, const char *expected, int keeps) {
    char out[ANSWER_MAX];
    int keep, length = respond(request, out, &keep);
    return length > 0 && length < ANSWER_MAX && strstr(out, expected) != NULL && keep == keeps;
}

static int evenly_broken(void) {
    int broken = 0;
    for (unsigned long number = 1; number <= 1000; number++)
        broken += breaks_request("errors:5", number);
    return broken == 50 && !breaks_request("none", 20);
}

static int report(const char *path, const struct check *checks, int count) {
    int failed = 0;
    for (int i = 0; i < count; i++)
        failed += !checks[i].passed;
    FILE *file = fopen(path, "w");
    if (!file)
        return -1;
    fprintf(file, "<?xml version=\"1.0\"?>\n<testsuite name=\"hello-c\" tests=\"%d\" failures=\"%d\">\n", count, failed);
    for (int i = 0; i < count; i++) {
        printf("%s %s\n", checks[i].passed ? "ok  " : "FAIL", checks[i].name);
        fprintf(file, "<testcase classname=\"hello\" name=\"%s\">%s</testcase>\n", checks[i].name,
                checks[i].passed ? "" : "<failure message=\"not so\"/>");
    }
    fprintf(file, "</testsuite>\n");
    return fclose(file) == 0 ? failed : -1;
}

int main(int count, char **arguments) {
    struct check checks[] = {
        {"the page is found", answers("GET / HTTP/1.1\r\nhost: x\r\n", "200 OK", 1)},
        {"version says what runs", answers("GET /version HTTP/1.1\r\n", "\"version\": \"" VERSION "\"", 1)},
        {"health is ok", answers("GET /healthz HTTP/1.1\r\n", "200 OK", 1)},
        {"unknown pages are 404", answers("GET /nothing HTTP/1.1\r\n", "404 Not Found", 1)},
        {"close is honoured", answers("GET / HTTP/1.1\r\nConnection: close\r\n", "connection: close", 0)},
        {"nonsense is a 400", answers("nonsense\r\n", "400 Bad Request", 0)},
        {"slow bounds its argument", answers("GET /slow?ms=99999999 HTTP/1.1\r\n", "400 Bad Request", 1)},
        {"a body ends the connection", answers("POST / HTTP/1.1\r\ncontent-length: 3\r\n", "405", 0)},
        {"errors are spread evenly", evenly_broken()},
    };
    (void)hello_main;
    return count < 2 || report(arguments[1], checks, sizeof checks / sizeof *checks) != 0;
}
