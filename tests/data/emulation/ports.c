/*
 * Serves and asks for itself on one port, and prints what each call answered; the last word is what
 * has come through.
 *
 *     ports stream|datagrams PORT SERVER CLIENT [nonblocking] [folded]
 *
 * folded: bind and connect are made by i386's socketcall.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

enum { BIND = 2, CONNECT = 3 };

static int folded;

static int named(int call, int fd, const void *name, socklen_t length) {
#ifdef __x86_64__
    if (folded) {
        static unsigned *low;
        int result;
        if (!low)
            low = mmap(0, 4096, PROT_READ | PROT_WRITE,
                       MAP_PRIVATE | MAP_ANONYMOUS | MAP_32BIT, -1, 0);
        memcpy(low + 8, name, length);
        low[0] = fd, low[1] = (unsigned)(unsigned long)(low + 8), low[2] = length;
        __asm__ volatile("int $0x80" : "=a"(result) : "a"(102), "b"(call), "c"(low)
                         : "r8", "r9", "r10", "r11", "memory");
        if (result >= 0)
            return result;
        errno = -result;
        return -1;
    }
#endif
    return call == BIND ? bind(fd, name, length) : connect(fd, name, length);
}

static void said(const char *call, int result) {
    printf("%s %s\n", call, result < 0 ? strerrorname_np(errno) : "ok");
}

static socklen_t address(struct sockaddr_storage *name, const char *text, int port) {
    struct sockaddr_in *v4 = (void *)name;
    struct sockaddr_in6 *v6 = (void *)name;
    memset(name, 0, sizeof *name);
    if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
        v4->sin_family = AF_INET;
        v4->sin_port = htons(port);
        return sizeof *v4;
    }
    inet_pton(AF_INET6, text, &v6->sin6_addr);
    v6->sin6_family = AF_INET6;
    v6->sin6_port = htons(port);
    return sizeof *v6;
}

int main(int count, char **words) {
    struct sockaddr_storage to, from;
    int type, port, nonblocking = 0, i, server, again, client, end;
    socklen_t server_length, client_length;
    char text[16] = "";
    if (count < 5)
        return 2;
    setvbuf(stdout, 0, _IONBF, 0);
    alarm(20);
    type = strcmp(words[1], "stream") ? SOCK_DGRAM : SOCK_STREAM;
    port = atoi(words[2]);
    server_length = address(&to, words[3], port);
    client_length = address(&from, words[4], port);
    for (i = 5; i < count; i++) {
        nonblocking |= !strcmp(words[i], "nonblocking");
        folded |= !strcmp(words[i], "folded");
    }

    end = server = socket(to.ss_family, type, 0);
    /* As servers do it; the other one has it later. */
    i = type == SOCK_STREAM;
    setsockopt(server, SOL_SOCKET, SO_REUSEADDR, &i, sizeof i);
    i = named(BIND, server, &to, server_length);
    said("bind", i);
    if (i < 0)
        return 0;
    again = socket(to.ss_family, type, 0);
    said("again", named(BIND, again, &to, server_length));
    if (type == SOCK_STREAM)
        said("listen", listen(server, 5));

    client = socket(from.ss_family, type | (nonblocking ? SOCK_NONBLOCK : 0), 0);
    said("connect", named(CONNECT, client, &from, client_length));
    if (nonblocking) {
        struct pollfd poll_for = {client, POLLOUT, 0};
        socklen_t length = sizeof errno;
        poll(&poll_for, 1, 10000);
        getsockopt(client, SOL_SOCKET, SO_ERROR, &i, &length);
        errno = i;
        said("then", i ? -1 : 0);
    }
    if (type == SOCK_STREAM)
        end = accept(server, 0, 0);
    if (write(client, "data", 4) != 4 || read(end, text, sizeof text - 1) < 0)
        return 1;
    printf("%s\n", text);

    /* Who waits there no more is not found, and the port is free for another. */
    close(server);
    close(end);
    if (type == SOCK_STREAM) {
        client = socket(from.ss_family, type, 0);
        said("later", named(CONNECT, client, &from, client_length));
        i = 1;
        setsockopt(again, SOL_SOCKET, SO_REUSEADDR, &i, sizeof i);
    }
    said("free", named(BIND, again, &to, server_length));
    return 0;
}
