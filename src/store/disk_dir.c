#include "store/disk_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <sys/vfs.h>
#include <unistd.h>

#include "store/disk_posix.h"

/* The first format has one store. */
enum { FORMAT_ONE = 1, FORMAT = 2, TEXT_MAX = 256 };

/* File systems over a network: their locks and maps do not keep what we rely on. */
static const struct {
    uint32_t type;
    const char *name;
} network[] = {
    {0x6969, "NFS"},        {0x517b, "SMB"},      {0xff534d42, "CIFS"}, {0xfe534d42, "SMB"},
    {0x5346414f, "AFS"},    {0x00c36400, "Ceph"}, {0x01021997, "9p"},   {0x73757245, "Coda"},
    {0x0bd00bd0, "Lustre"}, {0x47504653, "GPFS"}, {0x6b414653, "AFS"},
};

static int refuse_network(const struct disk_dir *dir, struct buf *error_text)
{
    struct statfs stat;
    if (fstatfs(dir->fd, &stat) != 0)
        return 0;
    for (size_t i = 0; i < ARRAY_SIZE(network); i++) {
        if ((uint32_t)stat.f_type != network[i].type)
            continue;
        buf_printf(error_text,
                   "%s is on a network file system (%s), where locks and memory maps are not "
                   "reliable: use a directory on a local disk",
                   dir->path, network[i].name);
        return ERR_REFUSED;
    }
    return 0;
}

static int say_errno(struct buf *error_text, const char *what, const char *path)
{
    int error = errno;
    buf_printf(error_text, "cannot %s %s: %s", what, path, strerror(error));
    return error == ENOSPC || error == EDQUOT ? ERR_DISK_FULL : ERR_IO;
}

/* Does the directory hold anything that a store does not begin with? Its name goes to RET_NAME. */
static bool has_foreign(const struct disk_dir *dir, char ret_name[TEXT_MAX])
{
    static const char *const own[] = {".", "..", "LOCK", "format.new", "lost+found"};
    int fd = dup(dir->fd);
    DIR *stream = fd < 0 ? NULL : fdopendir(fd);
    bool foreign = false;
    if (stream)
        rewinddir(stream);
    for (struct dirent *entry; stream && !foreign && (entry = readdir(stream));) {
        foreign = true;
        for (size_t i = 0; i < ARRAY_SIZE(own); i++)
            foreign = foreign && strcmp(entry->d_name, own[i]) != 0;
        if (foreign)
            snprintf(ret_name, TEXT_MAX, "%s", entry->d_name);
    }
    if (stream)
        closedir(stream);
    return foreign;
}

/* Read DIR/format: 0, ERR_NOT_FOUND, ERR_REFUSED. */
static int format_read(struct disk_dir *dir, struct buf *error_text)
{
    int fd = openat(dir->fd, "format", O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return errno == ENOENT ? ERR_NOT_FOUND : say_errno(error_text, "read format in", dir->path);
    char text[TEXT_MAX] = "";
    ssize_t size = read(fd, text, sizeof(text) - 1);
    close(fd);
    unsigned version = 0;
    unsigned long long segment_size = 0;
    if (size <= 0 || sscanf(text, "kvring %u", &version) != 1 || version == 0) {
        buf_printf(error_text,
                   "%s/format is not kvring's: use another directory, or restore the file",
                   dir->path);
        return ERR_REFUSED;
    }
    if (version > FORMAT) {
        buf_printf(error_text,
                   "%s was written by a newer kvring (format %u, this one knows %u): run that "
                   "version, or an empty directory",
                   dir->path, version, (unsigned)FORMAT);
        return ERR_REFUSED;
    }
    unsigned stores = 1;
    int fields = sscanf(text, "kvring %u segment %llu stores %u", &version, &segment_size, &stores);
    if (fields != (version == FORMAT_ONE ? 2 : 3) || segment_size < 4096 ||
        segment_size % 4096 != 0 || segment_size > 1ull << 31 || stores == 0 ||
        stores > STORES_MAX || (stores & (stores - 1)) != 0) {
        buf_printf(error_text, "%s/format is damaged: restore the file", dir->path);
        return ERR_CORRUPT;
    }
    dir->segment_size = segment_size;
    dir->stores = stores;
    return 0;
}

/* Whole or not at all: under another name first. */
static int format_write(const struct disk_dir *dir, struct buf *error_text)
{
    char text[TEXT_MAX];
    int size = snprintf(text, sizeof(text), "kvring %u segment %llu",
                        (unsigned)(dir->stores == 1 ? FORMAT_ONE : FORMAT),
                        (unsigned long long)dir->segment_size);
    if (dir->stores > 1)
        size += snprintf(text + size, sizeof(text) - (size_t)size, " stores %u", dir->stores);
    text[size++] = '\n';
    int fd = openat(dir->fd, "format.new", O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (fd < 0)
        return say_errno(error_text, "write format in", dir->path);
    bool written = write(fd, text, (size_t)size) == size && fsync(fd) == 0;
    if (close(fd) != 0 || !written || renameat(dir->fd, "format.new", dir->fd, "format") != 0 ||
        fsync(dir->fd) != 0)
        return say_errno(error_text, "write format in", dir->path);
    return 0;
}

static int lock(struct disk_dir *dir, struct buf *error_text)
{
    dir->lock_fd = openat(dir->fd, "LOCK", O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (dir->lock_fd < 0)
        return say_errno(error_text, "open LOCK in", dir->path);
    char pid[32] = "";
    if (flock(dir->lock_fd, LOCK_EX | LOCK_NB) != 0) {
        if (errno != EWOULDBLOCK)
            return say_errno(error_text, "lock", dir->path);
        ssize_t size = read(dir->lock_fd, pid, sizeof(pid) - 1);
        buf_printf(error_text,
                   "%s is in use by another process%s%.*s: stop that one first, or use another "
                   "directory",
                   dir->path, size > 1 ? ", pid " : "", size > 1 ? (int)size - 1 : 0, pid);
        return ERR_REFUSED;
    }
    int size = snprintf(pid, sizeof(pid), "%ld\n", (long)getpid());
    if (ftruncate(dir->lock_fd, 0) != 0 || pwrite(dir->lock_fd, pid, (size_t)size, 0) != size)
        return say_errno(error_text, "write LOCK in", dir->path);
    return 0;
}

static int open_directory(struct disk_dir *dir, bool existing, struct buf *error_text)
{
    if (!existing && mkdir(dir->path, 0700) != 0 && errno != EEXIST)
        return say_errno(error_text, "make directory", dir->path);
    dir->fd = open(dir->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir->fd < 0)
        return say_errno(error_text, "open directory", dir->path);
    return 0;
}

static int check(struct disk_dir *dir, uint64_t segment_size, uint32_t stores, bool existing,
                 struct buf *error_text)
{
    int error = open_directory(dir, existing, error_text);
    if (error == 0)
        error = refuse_network(dir, error_text);
    if (error)
        return error;
    int format = format_read(dir, error_text);
    if (format != 0 && format != ERR_NOT_FOUND)
        return format;
    char foreign[TEXT_MAX];
    if (format == ERR_NOT_FOUND && (existing || has_foreign(dir, foreign))) {
        if (existing)
            buf_printf(error_text, "%s holds no store of kvring", dir->path);
        else
            buf_printf(error_text,
                       "%s is neither empty nor a store of kvring (it holds %s): use an empty "
                       "directory",
                       dir->path, foreign);
        return ERR_REFUSED;
    }
    struct stat stat;
    if (fstat(dir->fd, &stat) != 0 || ((stat.st_mode & 0777) != 0700 && fchmod(dir->fd, 0700) != 0))
        return say_errno(error_text, "set mode 0700 of", dir->path);
    error = lock(dir, error_text);
    if (error || format == 0)
        return error;
    dir->fresh = true;
    dir->segment_size = segment_size;
    dir->stores = stores;
    return format_write(dir, error_text);
}

int disk_dir_open(struct disk_dir *dir, const char *path, uint64_t segment_size, uint32_t stores,
                  bool existing, struct buf *error_text)
{
    *dir = (struct disk_dir){.path = path, .fd = -1, .lock_fd = -1};
    int error = check(dir, segment_size, stores, existing, error_text);
    if (error)
        disk_dir_close(dir);
    return error;
}

void disk_dir_close(struct disk_dir *dir)
{
    if (dir->lock_fd >= 0)
        close(dir->lock_fd);
    if (dir->fd >= 0)
        close(dir->fd);
    dir->fd = dir->lock_fd = -1;
}

bool disk_posix_exists(const char *directory)
{
    struct disk_dir dir = {.path = directory};
    struct buf text = {0};
    dir.fd = open(directory, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    if (dir.fd < 0)
        return false;
    int error = format_read(&dir, &text);
    buf_done(&text);
    close(dir.fd);
    return error != ERR_NOT_FOUND;
}
