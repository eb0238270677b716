/* Makes the disk under one folder fail with EIO for a process, as a real one does: by the answer to a write or
 * to a sync. The kernel's own means (device mapper, fault injection) are not in every kernel, and a file system
 * of our own would want more than a compiler.
 *
 * What is to fail is in a file that is mapped, so that it can change while the process runs. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/uio.h>
#include <unistd.h>

enum { NOTHING, WRITES, SYNCS_OF_FILES, SYNCS_OF_FOLDERS };

static const volatile int64_t *failing;
static const char *folder;
static ssize_t (*real_write)(int, const void *, size_t);
static ssize_t (*real_writev)(int, const struct iovec *, int);
static int (*real_fsync)(int);
static int (*real_fdatasync)(int);

__attribute__((constructor)) static void begin(void) {
    real_write = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    real_writev = (ssize_t (*)(int, const struct iovec *, int))dlsym(RTLD_NEXT, "writev");
    real_fsync = (int (*)(int))dlsym(RTLD_NEXT, "fsync");
    real_fdatasync = (int (*)(int))dlsym(RTLD_NEXT, "fdatasync");
    folder = getenv("SHIM_FOLDER");
    const char *path = getenv("SHIM_CONTROL");
    int file = folder && path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) abort();
    void *mapped = mmap(NULL, sizeof *failing, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped == MAP_FAILED) abort();
    failing = mapped;
}

static int is_below_folder(int file) {
    char link[64], path[4096];
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    ssize_t length = readlink(link, path, sizeof path - 1);
    if (length < 0) return 0;
    path[length] = 0;
    size_t prefix = strlen(folder);
    return strncmp(path, folder, prefix) == 0 && (path[prefix] == '/' || path[prefix] == 0);
}

static int is_failing(int what, int file) { return failing && *failing == what && is_below_folder(file); }

static int fail(void) {
    errno = EIO;
    return -1;
}

ssize_t write(int file, const void *bytes, size_t length) {
    if (!real_write) begin();
    return is_failing(WRITES, file) ? fail() : real_write(file, bytes, length);
}

ssize_t writev(int file, const struct iovec *parts, int count) {
    if (!real_writev) begin();
    return is_failing(WRITES, file) ? fail() : real_writev(file, parts, count);
}

/* Whether an earlier sync has lost the file: Parquet begins with PAR1. The descriptor may be for writing only. */
static int is_lost(int file) {
    char link[64], first[4] = {1};
    snprintf(link, sizeof link, "/proc/self/fd/%d", file);
    int reading = open(link, O_RDONLY | O_CLOEXEC);
    if (reading < 0) abort();
    ssize_t length = pread(reading, first, sizeof first, 0);
    close(reading);
    return length == sizeof first && memcmp(first, "\0\0\0\0", sizeof first) == 0;
}

/* After a sync that failed the kernel takes the pages for clean: the data is gone, and the next sync succeeds.
 * So it is here: who syncs once more and goes on has a file of zeros. */
static int sync_or_lose(int file, int (*sync)(int)) {
    struct stat status;
    if (fstat(file, &status) != 0) return sync(file);
    if (S_ISDIR(status.st_mode)) return is_failing(SYNCS_OF_FOLDERS, file) ? fail() : sync(file);
    if (!is_failing(SYNCS_OF_FILES, file) || is_lost(file)) return sync(file);
    if (ftruncate(file, 0) != 0 || ftruncate(file, status.st_size) != 0) abort();
    return fail();
}

int fsync(int file) {
    if (!real_fsync) begin();
    return sync_or_lose(file, real_fsync);
}

int fdatasync(int file) {
    if (!real_fdatasync) begin();
    return sync_or_lose(file, real_fdatasync);
}
