/* delivery-bridge: joins a network of its own with the world outside, connection by connection.
 *
 *   delivery-bridge [--in FD:PORT]... [--out ADDRESS:PORT:UNIXPATH[:CONNECT_HOST:CONNECT_PORT]]... -- command args...
 *   delivery-bridge --network command args...
 *   delivery-bridge --connect ADDRESS:PORT HOST PORT
 *
 * The second form makes the network, with loopback alone, in which any port may be listened on, and becomes the command
 * (the sandbox) in it. It gives the sandbox a part of what the kernel counts by user. The third form asks the HTTP proxy
 * at ADDRESS:PORT for a tunnel to HOST:PORT and joins it to descriptors 0 and 1: for ssh's ProxyCommand. The first form
 * is the bridge.
 *
 * It runs inside of the sandbox, with the rights of the code that is kept there: whoever subverts it has won nothing.
 *
 * --in    accepts on the unix socket FD, which was made outside and is inherited, and dials 127.0.0.1:PORT, then ::1.
 *         Where nobody listens it answers 503 with the header `x-delivery-refused`, which no service has seen.
 * --out   listens on ADDRESS:PORT inside and dials the unix socket UNIXPATH (no colon in it). With a CONNECT_HOST it asks
 *         the HTTP proxy there for a tunnel first, so that an unmodified client gets a raw connection. A refused client
 *         is reset. IPv6 addresses stand in brackets.
 *
 * The command is its child and gets its own environment, descriptors 0 to 2, limits and signals. When it ends, what it
 * has sent is delivered (for LINGER_MS at most), and the bridge ends with its code, 128+n for signal n. Ended by SIGKILL
 * itself it takes the sandbox, whose first process it is, with it. Other signals are the command's business.
 *
 * One thread. Data is kept only when a reader is slow: CHUNK bytes a direction, and then nobody reads more. An idle
 * bridge sleeps. See docs/adr/0036-the-bridge.md.
 */

#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <net/if.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdarg.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <sys/epoll.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/signalfd.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum {
    CHUNK = 64 * 1024,
    CHUNKS_A_TURN = 8, /* of one direction before others have their turn */
    ACCEPTS_A_TURN = 64,
    EVENTS = 256,
    HEAD = 8 * 1024,        /* the longest answer of a proxy to CONNECT */
    LINGER_MS = 2000,       /* what the command sent is delivered so long after its end */
    RETRY_MS = 20,          /* a unix socket whose backlog is full, or no descriptor left: tried again */
    RETRIES = 250,
    GOODBYE_MS = 60 * 1000, /* a program that was told of the end has so long to end its own side */
    ANSWER_S = 120,         /* a proxy's to CONNECT: it gives up looking names up and dialling before */
    SYN_RETRIES = 1,        /* 127.0.0.1 with a full backlog: refused after some three seconds */
    COMPLAINT_EVERY_S = 1,
    FAILED = 125,
};

/* The same as the ingress says where a connection is refused on TCP (drivers/routers/envoy/replies.py). */
#define REFUSAL_BODY \
    "{\"error\":{\"code\":\"SERVICE_UNAVAILABLE\",\"message\":\"no connection to the service could be made; " \
    "try again shortly\"}}"
_Static_assert(sizeof REFUSAL_BODY - 1 == 114, "content-length below");
static const char REFUSAL[] =
    "HTTP/1.1 503 Service Unavailable\r\n"
    "x-delivery-refused: 1\r\n"
    "content-type: application/json\r\n"
    "content-length: 114\r\n"
    "connection: close\r\n\r\n" REFUSAL_BODY;

union address {
    struct sockaddr any;
    struct sockaddr_in v4;
    struct sockaddr_in6 v6;
    struct sockaddr_un path;
};

enum kind { CHILD, LISTENER, END };

/* What epoll hands back: the first member of everything that is watched. */
struct watched {
    enum kind kind;
    int fd;
    uint32_t events; /* as epoll knows it */
    bool known;      /* to epoll */
};

struct rule {
    struct watched listener;
    bool inward;
    bool paused; /* no descriptor was left */
    uint16_t port;
    union address target;
    char *words; /* for people */
    char *asked; /* CONNECT ..., NULL: none */
};

/* One socket of a pair. */
struct end {
    struct watched watched;
    struct link *link;
    bool tcp;
    bool over;   /* nothing more will be read from it */
    bool told;   /* it was told that nothing more comes */
    bool deaf;   /* it takes nothing any more */
    char *kept;  /* what it did not take yet */
    size_t kept_size, kept_from;
};

enum state { WAITING, DIALING, ASKING, JOINED, REFUSING, DRAINING, DEAD };

/* A client's connection (near) and the one that was dialled for it (far). */
struct link {
    struct end near, far;
    struct rule *rule;
    enum state state;
    bool second_try;
    int tries;
    char *head; /* the proxy's answer so far */
    size_t head_size;
    struct link *next, *previous;
};

static int epoll_fd;
static struct rule *rules;
static size_t rule_count;
static struct link *links; /* all that live */
static size_t waiting_count; /* for room in a unix socket's backlog, or a descriptor */
static size_t paused_count;
static bool some_went; /* since listeners were last looked at: there may be room again */
static struct link *dead; /* freed when no event can name them any more */
static char scratch[CHUNK];
static pid_t child;
static int child_code = -1;

/* --- words and clock ------------------------------------------------------------------------------------------- */

static void die(const char *format, ...)
{
    va_list arguments;
    va_start(arguments, format);
    fputs("[bridge] ", stderr);
    vfprintf(stderr, format, arguments);
    fputc('\n', stderr);
    va_end(arguments);
    exit(FAILED);
}

static int64_t now_ms(void)
{
    struct timespec now;
    clock_gettime(CLOCK_MONOTONIC, &now);
    return (int64_t)now.tv_sec * 1000 + now.tv_nsec / 1000000;
}

/* Into the service's log, where its owner looks; a stranger's thousand failing calls are one line a second. */
static void complain(const struct rule *rule, const char *what)
{
    static int64_t next_ms;
    int64_t now = now_ms();
    struct pollfd log = {.fd = STDERR_FILENO, .events = POLLOUT};
    if (now < next_ms || poll(&log, 1, 0) != 1 || !(log.revents & POLLOUT))
        return; /* a full log must not hold up connections */
    next_ms = now + COMPLAINT_EVERY_S * 1000;
    dprintf(STDERR_FILENO, "[bridge] %s: %s\n", rule->words, what);
}

/* --- epoll ----------------------------------------------------------------------------------------------------- */

static void watch(struct watched *one, uint32_t events)
{
    struct epoll_event event = {.events = events, .data.ptr = one};
    if (one->known && one->events == events)
        return;
    if (epoll_ctl(epoll_fd, one->known ? EPOLL_CTL_MOD : EPOLL_CTL_ADD, one->fd, &event) < 0)
        die("epoll_ctl: %s", strerror(errno));
    one->known = true;
    one->events = events;
}

static void unwatch(struct watched *one)
{
    if (one->known)
        epoll_ctl(epoll_fd, EPOLL_CTL_DEL, one->fd, NULL);
    one->known = false;
}

/* --- the command line ------------------------------------------------------------------------------------------ */

static char *copy(const char *from, size_t size)
{
    char *made = strndup(from, size);
    if (!made)
        die("no memory");
    return made;
}

static uint16_t port_of(const char *text, const char *argument)
{
    char *end;
    errno = 0;
    long port = strtol(text, &end, 10);
    if (errno || end == text || *end || port < 1 || port > 65535)
        die("%s: %s is not a port", argument, text);
    return (uint16_t)port;
}

/* The text up to the next colon outside of brackets; `*rest` is what follows, NULL: nothing does. */
static char *field(const char *text, const char **rest)
{
    const char *end = text;
    if (*text == '[') {
        end = strchr(text, ']');
        end = end ? end : text;
    }
    end = strchrnul(end, ':');
    *rest = *end ? end + 1 : NULL;
    return copy(text, (size_t)(end - text));
}

static socklen_t inside(union address *made, const char *text, uint16_t port)
{
    size_t size = strlen(text);
    memset(made, 0, sizeof *made);
    if (*text == '[' && text[size - 1] == ']') {
        char *bare = copy(text + 1, size - 2);
        made->v6.sin6_family = AF_INET6;
        made->v6.sin6_port = htons(port);
        int good = inet_pton(AF_INET6, bare, &made->v6.sin6_addr);
        free(bare);
        return good == 1 ? sizeof made->v6 : 0;
    }
    made->v4.sin_family = AF_INET;
    made->v4.sin_port = htons(port);
    return inet_pton(AF_INET, text, &made->v4.sin_addr) == 1 ? sizeof made->v4 : 0;
}

static struct rule *new_rule(const char *words)
{
    rules = realloc(rules, (rule_count + 1) * sizeof *rules);
    if (!rules)
        die("no memory");
    struct rule *made = &rules[rule_count++];
    memset(made, 0, sizeof *made);
    made->listener.kind = LISTENER;
    made->words = copy(words, strlen(words));
    return made;
}

static void add_in(const char *argument)
{
    const char *rest;
    char *descriptor = field(argument, &rest);
    struct rule *rule = new_rule(argument);
    char *end;
    long fd = strtol(descriptor, &end, 10);
    int accepting = 0;
    socklen_t size = sizeof accepting;
    if (!rest || *end || end == descriptor || fd < 3 || fd > INT32_MAX)
        die("--in %s: FD:PORT is wanted, with a descriptor of 3 or more", argument);
    if (getsockopt((int)fd, SOL_SOCKET, SO_ACCEPTCONN, &accepting, &size) < 0 || !accepting)
        die("--in %s: descriptor %ld is no listening socket", argument, fd);
    rule->inward = true;
    rule->port = port_of(rest, argument);
    rule->listener.fd = (int)fd;
    free(descriptor);
}

static void listen_inside(struct rule *rule, const char *address, const char *port, const char *argument)
{
    union address own;
    int yes = 1;
    socklen_t size = inside(&own, address, port_of(port, argument));
    if (!size)
        die("--out %s: %s is not an IP address", argument, address);
    int fd = socket(own.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (fd < 0)
        die("--out %s: %s", argument, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &yes, sizeof yes);
    if (bind(fd, &own.any, size) < 0 || listen(fd, SOMAXCONN) < 0)
        die("--out %s: cannot listen on %s:%s: %s", argument, address, port, strerror(errno));
    rule->listener.fd = fd;
}

/* What a proxy is asked for a tunnel; NULL: that is no host. */
static char *question(const char *host, const char *port)
{
    char *made;
    if (!*host || strpbrk(host, " \r\n\t") ||
        asprintf(&made, "CONNECT %s:%s HTTP/1.1\r\nHost: %s:%s\r\n\r\n", host, port, host, port) < 0)
        return NULL;
    return made;
}

static void add_out(const char *argument)
{
    const char *rest = argument;
    char *parts[5] = {0};
    size_t count = 0;
    while (rest && count < 5)
        parts[count++] = field(rest, &rest);
    if (rest || (count != 3 && count != 5) || parts[2][0] != '/')
        die("--out %s: ADDRESS:PORT:UNIXPATH[:CONNECT_HOST:CONNECT_PORT] is wanted", argument);
    struct rule *rule = new_rule(argument);
    listen_inside(rule, parts[0], parts[1], argument);
    rule->target.path.sun_family = AF_UNIX;
    if (strlen(parts[2]) >= sizeof rule->target.path.sun_path)
        die("--out %s: the path is longer than %zu bytes", argument, sizeof rule->target.path.sun_path - 1);
    strcpy(rule->target.path.sun_path, parts[2]);
    if (count == 5) {
        port_of(parts[4], argument);
        rule->asked = question(parts[3], parts[4]);
        if (!rule->asked)
            die("--out %s: no host to ask for", argument);
    }
    for (size_t each = 0; each < count; each++)
        free(parts[each]);
}

/* The words after `--`. */
static char **parse(char **words)
{
    for (words++; *words && strcmp(*words, "--"); words += 2) {
        if (!words[1])
            die("%s wants a value", *words);
        if (!strcmp(*words, "--in"))
            add_in(words[1]);
        else if (!strcmp(*words, "--out"))
            add_out(words[1]);
        else
            die("%s is not known; --in, --out and -- are", *words);
    }
    if (!*words || !words[1])
        die("no command: it stands behind --");
    return words + 1;
}

/* --- the command ----------------------------------------------------------------------------------------------- */

static void run(char **command, const sigset_t *mask)
{
    struct rlimit files;
    sigprocmask(SIG_SETMASK, mask, NULL);
    if (getrlimit(RLIMIT_NOFILE, &files) == 0) { /* what is above the soft limit is the bridge's: two a connection */
        files.rlim_max = files.rlim_cur;
        setrlimit(RLIMIT_NOFILE, &files);
    }
    execvp(command[0], command);
    dprintf(STDERR_FILENO, "cannot execute %s: %s\n", command[0], strerror(errno));
    _exit(errno == ENOENT ? 127 : 126);
}

static void ignore_signals(void)
{
    static const int numbers[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGPIPE, SIGUSR1, SIGUSR2,
                                  SIGALRM, SIGTSTP, SIGTTIN, SIGTTOU, SIGXFSZ};
    for (size_t each = 0; each < sizeof numbers / sizeof *numbers; each++)
        signal(numbers[each], SIG_IGN);
}

static void raise_descriptors(void)
{
    struct rlimit limit;
    if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
        limit.rlim_cur = limit.rlim_max;
        setrlimit(RLIMIT_NOFILE, &limit);
    }
}

/* Starts the command; returns what becomes readable when it has ended. */
static int start(char **command)
{
    sigset_t before, chld, all;
    sigemptyset(&chld);
    sigaddset(&chld, SIGCHLD);
    sigfillset(&all);
    sigprocmask(SIG_BLOCK, &all, &before); /* none comes before it is ignored */
    child = fork();
    if (child < 0)
        die("fork: %s", strerror(errno));
    if (child == 0)
        run(command, &before);
    ignore_signals();
    sigprocmask(SIG_SETMASK, &chld, NULL);
    raise_descriptors();
    prctl(PR_SET_NAME, "delivery-bridge");
    int fd = signalfd(-1, &chld, SFD_NONBLOCK | SFD_CLOEXEC);
    if (fd < 0)
        die("signalfd: %s", strerror(errno));
    return fd;
}

static void reap(int fd)
{
    struct signalfd_siginfo told;
    int status;
    pid_t pid;
    while (read(fd, &told, sizeof told) > 0)
        ;
    while ((pid = waitpid(-1, &status, WNOHANG)) > 0)
        if (pid == child)
            child_code = WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status);
}

/* --- one pair -------------------------------------------------------------------------------------------------- */

static void close_end(struct end *end)
{
    if (end->watched.fd < 0)
        return;
    unwatch(&end->watched);
    close(end->watched.fd);
    end->watched.fd = -1;
    free(end->kept);
    end->kept = NULL;
    end->kept_size = 0;
}

/* The other side learns that this is no ordinary end. */
static void reset_end(struct end *end)
{
    struct linger at_once = {.l_onoff = 1, .l_linger = 0};
    if (end->tcp && end->watched.fd >= 0)
        setsockopt(end->watched.fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);
    close_end(end);
}

static void bury(struct link *link)
{
    if (link->state == DEAD)
        return;
    if (link->state == WAITING)
        waiting_count--;
    link->state = DEAD;
    some_went = true;
    close_end(&link->near);
    close_end(&link->far);
    free(link->head);
    link->head = NULL;
    *(link->previous ? &link->previous->next : &links) = link->next;
    if (link->next)
        link->next->previous = link->previous;
    link->next = dead;
    dead = link;
}

static void free_dead(void)
{
    while (dead) {
        struct link *next = dead->next;
        free(dead);
        dead = next;
    }
}

static bool keep(struct end *end, const char *data, size_t size)
{
    end->kept = malloc(size);
    if (!end->kept)
        return false;
    memcpy(end->kept, data, size);
    end->kept_size = size;
    end->kept_from = 0;
    return true;
}

/* Nothing more comes for it: said once, and after everything else. */
static void finish(struct end *end)
{
    if (end->told || end->deaf || end->kept)
        return;
    shutdown(end->watched.fd, SHUT_WR);
    end->told = true;
}

static bool is_later(void)
{
    return errno == EAGAIN || errno == EWOULDBLOCK || errno == EINTR;
}

static void go_deaf(struct end *end)
{
    end->deaf = true;
    free(end->kept);
    end->kept = NULL;
    end->kept_size = 0;
}

/* Gives an end what was kept for it. */
static void flush(struct end *end)
{
    while (end->kept) {
        ssize_t sent = send(end->watched.fd, end->kept + end->kept_from, end->kept_size - end->kept_from, MSG_NOSIGNAL);
        if (sent < 0) {
            if (!is_later())
                go_deaf(end);
            return;
        }
        end->kept_from += (size_t)sent;
        if (end->kept_from == end->kept_size) {
            free(end->kept);
            end->kept = NULL;
            end->kept_size = 0;
        }
    }
}

static void give(struct end *end, const char *data, size_t size)
{
    ssize_t sent = send(end->watched.fd, data, size, MSG_NOSIGNAL);
    if (sent < 0 && !is_later()) {
        go_deaf(end);
        return;
    }
    sent = sent < 0 ? 0 : sent;
    if ((size_t)sent < size && !keep(end, data + sent, size - (size_t)sent))
        go_deaf(end);
}

/* Moves what there is from one end to the other; false: the source broke. */
static bool flow(struct end *from, struct end *to)
{
    flush(to);
    for (int turn = 0; turn < CHUNKS_A_TURN && !from->over && !to->kept && !to->deaf; turn++) {
        ssize_t got = recv(from->watched.fd, scratch, sizeof scratch, 0);
        if (got < 0)
            return is_later();
        if (got == 0) {
            from->over = true;
            break;
        }
        give(to, scratch, (size_t)got);
        if ((size_t)got < sizeof scratch)
            break; /* most likely all; if not, epoll says so */
    }
    if (from->over)
        finish(to);
    return true;
}

/* What epoll shall tell of an end: with nothing to wait for, its breaking alone, and that once. */
static void want(struct end *end, const struct end *other)
{
    uint32_t events = 0;
    if (end->watched.fd < 0)
        return;
    if (!end->over && !other->kept && !other->deaf)
        events |= EPOLLIN;
    if (end->kept && !end->deaf)
        events |= EPOLLOUT;
    watch(&end->watched, events ? events : EPOLLET);
}

/* The far end is gone, the client is still there: it gets what was kept for it and is read until it goes, because closing
 * a socket with unread data would take the answer away from it. */
static void drain(struct link *link)
{
    struct end *near = &link->near;
    ssize_t got = 0;
    link->state = DRAINING;
    close_end(&link->far);
    flush(near);
    if (!near->kept)
        finish(near);
    for (int turn = 0; turn < CHUNKS_A_TURN; turn++) {
        got = recv(near->watched.fd, scratch, sizeof scratch, 0);
        if (got <= 0)
            break;
    }
    if (got == 0)
        near->over = true;
    if ((got < 0 && !is_later()) || near->deaf || (near->over && !near->kept)) {
        bury(link);
        return;
    }
    watch(&near->watched, (near->over ? 0 : EPOLLIN) | (near->kept ? EPOLLOUT : 0));
}

/* A break of the far side. What it sent before is delivered; then a client on TCP is reset, one on a unix socket, where
 * there is no such thing, sees the end. */
static void far_broke(struct link *link)
{
    flush(&link->near);
    if (link->near.tcp) {
        reset_end(&link->near);
        bury(link);
        return;
    }
    drain(link);
}

static void near_broke(struct link *link)
{
    reset_end(&link->far);
    bury(link);
}

/* Whether the socket has a fault that no reading would find. One that is read later still has what came before. */
static bool has_fault(const struct end *end, uint32_t events)
{
    return (events & EPOLLERR) && end->over;
}

static void join(struct link *link, const struct end *told, uint32_t events)
{
    struct end *near = &link->near, *far = &link->far;
    if (told && has_fault(told, events)) {
        if (told == near)
            near_broke(link);
        else
            far_broke(link);
        return;
    }
    if (!flow(near, far)) {
        near_broke(link);
        return;
    }
    if (!flow(far, near)) {
        far_broke(link);
        return;
    }
    if (near->deaf) {
        near_broke(link);
        return;
    }
    if (far->over && (far->deaf || near->over) && !far->kept) {
        if (near->over && !near->kept)
            bury(link);
        else
            drain(link);
        return;
    }
    want(near, far);
    want(far, near);
}

/* --- nobody there ---------------------------------------------------------------------------------------------- */

/* The client has sent something: now it reads. */
static void answer_refused(struct link *link)
{
    ssize_t got = recv(link->near.watched.fd, scratch, sizeof scratch, 0);
    if (got < 0 && is_later()) {
        watch(&link->near.watched, EPOLLIN);
        return;
    }
    if (got <= 0) {
        bury(link);
        return;
    }
    give(&link->near, REFUSAL, sizeof REFUSAL - 1);
    drain(link);
}

static void refuse(struct link *link, const char *why)
{
    if (link->state == WAITING)
        waiting_count--;
    close_end(&link->far);
    link->state = REFUSING;
    if (link->rule->inward) {
        answer_refused(link);
        return;
    }
    complain(link->rule, why);
    reset_end(&link->near);
    bury(link);
}

/* --- the way there --------------------------------------------------------------------------------------------- */

static void joined(struct link *link)
{
    link->state = JOINED;
    if (link->far.tcp) { /* from now on the kernel's usual patience */
        int yes = 1;
        setsockopt(link->far.watched.fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    }
    join(link, NULL, 0);
}

static void ask(struct link *link)
{
    if (!link->rule->asked) {
        joined(link);
        return;
    }
    link->state = ASKING;
    link->head = malloc(HEAD);
    if (!link->head) {
        refuse(link, "no memory");
        return;
    }
    give(&link->far, link->rule->asked, strlen(link->rule->asked));
    watch(&link->near.watched, EPOLLET);
    watch(&link->far.watched, EPOLLIN | (link->far.kept ? EPOLLOUT : 0));
}

/* Why a proxy said no, in its own words: the first line of its answer. */
static void refused_by_proxy(struct link *link)
{
    char words[160];
    size_t size = 0;
    while (size < link->head_size && size < sizeof words - 1 && link->head[size] >= ' ' && link->head[size] < 127) {
        words[size] = link->head[size];
        size++;
    }
    words[size] = 0;
    refuse(link, size ? words : "the proxy closed the connection");
}

/* A proxy's answer to CONNECT: the tunnel begins right behind it. */
static void hear(struct link *link)
{
    flush(&link->far);
    if (link->far.deaf) {
        refuse(link, "the proxy closed the connection");
        return;
    }
    ssize_t got = recv(link->far.watched.fd, link->head + link->head_size, HEAD - link->head_size, 0);
    if (got < 0 && is_later()) {
        watch(&link->far.watched, EPOLLIN | (link->far.kept ? EPOLLOUT : 0));
        return;
    }
    if (got > 0)
        link->head_size += (size_t)got;
    char *end = memmem(link->head, link->head_size, "\r\n\r\n", 4);
    if (!end) {
        if (got <= 0 || link->head_size == HEAD)
            refused_by_proxy(link);
        return;
    }
    if (link->head_size < 12 || memcmp(link->head, "HTTP/1.", 7) || memcmp(link->head + 8, " 2", 2)) {
        refused_by_proxy(link);
        return;
    }
    char *first = end + 4;
    size_t size = link->head_size - (size_t)(first - link->head);
    if (size)
        give(&link->near, first, size);
    free(link->head);
    link->head = NULL;
    joined(link);
}

/* For room in a backlog, or for a descriptor; false: it has waited long enough. */
static bool wait_for_room(struct link *link)
{
    if (link->tries++ == RETRIES)
        return false;
    close_end(&link->far);
    watch(&link->near.watched, EPOLLET);
    link->state = WAITING;
    waiting_count++;
    return true;
}

static bool is_short_of_something(void)
{
    return errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM;
}

/* Opens the far end's socket anew and dials. */
static void dial(struct link *link)
{
    struct rule *rule = link->rule;
    union address to = rule->target;
    socklen_t size = sizeof to.path;
    int tries = SYN_RETRIES;
    if (rule->inward)
        size = inside(&to, link->second_try ? "[::1]" : "127.0.0.1", rule->port);
    close_end(&link->far);
    if (link->state == WAITING)
        waiting_count--;
    link->state = DIALING;
    link->far.tcp = rule->inward;
    link->far.watched.fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
    if (link->far.watched.fd < 0) {
        if (!is_short_of_something() || !wait_for_room(link))
            refuse(link, strerror(errno));
        return;
    }
    if (rule->inward)
        setsockopt(link->far.watched.fd, IPPROTO_TCP, TCP_SYNCNT, &tries, sizeof tries);
    if (connect(link->far.watched.fd, &to.any, size) == 0) {
        ask(link);
    } else if (errno == EINPROGRESS) {
        watch(&link->near.watched, EPOLLET);
        watch(&link->far.watched, EPOLLOUT);
    } else if (errno == EAGAIN) {
        if (!wait_for_room(link))
            refuse(link, "nobody accepts there");
    } else if (rule->inward && !link->second_try) {
        link->second_try = true;
        dial(link);
    } else {
        refuse(link, strerror(errno));
    }
}

static void dialled(struct link *link)
{
    int fault = 0;
    socklen_t size = sizeof fault;
    getsockopt(link->far.watched.fd, SOL_SOCKET, SO_ERROR, &fault, &size);
    if (!fault) {
        ask(link);
    } else if (fault == ECONNREFUSED && link->rule->inward && !link->second_try) {
        link->second_try = true;
        dial(link);
    } else {
        refuse(link, strerror(fault));
    }
}

static void dial_waiting(void)
{
    for (struct link *each = links, *next; each && waiting_count; each = next) {
        next = each->next;
        if (each->state == WAITING)
            dial(each);
    }
}

/* --- events ---------------------------------------------------------------------------------------------------- */

static void turn(struct end *end, uint32_t events)
{
    struct link *link = end->link;
    bool near = end == &link->near;
    switch (link->state) {
    case DEAD:
        break;
    case WAITING:
    case DIALING:
        if (near) /* nothing else is asked of it: it broke */
            near_broke(link);
        else
            dialled(link);
        break;
    case ASKING:
        if (near)
            near_broke(link);
        else
            hear(link);
        break;
    case JOINED:
        join(link, end, events);
        break;
    case REFUSING:
        answer_refused(link);
        break;
    case DRAINING:
        drain(link);
        break;
    }
}

static void pause_rule(struct rule *rule)
{
    unwatch(&rule->listener);
    rule->paused = true;
    paused_count++;
}

static void take(struct rule *rule, int fd)
{
    struct link *made = calloc(1, sizeof *made);
    int yes = 1;
    if (!made) {
        close(fd);
        return;
    }
    made->rule = rule;
    made->near.watched = (struct watched){.kind = END, .fd = fd};
    made->far.watched = (struct watched){.kind = END, .fd = -1};
    made->near.link = made->far.link = made;
    made->near.tcp = !rule->inward;
    if (made->near.tcp)
        setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &yes, sizeof yes);
    made->next = links;
    if (links)
        links->previous = made;
    links = made;
    made->state = DIALING;
    dial(made);
}

static void accept_some(struct rule *rule)
{
    for (int each = 0; each < ACCEPTS_A_TURN; each++) {
        int fd = accept4(rule->listener.fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
        if (fd >= 0) {
            take(rule, fd);
            continue;
        }
        if (errno == ECONNABORTED || errno == EINTR)
            continue;
        if (errno != EAGAIN && errno != EWOULDBLOCK)
            pause_rule(rule); /* no descriptor or no memory left: the backlog waits */
        return;
    }
}

static void resume(void)
{
    for (size_t each = 0; each < rule_count && paused_count; each++)
        if (rules[each].paused) {
            rules[each].paused = false;
            paused_count--;
            watch(&rules[each].listener, EPOLLIN);
        }
}

static bool anything_kept(void)
{
    for (struct link *each = links; each; each = each->next)
        if (each->near.kept || each->far.kept)
            return true;
    return false;
}

/* How many things happened within so many milliseconds. */
static int look(int patience_ms, int child_fd)
{
    struct epoll_event events[EVENTS];
    int count = epoll_wait(epoll_fd, events, EVENTS, patience_ms);
    if (count < 0 && errno != EINTR)
        die("epoll_wait: %s", strerror(errno));
    for (int each = 0; each < count; each++) {
        struct watched *one = events[each].data.ptr;
        if (one->kind == CHILD)
            reap(child_fd);
        else if (one->kind == LISTENER)
            accept_some((struct rule *)one);
        else
            turn((struct end *)one, events[each].events);
    }
    free_dead();
    return count;
}

/* After the command's end: nobody new, and what was sent goes out as long as somebody takes it. */
static void deliver_the_rest(int child_fd)
{
    int64_t until = now_ms() + LINGER_MS;
    for (size_t each = 0; each < rule_count; each++) {
        unwatch(&rules[each].listener);
        close(rules[each].listener.fd);
    }
    while (now_ms() < until) {
        int happened = look(0, child_fd);
        if (happened == 0 && !anything_kept())
            return;
        if (happened == 0)
            look((int)(until - now_ms()), child_fd);
    }
}

/* --- the network ----------------------------------------------------------------------------------------------- */

static void say(const char *path, const char *text)
{
    int fd = open(path, O_WRONLY | O_CLOEXEC);
    if (fd < 0 || write(fd, text, strlen(text)) < 0)
        die("cannot make a network: %s: %s", path, strerror(errno));
    close(fd);
}

static void stay(const char *path, unsigned int id)
{
    char text[64];
    snprintf(text, sizeof text, "%u %u 1", id, id);
    say(path, text);
}

static void raise_loopback(void)
{
    struct ifreq request = {.ifr_name = "lo", .ifr_flags = IFF_UP | IFF_RUNNING};
    int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || ioctl(fd, SIOCSIFFLAGS, &request) < 0)
        die("cannot make a network: loopback: %s", strerror(errno));
    close(fd);
}

/* The machine's own nodes are in every sandbox, and root's code owns them: it must not close /dev/null to everybody. Read-
 * only they are written as before. (bwrap's own remount would make them none at all.) */
static void keep_devices(void)
{
    static const char *const paths[] = {"/dev/null", "/dev/zero", "/dev/full", "/dev/random", "/dev/urandom", "/dev/tty"};
    struct statvfs now;
    if (mount(NULL, "/", NULL, MS_REC | MS_SLAVE, NULL) < 0)
        die("cannot make a network: mounts: %s", strerror(errno));
    for (size_t each = 0; each < sizeof paths / sizeof *paths; each++) {
        unsigned long flags = MS_BIND | MS_REMOUNT | MS_RDONLY;
        if (mount(paths[each], paths[each], NULL, MS_BIND, NULL) < 0 || statvfs(paths[each], &now) < 0)
            die("cannot make a network: %s: %s", paths[each], strerror(errno));
        flags |= now.f_flag & ST_NOSUID ? MS_NOSUID : 0; /* what is locked must be said again */
        flags |= now.f_flag & ST_NOEXEC ? MS_NOEXEC : 0;
        flags |= now.f_flag & ST_NOATIME ? MS_NOATIME : 0;
        flags |= now.f_flag & ST_NODIRATIME ? MS_NODIRATIME : 0;
        flags |= now.f_flag & ST_RELATIME ? MS_RELATIME : 0;
        if (mount(NULL, paths[each], NULL, flags, NULL) < 0)
            die("cannot make a network: %s: %s", paths[each], strerror(errno));
    }
}

/* What the kernel counts by user, it counts for each user namespace, too: a sandbox has a part of what we may have. */
static const struct counted {
    const char *path; /* a limit of the namespace of whoever opens it */
    long part, least, most;
} counted[] = {
    {"/proc/sys/user/max_inotify_instances", 16, 4, 32}, /* of 128, as a rule; the router needs two when it starts */
    {"/proc/sys/user/max_inotify_watches", 8, 512, 65536},
};
enum { COUNTED = sizeof counted / sizeof *counted };

/* Of the namespace we are in; 0: this kernel does not count it. */
static long limit_of(const struct counted *each)
{
    char text[32] = "";
    int fd = open(each->path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || read(fd, text, sizeof text - 1) < 0)
        text[0] = 0;
    if (fd >= 0)
        close(fd);
    return strtol(text, NULL, 10);
}

static void give_a_part(const struct counted *each, long limit)
{
    char text[32];
    long part = limit / each->part;
    if (limit <= 0)
        return;
    part = part < each->least ? each->least : part > each->most ? each->most : part;
    snprintf(text, sizeof text, "%ld", part);
    say(each->path, text);
}

/* Signals and timers that wait, and bytes of message queues. What a limit is when a namespace is made, all in it and below
 * together may have of our user's: a quarter stays for us. What it is afterwards each namespace below may have. */
static void lower(int kind, rlim_t times, rlim_t part)
{
    struct rlimit limit;
    if (getrlimit(kind, &limit) < 0 || limit.rlim_cur == RLIM_INFINITY)
        return;
    limit.rlim_cur = limit.rlim_max = limit.rlim_cur / part * times;
    setrlimit(kind, &limit);
}

/* In a user namespace of its own, in which we stay who we are: so nobody needs rights for it. Ways out have the ports of
 * what they lead to, and nobody has rights in the sandbox: no port is for the privileged. */
static void enter_network(char **command)
{
    unsigned int uid = geteuid(), gid = getegid();
    long limits[COUNTED];
    int death = 0;
    prctl(PR_GET_PDEATHSIG, &death);
    if (!command[0])
        die("no command: it stands behind --network");
    for (size_t each = 0; each < COUNTED; each++)
        limits[each] = limit_of(counted + each);
    lower(RLIMIT_SIGPENDING, 3, 4);
    lower(RLIMIT_MSGQUEUE, 3, 4);
    if (unshare(CLONE_NEWUSER | CLONE_NEWNET | (uid == 0 ? CLONE_NEWNS : 0)) < 0)
        die("cannot make a network: %s", strerror(errno));
    say("/proc/self/setgroups", "deny");
    stay("/proc/self/uid_map", uid);
    stay("/proc/self/gid_map", gid);
    if (uid == 0)
        keep_devices();
    raise_loopback();
    say("/proc/sys/net/ipv4/ip_unprivileged_port_start", "0");
    for (size_t each = 0; each < COUNTED; each++)
        give_a_part(counted + each, limits[each]);
    lower(RLIMIT_SIGPENDING, 1, 8);
    lower(RLIMIT_MSGQUEUE, 1, 2);
    prctl(PR_SET_PDEATHSIG, death);
    execvp(command[0], command);
    die("cannot execute %s: %s", command[0], strerror(errno));
}

/* --- a tunnel for one program ---------------------------------------------------------------------------------- */

static bool say_all(int fd, const char *data, size_t size)
{
    while (size) {
        ssize_t sent = write(fd, data, size);
        if (sent < 0 && errno != EINTR)
            return false;
        data += sent < 0 ? 0 : sent;
        size -= sent < 0 ? 0 : (size_t)sent;
    }
    return true;
}

/* Until there is no more, or nobody to take it. */
static void pass(int from, int to)
{
    for (;;) {
        ssize_t got = read(from, scratch, sizeof scratch);
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0 || !say_all(to, scratch, (size_t)got))
            return;
    }
}

/* What nobody takes any more, to its end. */
static void swallow(int from)
{
    ssize_t got;
    do
        got = read(from, scratch, sizeof scratch);
    while (got > 0 || (got < 0 && errno == EINTR));
}

static int reach_proxy(const char *proxy)
{
    const char *port;
    char *address = field(proxy, &port);
    union address to;
    struct timeval patience = {.tv_sec = ANSWER_S};
    socklen_t size = port ? inside(&to, address, port_of(port, proxy)) : 0;
    if (!size)
        die("--connect %s: ADDRESS:PORT of a proxy is wanted", proxy);
    int fd = socket(to.any.sa_family, SOCK_STREAM | SOCK_CLOEXEC, 0);
    if (fd < 0 || connect(fd, &to.any, size) < 0)
        die("the proxy at %s: %s", proxy, strerror(errno));
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
    free(address);
    return fd;
}

/* The proxy's answer, byte by byte: the tunnel begins right behind it. */
static void hear_yes(int fd, const char *host, const char *port)
{
    char head[HEAD];
    size_t size = 0;
    struct timeval for_ever = {0};
    while (size < 4 || memcmp(head + size - 4, "\r\n\r\n", 4)) {
        ssize_t got = size < sizeof head ? read(fd, head + size, 1) : 0;
        if (got < 0 && errno == EINTR)
            continue;
        if (got <= 0)
            break;
        size++;
    }
    bool whole = size >= 4 && !memcmp(head + size - 4, "\r\n\r\n", 4);
    bool yes = whole && size > 12 && !memcmp(head, "HTTP/1.", 7) && !memcmp(head + 8, " 2", 2);
    size_t line = 0;
    while (line < size && head[line] >= ' ' && head[line] < 127)
        line++;
    if (!yes)
        die("%s:%s: %.*s", host, port, (int)(line ? line : 12), line ? head : "no answer");
    setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &for_ever, sizeof for_ever);
}

static void connect_through(const char *proxy, const char *name, const char *port)
{
    bool bare = strchr(name, ':') && *name != '[';
    char *host;
    port_of(port, port);
    if (asprintf(&host, bare ? "[%s]" : "%s", name) < 0)
        die("no memory");
    char *asked = question(host, port);
    if (!asked)
        die("--connect: %s is no host", name);
    signal(SIGPIPE, SIG_IGN);
    int fd = reach_proxy(proxy);
    if (!say_all(fd, asked, strlen(asked)))
        die("the proxy at %s: %s", proxy, strerror(errno));
    hear_yes(fd, host, port);
    pid_t sender = fork();
    if (sender < 0)
        die("fork: %s", strerror(errno));
    if (sender == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(STDOUT_FILENO); /* its end is told by its last holder */
        pass(STDIN_FILENO, fd);
        shutdown(fd, SHUT_WR);
        swallow(STDIN_FILENO);
        _exit(0);
    }
    pass(fd, STDOUT_FILENO);
    /* Whoever still says goodbye must not break on it: ssh would take that for a failure. */
    close(STDOUT_FILENO);
    for (int64_t until = now_ms() + GOODBYE_MS; now_ms() < until && waitpid(sender, NULL, WNOHANG) == 0;)
        poll(NULL, 0, RETRY_MS);
    kill(sender, SIGKILL);
    exit(0);
}

int main(int count, char **words)
{
    if (count > 1 && !strcmp(words[1], "--network"))
        enter_network(words + 2);
    if (count > 1 && !strcmp(words[1], "--connect")) {
        if (count != 5)
            die("--connect ADDRESS:PORT HOST PORT is wanted");
        connect_through(words[2], words[3], words[4]);
    }
    char **command = parse(words);
    for (size_t each = 0; each < rule_count; each++) {
        int fd = rules[each].listener.fd;
        fcntl(fd, F_SETFD, FD_CLOEXEC);
        fcntl(fd, F_SETFL, fcntl(fd, F_GETFL) | O_NONBLOCK);
    }
    int child_fd = start(command);
    struct watched ending = {.kind = CHILD, .fd = child_fd};
    epoll_fd = epoll_create1(EPOLL_CLOEXEC);
    if (epoll_fd < 0)
        die("epoll_create1: %s", strerror(errno));
    watch(&ending, EPOLLIN);
    for (size_t each = 0; each < rule_count; each++)
        watch(&rules[each].listener, EPOLLIN);
    while (child_code < 0) {
        int happened = look(waiting_count || paused_count ? RETRY_MS : -1, child_fd);
        if (happened == 0 || some_went) {
            some_went = false;
            dial_waiting();
            free_dead();
            resume();
        }
    }
    deliver_the_rest(child_fd);
    return child_code;
}
