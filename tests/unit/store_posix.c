/* The store on real files: it keeps what it was given, and refuses what it must not touch. */
#include "store_rig.h"

#include <dirent.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <sys/stat.h>
#include <unistd.h>

#include "store/disk_posix.h"

struct place {
    char directory[64];
    struct rig rig;
};

enum { SEGMENT = 64 * 1024 };

static void remove_tree(const char *path)
{
    DIR *stream = opendir(path);
    char name[512];
    for (struct dirent *entry; stream && (entry = readdir(stream));) {
        if (strcmp(entry->d_name, ".") == 0 || strcmp(entry->d_name, "..") == 0)
            continue;
        snprintf(name, sizeof(name), "%s/%s", path, entry->d_name);
        if (entry->d_type == DT_DIR)
            remove_tree(name);
        else
            unlink(name);
    }
    if (stream)
        closedir(stream);
    rmdir(path);
}

static void place_make(struct place *place)
{
    *place = (struct place){.directory = "/tmp/kvring-store-XXXXXX"};
    cr_assert(mkdtemp(place->directory));
}

static int place_disk(struct place *place)
{
    struct disk_posix_options options = {
        .directory = place->directory, .segment_size = SEGMENT, .map_size = 1 << 30};
    buf_clear(&place->rig.error_text);
    return disk_posix_open(&options, &place->rig.disk, &place->rig.error_text);
}

static void place_open(struct place *place)
{
    int error = place_disk(place);
    cr_assert_eq(error, 0, "%.*s", (int)place->rig.error_text.size,
                 (const char *)place->rig.error_text.data);
    cr_assert_eq(rig_open(&place->rig), 0);
}

static void place_end(struct place *place)
{
    remove_tree(place->directory);
    buf_done(&place->rig.error_text);
    arena_done(&place->rig.arena);
}

/* Let the disk work until DONE says so. */
static void await(struct rig *rig, bool (*done)(struct rig *rig, uint64_t arg), uint64_t arg)
{
    store_flush(rig->store);
    for (int i = 0; i < 100000 && !done(rig, arg); i++) {
        struct pollfd fd = {.fd = disk_fd(rig->disk), .events = POLLIN};
        poll(&fd, 1, 1);
        rig->now.us += 1000;
        store_poll(rig->store, rig->now);
        cr_assert(!rig->failed, "%s", rig->failed_text);
    }
    cr_assert(done(rig, arg));
}

static bool is_synced(struct rig *rig, uint64_t position)
{
    return rig->synced >= position;
}

static bool is_stopped(struct rig *rig, uint64_t arg)
{
    (void)arg;
    return store_stopped(rig->store);
}

static bool has_checkpoints(struct rig *rig, uint64_t count)
{
    struct store_stats stats;
    store_stats(rig->store, &stats);
    return stats.checkpoints >= count;
}

static void fill(struct rig *rig, int from, int to)
{
    char key[16];
    char value[128];
    for (int i = from; i < to; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        snprintf(value, sizeof(value), "%0100d", i);
        cr_assert_eq(rig_put(rig, key, value, 1), 0);
    }
}

static void check(struct rig *rig, int from, int to)
{
    char key[16];
    char value[128];
    for (int i = from; i < to; i++) {
        snprintf(key, sizeof(key), "key%d", i);
        snprintf(value, sizeof(value), "%0100d", i);
        cr_assert(rig_has(rig, key, value), "%s", key);
    }
}

Test(store_posix, keeps_what_was_synced)
{
    struct place place;
    place_make(&place);
    place_open(&place);
    struct rig *rig = &place.rig;
    fill(rig, 0, 100);
    await(rig, is_synced, rig->done.position);
    rig_close(rig);
    disk_close(rig->disk);
    place_open(&place);
    cr_assert(!rig->recovered.clean);
    check(rig, 0, 100);
    cr_assert_eq(rig_verify(rig), 100);
    rig_close(rig);
    disk_close(rig->disk);
    place_end(&place);
}

Test(store_posix, checkpoints_recycle_the_log)
{
    struct place place;
    place_make(&place);
    place_open(&place);
    struct rig *rig = &place.rig;
    for (int i = 0; i < 8; i++) {
        fill(rig, i * 2000, i * 2000 + 2000);
        await(rig, is_synced, rig->done.position);
        await(rig, has_checkpoints, (uint64_t)i + 1);
    }
    cr_assert(rig->disk->slots < 20, "%u segments", rig->disk->slots);
    check(rig, 0, 16000);
    cr_assert_eq(rig_verify(rig), 16000);
    rig_close(rig);
    disk_close(rig->disk);
    place_open(&place);
    check(rig, 0, 16000);
    cr_assert_eq(rig_verify(rig), 16000);
    rig_close(rig);
    disk_close(rig->disk);
    place_end(&place);
}

Test(store_posix, clean_stop_is_known_and_replays_nothing)
{
    struct place place;
    place_make(&place);
    place_open(&place);
    struct rig *rig = &place.rig;
    fill(rig, 0, 300);
    store_stop(rig->store);
    await(rig, is_stopped, 0);
    rig_close(rig);
    disk_close(rig->disk);
    place_open(&place);
    cr_assert(rig->recovered.clean);
    cr_assert(rig->recovered.replayed_bytes < 200);
    check(rig, 0, 300);
    cr_assert_eq(rig_verify(rig), 300);
    rig_close(rig);
    disk_close(rig->disk);
    place_open(&place);
    cr_assert(!rig->recovered.clean, "the mark holds for one start");
    rig_close(rig);
    disk_close(rig->disk);
    place_end(&place);
}

Test(store_posix, long_keys_and_large_values)
{
    struct place place;
    place_make(&place);
    place_open(&place);
    struct rig *rig = &place.rig;
    char *key = malloc(KEY_SIZE_MAX + 1);
    memset(key, 'k', KEY_SIZE_MAX);
    key[KEY_SIZE_MAX] = 0;
    cr_assert_eq(rig_put(rig, key, "long", 1), ERR_TOO_LARGE, "past these small segments");
    key[600] = 0;
    cr_assert_eq(rig_put(rig, key, "of 600", 1), 0);
    key[599] = 'x';
    cr_assert_eq(rig_put(rig, key, "another of 600", 1), 0);
    char *value = malloc(50001);
    memset(value, 'v', 50000);
    value[50000] = 0;
    cr_assert_eq(rig_put(rig, "large", value, 1), 0);
    for (int i = 0; i < 2; i++) {
        store_stop(rig->store);
        await(rig, is_stopped, 0);
        rig_close(rig);
        disk_close(rig->disk);
        place_open(&place);
        cr_assert(rig_has(rig, key, "another of 600"));
        cr_assert(rig_has(rig, "large", value));
        key[599] = 'k';
        cr_assert(rig_has(rig, key, "of 600"));
        key[599] = 'x';
        cr_assert_eq(rig_verify(rig), 3);
        cr_assert_eq(rig_put(rig, key, "another of 600", (uint64_t)i + 2), 0);
    }
    free(key);
    free(value);
    rig_close(rig);
    disk_close(rig->disk);
    place_end(&place);
}

static bool says(const struct rig *rig, const char *words)
{
    char text[1024];
    snprintf(text, sizeof(text), "%.*s", (int)rig->error_text.size,
             (const char *)rig->error_text.data);
    return strstr(text, words) != NULL;
}

static void write_file(const struct place *place, const char *name, const char *text)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", place->directory, name);
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    cr_assert(fd >= 0 && write(fd, text, strlen(text)) == (ssize_t)strlen(text));
    close(fd);
}

Test(store_posix, directory_in_use_is_refused)
{
    struct place place;
    place_make(&place);
    place_open(&place);
    struct rig *rig = &place.rig;
    struct stat stat_buf;
    cr_assert_eq(stat(place.directory, &stat_buf), 0);
    cr_assert_eq(stat_buf.st_mode & 0777, 0700u);
    struct disk *first = rig->disk;
    cr_assert_eq(place_disk(&place), ERR_REFUSED);
    cr_assert(says(rig, "in use"));
    cr_assert(says(rig, "stop that one"));
    rig->disk = first;
    rig_close(rig);
    disk_close(rig->disk);
    place_open(&place);
    rig_close(rig);
    disk_close(rig->disk);
    place_end(&place);
}

Test(store_posix, foreign_and_newer_directories_are_refused)
{
    struct place place;
    place_make(&place);
    write_file(&place, "photo.jpg", "not ours");
    cr_assert_eq(place_disk(&place), ERR_REFUSED);
    cr_assert(says(&place.rig, "photo.jpg"));
    write_file(&place, "format", "something else\n");
    cr_assert_eq(place_disk(&place), ERR_REFUSED);
    write_file(&place, "format", "kvring 3 segment 65536 and more\n");
    cr_assert_eq(place_disk(&place), ERR_REFUSED);
    cr_assert(says(&place.rig, "newer"));
    place_end(&place);
}

static void read_file(const struct place *place, const char *name, char text[256])
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", place->directory, name);
    FILE *file = fopen(path, "r");
    cr_assert(file);
    text[fread(text, 1, 255, file)] = 0;
    fclose(file);
}

/* 0 or the error of opening two stores, of which the rig has the second. */
static int place_open_two(struct place *place, uint32_t wanted, struct store *stores[2])
{
    struct store_recovered recovered[2];
    struct rig *rig = &place->rig;
    struct disk_posix_options options = {.directory = place->directory,
                                         .segment_size = SEGMENT,
                                         .stores = wanted,
                                         .map_size = 1 << 30};
    rig_options(rig);
    struct store_options both[2] = {rig->options, rig->options};
    buf_clear(&rig->error_text);
    int error = disk_posix_open(&options, &rig->disk, &rig->error_text);
    if (error)
        return error;
    cr_assert_eq(rig->disk->stores, 2);
    error = stores_open(both, rig->disk, stores, recovered, &rig->error_text);
    rig->store = error ? NULL : stores[1];
    rig->recovered = recovered[1];
    return error;
}

static void close_two(struct place *place, struct store *stores[2])
{
    store_close(stores[0]);
    store_close(stores[1]);
    place->rig.store = NULL;
    disk_close(place->rig.disk);
}

Test(store_posix, a_directory_keeps_its_number_of_stores)
{
    struct place place;
    struct store *stores[2];
    char text[256];
    char key[16] = "key";
    place_make(&place);
    cr_assert_eq(place_open_two(&place, 2, stores), 0);
    for (uint32_t i = 0; store_of_hash(rig_op(STORE_READ, key).hash, 2) != 1; i++)
        snprintf(key, sizeof(key), "key%u", i);
    cr_assert_eq(rig_put(&place.rig, key, "v", 1), 0);
    uint64_t position = place.rig.done.position;
    await(&place.rig, is_synced, position);
    close_two(&place, stores);
    read_file(&place, "format", text);
    cr_assert_str_eq(text, "kvring 2 segment 65536 stores 2\n");
    cr_assert_eq(place_open_two(&place, 4, stores), 0, "what it was made with counts");
    cr_assert(rig_has(&place.rig, key, "v"));
    close_two(&place, stores);
    write_file(&place, "format", "kvring 2 segment 65536 stores 3\n");
    cr_assert_eq(place_open_two(&place, 0, stores), ERR_CORRUPT);
    cr_assert(says(&place.rig, "format is damaged"));
    write_file(&place, "format", "kvring 2 segment 65536 stores 2\n");
    write_file(&place, "db-1/data.mdb", "of no use");
    cr_assert_eq(place_open_two(&place, 0, stores), ERR_CORRUPT);
    cr_assert(says(&place.rig, "db-1/data.mdb"));
    place_end(&place);
}

Test(store_posix, one_store_is_laid_out_as_ever)
{
    struct place place;
    char text[256];
    place_make(&place);
    place_open(&place);
    rig_close(&place.rig);
    disk_close(place.rig.disk);
    read_file(&place, "format", text);
    cr_assert_str_eq(text, "kvring 1 segment 65536\n");
    read_file(&place, "db/data.mdb", text);
    place_end(&place);
}

Test(store_posix, existing_means_existing)
{
    struct place place;
    place_make(&place);
    struct disk_posix_options options = {.directory = place.directory, .existing = true};
    cr_assert(!disk_posix_exists(place.directory));
    cr_assert_eq(disk_posix_open(&options, &place.rig.disk, &place.rig.error_text), ERR_REFUSED);
    place_open(&place);
    cr_assert(disk_posix_exists(place.directory));
    rig_close(&place.rig);
    disk_close(place.rig.disk);
    place_end(&place);
}

static void truncate_file(const struct place *place, const char *name, off_t size)
{
    char path[128];
    snprintf(path, sizeof(path), "%s/%s", place->directory, name);
    cr_assert_eq(truncate(path, size), 0);
}

Test(store_posix, truncated_files_are_refused)
{
    struct place place;
    place_make(&place);
    place_open(&place);
    struct rig *rig = &place.rig;
    fill(rig, 0, 2000);
    store_stop(rig->store);
    await(rig, is_stopped, 0);
    rig_close(rig);
    disk_close(rig->disk);
    truncate_file(&place, "db/data.mdb", 5 * 4096);
    cr_assert_eq(place_disk(&place), ERR_CORRUPT);
    cr_assert(says(rig, "truncated"));
    cr_assert_eq(place_disk(&place), ERR_CORRUPT, "and again: the file was put back");
    truncate_file(&place, "db/data.mdb", 4096);
    cr_assert_eq(place_disk(&place), ERR_CORRUPT);
    truncate_file(&place, "db/data.mdb", 0);
    cr_assert_eq(place_disk(&place), 0);
    cr_assert_eq(rig_open(rig), ERR_CORRUPT, "a log without its database");
    cr_assert(says(rig, "database is empty or gone"));
    disk_close(rig->disk);
    truncate_file(&place, "log/0000", SEGMENT - 4096);
    cr_assert_eq(place_disk(&place), ERR_CORRUPT);
    cr_assert(says(rig, "log/0000"));
    place_end(&place);
}
