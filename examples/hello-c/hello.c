/* The hello service in C: a thread per connection, at most MAX_CONNECTIONS of them.
 *
 *   GET /            a page for people
 *   GET /version     the same as JSON
 *   GET /healthz     200 when it can take traffic
 *   GET /slow?ms=50  answers after so many milliseconds (at most 30,000)
 *
 * Listens on 127.0.0.1:$PORT. SIGTERM: stops accepting, finishes what runs, exits 0.
 * Fault switch (baked in from the file FAULT, or the variable FAULT): none, unhealthy, crash, errors:PERCENT.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <poll.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#ifndef VERSION
#define VERSION "0.0.0"
#endif
#ifndef FAULT
#define FAULT "none"
#endif

enum { MAX_CONNECTIONS = 256, HEAD_MAX = 8192, BODY_MAX = 2048, ANSWER_MAX = BODY_MAX + 512, IDLE_MS = 75000,
       POLL_MS = 100, STOP_MS = 4000, SLOW_MAX_MS = 30000 };

struct answer {
    int status;
    const char *type;
    char body[BODY_MAX];
};

static volatile sig_atomic_t stopping;
static atomic_int connections;
static atomic_ulong requests;
static const char *fault = FAULT;

static void on_stop(int number) {
    (void)number;
    stopping = 1;
}

static void pause_ms(long ms) {
    struct timespec left = {ms / 1000, ms % 1000 * 1000000};
    while (nanosleep(&left, &left) == -1 && errno == EINTR) {
    }
}

/* Every so-many-th request fails, evenly: 5 means 5 of 100. */
static int breaks_request(const char *switch_text, unsigned long number) {
    if (strncmp(switch_text, "errors:", 7) != 0 || number == 0)
        return 0;
    unsigned long percent = strtoul(switch_text + 7, NULL, 10);
    return number * percent / 100 != (number - 1) * percent / 100;
}

static const char *reason(int status) {
    switch (status) {
    case 200: return "OK";
    case 400: return "Bad Request";
    case 404: return "Not Found";
    case 405: return "Method Not Allowed";
    default: return "Internal Server Error";
    }
}

static void say(struct answer *out, int status, const char *text) {
    out->status = status;
    out->type = "text/plain; charset=utf-8";
    snprintf(out->body, sizeof out->body, "%s\n", text);
}

static void say_version(struct answer *out) {
    const char *release = getenv("DELIVERY_RELEASE");
    say(out, 200, "");
    out->type = "application/json";
    snprintf(out->body, sizeof out->body, "{\"version\": \"%s\", \"release\": \"%.64s\", \"pid\": %d}\n", VERSION,
             release ? release : "local", (int)getpid());
}

static void say_page(struct answer *out) {
    say(out, 200, "");
    out->type = "text/html; charset=utf-8";
    snprintf(out->body, sizeof out->body,
             "<!doctype html><html lang=\"en\"><meta charset=\"utf-8\"><title>hello %s</title>"
             "<body style=\"font:16px system-ui,sans-serif;display:grid;place-items:center;height:95vh\">"
             "<main><p>This is the hello service in C, version<h1 style=\"font-size:5rem;margin:0\">%s</h1>"
             "<p>instance pid %d</main></html>\n", VERSION, VERSION, (int)getpid());
}

static void say_slow(struct answer *out, const char *query) {
    char *end = NULL;
    long ms = query && strncmp(query, "ms=", 3) == 0 ? strtol(query + 3, &end, 10) : -1;
    if (ms < 0 || ms > SLOW_MAX_MS || end == query + 3 || *end != '\0') {
        say(out, 400, "say /slow?ms=N with N up to 30000");
        return;
    }
    pause_ms(ms);
    say(out, 200, "waited");
}

/* Route one request; `target` is cut at its question mark. */
static void route(const char *method, char *target, struct answer *out) {
    char *query = strchr(target, '?');
    if (query)
        *query++ = '\0';
    if (strcmp(target, "/healthz") == 0) {
        int bad = strcmp(fault, "unhealthy") == 0;
        say(out, bad ? 500 : 200, bad ? "unhealthy: the fault switch says so" : "ok");
    } else if (strcmp(method, "GET") != 0 && strcmp(method, "HEAD") != 0)
        say(out, 405, "only GET and HEAD here");
    else if (breaks_request(fault, atomic_fetch_add(&requests, 1) + 1))
        say(out, 500, "broken on purpose by the fault switch");
    else if (strcmp(target, "/") == 0)
        say_page(out);
    else if (strcmp(target, "/version") == 0)
        say_version(out);
    else if (strcmp(target, "/slow") == 0)
        say_slow(out, query);
    else
        say(out, 404, "nothing here; try /, /version, /healthz or /slow?ms=50");
}

/* Whether the head (ending in an empty line) has a header line that starts with this text. */
static int has_header(const char *head, const char *text) {
    for (const char *line = strstr(head, "\r\n"); line; line = strstr(line + 2, "\r\n"))
        if (strncasecmp(line + 2, text, strlen(text)) == 0)
            return 1;
    return 0;
}

/* The answer to a head as bytes; *keep says whether the connection stays open. Requests with bodies end it. */
static int respond(const char *head, char *out, int *keep) {
    char method[16], target[1024], version[16];
    struct answer answer;
    *keep = 0;
    if (sscanf(head, "%15s %1023s %15s", method, target, version) != 3 || strncmp(version, "HTTP/1.", 7) != 0) {
        say(&answer, 400, "this is not an HTTP request");
        method[0] = '\0';
    } else {
        route(method, target, &answer);
        *keep = strcmp(version, "HTTP/1.1") == 0 && !has_header(head, "connection: close") && !stopping &&
                !has_header(head, "content-length:") && !has_header(head, "transfer-encoding:");
    }
    return snprintf(out, ANSWER_MAX,
                    "HTTP/1.1 %d %s\r\ncontent-type: %s\r\ncontent-length: %zu\r\nconnection: %s\r\nx-version: %s\r\n\r\n%s",
                    answer.status, reason(answer.status), answer.type, strlen(answer.body),
                    *keep ? "keep-alive" : "close", VERSION, strcmp(method, "HEAD") == 0 ? "" : answer.body);
}

static int send_all(int fd, const char *data, size_t length) {
    while (length > 0) {
        ssize_t sent = send(fd, data, length, MSG_NOSIGNAL);
        if (sent < 0 && errno == EINTR)
            continue;
        if (sent <= 0)
            return -1;
        data += sent;
        length -= (size_t)sent;
    }
    return 0;
}

/* Wait for bytes; 0 when there will be none: peer silent too long, or stopping and idle. */
static int await_bytes(int fd) {
    for (int waited = 0; waited < IDLE_MS; waited += POLL_MS) {
        struct pollfd wait = {fd, POLLIN, 0};
        int ready = poll(&wait, 1, POLL_MS);
        if (ready > 0)
            return 1;
        if (stopping || (ready < 0 && errno != EINTR))
            return 0;
    }
    return 0;
}

static void serve(int fd) {
    char data[HEAD_MAX + 1], out[ANSWER_MAX];
    size_t used = 0;
    for (int keep = 1; keep;) {
        data[used] = '\0';
        char *end = strstr(data, "\r\n\r\n");
        if (!end) {
            ssize_t got = used < HEAD_MAX && await_bytes(fd) ? recv(fd, data + used, HEAD_MAX - used, 0) : 0;
            if (got <= 0)
                return;
            used += (size_t)got;
            continue;
        }
        end[2] = '\0'; /* keeps the last header's line end, so that every line ends in one */
        int length = respond(data, out, &keep);
        size_t taken = (size_t)(end + 4 - data);
        memmove(data, data + taken, used - taken);
        used -= taken;
        if (length < 0 || length >= ANSWER_MAX || send_all(fd, out, (size_t)length) != 0)
            return;
    }
}

static void *run_connection(void *argument) {
    int fd = (int)(long)argument;
    serve(fd);
    shutdown(fd, SHUT_WR);
    close(fd);
    atomic_fetch_sub(&connections, 1);
    return NULL;
}

static void start_connection(int fd) {
    pthread_t thread;
    atomic_fetch_add(&connections, 1);
    if (pthread_create(&thread, NULL, run_connection, (void *)(long)fd) != 0) {
        close(fd);
        atomic_fetch_sub(&connections, 1);
        return;
    }
    pthread_detach(thread);
}

static int listen_on(int port) {
    struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons((unsigned short)port),
                                  .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
    int one = 1, fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one) != 0 ||
        bind(fd, (struct sockaddr *)&address, sizeof address) != 0 || listen(fd, 512) != 0) {
        perror("cannot listen");
        return -1;
    }
    return fd;
}

static void accept_until_stopped(int listener) {
    while (!stopping) {
        struct pollfd wait = {listener, POLLIN, 0};
        if (atomic_load(&connections) >= MAX_CONNECTIONS)
            pause_ms(1);
        else if (poll(&wait, 1, POLL_MS) > 0) {
            int fd = accept(listener, NULL, NULL);
            if (fd >= 0)
                start_connection(fd);
        }
    }
}

int hello_main(void) {
    const char *port = getenv("PORT"), *given = getenv("FAULT");
    if (given && *given)
        fault = given;
    if (!port || atoi(port) <= 0) {
        fprintf(stderr, "cannot start: PORT must be a port number\n");
        return 2;
    }
    if (strcmp(fault, "crash") == 0) {
        fprintf(stderr, "crashing on purpose: the fault switch says so\n");
        return 3;
    }
    struct sigaction stop = {.sa_handler = on_stop};
    sigaction(SIGTERM, &stop, NULL);
    sigaction(SIGINT, &stop, NULL);
    int listener = listen_on(atoi(port));
    if (listener < 0)
        return 1;
    printf("hello in C %s listening on 127.0.0.1:%s\n", VERSION, port);
    fflush(stdout);
    accept_until_stopped(listener);
    close(listener);
    for (int waited = 0; waited < STOP_MS && atomic_load(&connections) > 0; waited += 10)
        pause_ms(10);
    return 0;
}

#ifndef TESTING
int main(void) {
    return hello_main();
}
#endif
