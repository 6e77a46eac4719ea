// Loaded into a node with LD_PRELOAD by the tests of clusters: gives one process a wall clock that jumps, a disk that is slow, and
// one that is full, while the test says so, and without privileges. FAULT_SHIM_FILE names a file of three 64-bit numbers, which the
// test changes while the process runs:
//
//   nanoseconds that the wall clock is ahead; clocks that count elapsed time are left alone
//   microseconds that each sync of a file takes longer
//   1 while nothing can be written to files that needs new blocks
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <time.h>
#include <unistd.h>

static volatile int64_t none[3];
static volatile int64_t *orders = none;

__attribute__((constructor)) static void open_orders(void) {
    const char *path = getenv("FAULT_SHIM_FILE");
    int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
    if (file < 0) return;
    void *mapped = mmap(NULL, sizeof none, PROT_READ, MAP_SHARED, file, 0);
    close(file);
    if (mapped != MAP_FAILED) orders = mapped;
}

#define REAL(name) \
    static __typeof__(&name) real; \
    if (!real) real = (__typeof__(&name))dlsym(RTLD_NEXT, #name)

// MARK: The wall clock

int clock_gettime(clockid_t clock, struct timespec *time) {
    REAL(clock_gettime);
    int result = real(clock, time);
    int64_t ahead = orders[0];
    if (result == 0 && ahead != 0 && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE)) {
        int64_t nanoseconds = (int64_t)time->tv_sec * 1000000000 + time->tv_nsec + ahead;
        time->tv_sec = nanoseconds / 1000000000;
        time->tv_nsec = nanoseconds % 1000000000;
    }
    return result;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone) {
    (void)zone;
    struct timespec now;
    if (clock_gettime(CLOCK_REALTIME, &now) != 0) return -1;
    time->tv_sec = now.tv_sec;
    time->tv_usec = now.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *seconds) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    if (seconds) *seconds = now.tv_sec;
    return now.tv_sec;
}

// MARK: A slow disk

static void wait_for_disk(void) {
    for (int64_t left = orders[1]; left > 0 && orders[1] > 0; left -= 10000) usleep(left < 10000 ? left : 10000);
}

int fsync(int file) {
    REAL(fsync);
    wait_for_disk();
    return real(file);
}

int fdatasync(int file) {
    REAL(fdatasync);
    wait_for_disk();
    return real(file);
}

int msync(void *start, size_t length, int flags) {
    REAL(msync);
    wait_for_disk();
    return real(start, length, flags);
}

// MARK: A full disk

// Whether bytes that end at `end` need blocks that the file does not have.
static int lacks_space(int file, off_t end) {
    if (!orders[2]) return 0;
    struct stat status;
    if (fstat(file, &status) != 0 || !S_ISREG(status.st_mode)) return 0;
    if (end <= status.st_size && (int64_t)status.st_blocks * 512 >= status.st_size) return 0;
    errno = ENOSPC;
    return 1;
}

static off_t place(int file) { return fcntl(file, F_GETFL) & O_APPEND ? lseek(file, 0, SEEK_END) : lseek(file, 0, SEEK_CUR); }

static off_t total(const struct iovec *pieces, int count) {
    off_t sum = 0;
    for (int number = 0; number < count; number++) sum += pieces[number].iov_len;
    return sum;
}

ssize_t write(int file, const void *bytes, size_t count) {
    REAL(write);
    if (orders[2] && lacks_space(file, place(file) + count)) return -1;
    return real(file, bytes, count);
}

ssize_t writev(int file, const struct iovec *pieces, int count) {
    REAL(writev);
    if (orders[2] && lacks_space(file, place(file) + total(pieces, count))) return -1;
    return real(file, pieces, count);
}

ssize_t pwrite(int file, const void *bytes, size_t count, off_t offset) {
    REAL(pwrite);
    if (lacks_space(file, offset + count)) return -1;
    return real(file, bytes, count, offset);
}

ssize_t pwrite64(int file, const void *bytes, size_t count, off64_t offset) {
    REAL(pwrite64);
    if (lacks_space(file, offset + count)) return -1;
    return real(file, bytes, count, offset);
}

ssize_t pwritev(int file, const struct iovec *pieces, int count, off_t offset) {
    REAL(pwritev);
    if (lacks_space(file, offset + total(pieces, count))) return -1;
    return real(file, pieces, count, offset);
}

int statvfs(const char *restrict path, struct statvfs *restrict status) {
    REAL(statvfs);
    int result = real(path, status);
    if (result == 0 && orders[2]) status->f_bavail = status->f_bfree = 0;
    return result;
}

int fstatvfs(int file, struct statvfs *status) {
    REAL(fstatvfs);
    int result = real(file, status);
    if (result == 0 && orders[2]) status->f_bavail = status->f_bfree = 0;
    return result;
}
