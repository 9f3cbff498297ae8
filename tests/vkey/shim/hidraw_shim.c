/*
 * LD_PRELOAD: programs that open a hidraw node talk to `vkey sock` instead, unmodified.
 *
 *   VKEY_HIDRAW=/dev/hidraw90=/tmp/alice.usb[:/dev/hidraw91=/tmp/bob.usb]
 *
 * Opening a listed node connects to its socket; fstat says that it is a character device; the hidraw ioctls answer as
 * the kernel does for a FIDO key; a pulled key gives ENODEV. Everything else goes to the C library, or to the next
 * shim: with umockdev's behind this one (LD_PRELOAD=hidraw_shim.so:$LD_PRELOAD within umockdev-run), keys are enumerated too.
 *
 *   cc -shared -fPIC -O1 -Wall -Wextra -o hidraw_shim.so hidraw_shim.c -ldl
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <linux/hidraw.h>
#include <linux/input.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#define DESCRIPTORS 4096
static unsigned char is_key[DESCRIPTORS];

static const unsigned char descriptor[] = {
    0x06, 0xd0, 0xf1, 0x09, 0x01, 0xa1, 0x01, 0x09, 0x20, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95,
    0x40, 0x81, 0x02, 0x09, 0x21, 0x15, 0x00, 0x26, 0xff, 0x00, 0x75, 0x08, 0x95, 0x40, 0x91, 0x02, 0xc0,
};

#define NEXT(name) ((__typeof__(&name))dlsym(RTLD_NEXT, #name))

static int known(int fd) { return fd >= 0 && fd < DESCRIPTORS && is_key[fd]; }

/* The socket that stands for this node: 1 and its path, or 0. */
static int socket_of(const char *node, char *path, size_t size) {
    const char *entry = getenv("VKEY_HIDRAW");
    size_t length = node ? strlen(node) : 0;
    while (entry && *entry) {
        const char *end = strchrnul(entry, ':');
        if (length && (size_t)(end - entry) > length && !strncmp(entry, node, length) && entry[length] == '=') {
            size_t rest = (size_t)(end - entry) - length - 1;
            if (rest >= size) return 0;
            memcpy(path, entry + length + 1, rest);
            path[rest] = 0;
            return 1;
        }
        entry = *end ? end + 1 : end;
    }
    return 0;
}

static int plug(const char *path, int flags) {
    struct sockaddr_un address = {.sun_family = AF_UNIX};
    int type = SOCK_SEQPACKET | (flags & O_CLOEXEC ? SOCK_CLOEXEC : 0);
    int fd;
    if (strlen(path) >= sizeof address.sun_path) return errno = ENAMETOOLONG, -1;
    strcpy(address.sun_path, path);
    if ((fd = socket(AF_UNIX, type, 0)) < 0) return -1;
    if (fd >= DESCRIPTORS || connect(fd, (struct sockaddr *)&address, sizeof address)) {
        NEXT(close)(fd);
        return errno = ENOENT, -1;
    }
    if (flags & O_NONBLOCK) fcntl(fd, F_SETFL, O_NONBLOCK);
    is_key[fd] = 1;
    return fd;
}

#define MODE(flags, mode)                      \
    mode_t mode = 0;                           \
    if ((flags) & (O_CREAT | O_TMPFILE)) {     \
        va_list rest;                          \
        va_start(rest, flags);                 \
        mode = va_arg(rest, mode_t);           \
        va_end(rest);                          \
    }

#define OPEN(name)                                                               \
    int name(const char *node, int flags, ...) {                                 \
        char path[108];                                                          \
        MODE(flags, mode)                                                        \
        if (socket_of(node, path, sizeof path)) return plug(path, flags);        \
        return NEXT(name)(node, flags, mode);                                    \
    }
OPEN(open)
OPEN(open64)

#define OPENAT(name)                                                             \
    int name(int at, const char *node, int flags, ...) {                         \
        char path[108];                                                          \
        MODE(flags, mode)                                                        \
        if (socket_of(node, path, sizeof path)) return plug(path, flags);        \
        return NEXT(name)(at, node, flags, mode);                                \
    }
OPENAT(openat)
OPENAT(openat64)

int __open_2(const char *node, int flags) { return open(node, flags); }
int __open64_2(const char *node, int flags) { return open64(node, flags); }

int close(int fd) {
    if (known(fd)) is_key[fd] = 0;
    return NEXT(close)(fd);
}

ssize_t read(int fd, void *buffer, size_t size) {
    ssize_t got;
    if (!known(fd)) return NEXT(read)(fd, buffer, size);
    got = recv(fd, buffer, size, 0);
    return got == 0 ? (errno = ENODEV, -1) : got;
}

ssize_t write(int fd, const void *buffer, size_t size) {
    ssize_t sent;
    if (!known(fd)) return NEXT(write)(fd, buffer, size);
    sent = send(fd, buffer, size, MSG_NOSIGNAL);
    return sent < 0 && errno == EPIPE ? (errno = ENODEV, -1) : sent;
}

int ioctl(int fd, unsigned long request, ...) {
    va_list rest;
    void *argument;
    va_start(rest, request);
    argument = va_arg(rest, void *);
    va_end(rest);
    if (!known(fd)) return NEXT(ioctl)(fd, request, argument);
    if (request == HIDIOCGRDESCSIZE) {
        *(int *)argument = sizeof descriptor;
        return 0;
    }
    if (request == HIDIOCGRDESC) {
        struct hidraw_report_descriptor *report = argument;
        memcpy(report->value, descriptor, report->size < sizeof descriptor ? report->size : sizeof descriptor);
        return 0;
    }
    if (request == HIDIOCGRAWINFO) {
        *(struct hidraw_devinfo *)argument = (struct hidraw_devinfo){BUS_USB, 0x20a0, 0x42b2};
        return 0;
    }
    if (_IOC_TYPE(request) == 'H' && _IOC_NR(request) == 4) /* HIDIOCGRAWNAME(len) */
        return 1 + snprintf(argument, _IOC_SIZE(request), "Sceau Virtual Key");
    return errno = EINVAL, -1;
}

#define FSTAT(name, type)                                            \
    int name(int fd, struct type *status) {                          \
        int result = NEXT(name)(fd, status);                         \
        if (!result && known(fd)) status->st_mode = S_IFCHR | 0600;  \
        return result;                                               \
    }
FSTAT(fstat, stat)
FSTAT(fstat64, stat64)
