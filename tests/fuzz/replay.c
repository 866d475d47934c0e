/* Stands in for libFuzzer where it is not linked: runs every file of the given folders, then
 * mutations of them drawn from one seed (argument --seed N, default 1; --runs N, default 20,000).
 */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

enum { INPUT_SIZE_MAX = 1 << 16, INPUTS_MAX = 4096 };

struct input {
    uint8_t *data;
    size_t size;
};

static struct input inputs[INPUTS_MAX];
static size_t inputs_count;
static uint64_t state;

/* xorshift64* (Vigna, 2016). */
static uint64_t draw(uint64_t bound)
{
    state ^= state >> 12;
    state ^= state << 25;
    state ^= state >> 27;
    return (state * 0x2545f4914f6cdd1du >> 11) % bound;
}

/* An input of exactly its size, so that a sanitizer sees a read past its end. */
static void run(const uint8_t *data, size_t size)
{
    uint8_t *copy = malloc(size + 1);
    if (copy == NULL) {
        abort();
    }
    memcpy(copy, data, size);
    copy = realloc(copy, size > 0 ? size : 1);
    LLVMFuzzerTestOneInput(copy, size);
    free(copy);
}

static void add_input(const uint8_t *data, size_t size)
{
    if (inputs_count == INPUTS_MAX) {
        return;
    }
    struct input *input = &inputs[inputs_count++];
    input->data = malloc(size + 1);
    if (input->data == NULL) {
        abort();
    }
    memcpy(input->data, data, size);
    input->size = size;
}

static int compare_names(const struct dirent **a, const struct dirent **b)
{
    return strcmp((*a)->d_name, (*b)->d_name);
}

static void read_folder(const char *folder)
{
    static uint8_t data[INPUT_SIZE_MAX];
    struct dirent **names = NULL;
    int count = scandir(folder, &names, NULL, compare_names);
    for (int i = 0; i < count; i++) {
        char path[4096];
        snprintf(path, sizeof(path), "%s/%s", folder, names[i]->d_name);
        FILE *file = names[i]->d_name[0] != '.' ? fopen(path, "rb") : NULL;
        if (file != NULL) {
            add_input(data, fread(data, 1, sizeof(data), file));
            fclose(file);
        }
        free(names[i]);
    }
    free(names);
}

/* One small damage: a byte set, bits turned, a piece cut, doubled or made up. */
static size_t mutate(uint8_t *data, size_t size)
{
    size_t at = size > 0 ? draw(size) : 0;
    size_t piece = size > at ? 1 + draw(size - at) : 0;
    switch (draw(6)) {
    case 0:
        if (size > 0) {
            data[at] = (uint8_t)draw(256);
        }
        return size;
    case 1:
        if (size > 0) {
            data[at] ^= (uint8_t)(1u << draw(8));
        }
        return size;
    case 2:
        memmove(data + at, data + at + piece, size - at - piece);
        return size - piece;
    case 3:
        if (size + piece <= INPUT_SIZE_MAX) {
            memmove(data + at + piece, data + at, size - at);
            return size + piece;
        }
        return size;
    case 4:
        if (size + 8 <= INPUT_SIZE_MAX) {
            for (size_t i = 0; i < 8; i++) {
                data[size + i] = (uint8_t)draw(256);
            }
            return size + 8;
        }
        return size;
    default:
        if (size > 0) {
            memset(data + at, draw(2) == 0 ? 0 : 0xff, piece < 8 ? piece : 8);
        }
        return size;
    }
}

int main(int argc, char **argv)
{
    static uint8_t data[INPUT_SIZE_MAX];
    uint64_t seed = 1;
    uint64_t runs = 20000;
    for (int i = 1; i < argc; i++) {
        if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc) {
            seed = strtoull(argv[++i], NULL, 10);
        } else if (strcmp(argv[i], "--runs") == 0 && i + 1 < argc) {
            runs = strtoull(argv[++i], NULL, 10);
        } else {
            read_folder(argv[i]);
        }
    }
    for (size_t i = 0; i < inputs_count; i++) {
        run(inputs[i].data, inputs[i].size);
    }
    printf("%zu inputs, %llu mutations, seed %llu\n", inputs_count, (unsigned long long)runs,
           (unsigned long long)seed);
    fflush(stdout);
    state = seed * 2 + 1;
    add_input(data, 0);
    for (uint64_t i = 0; i < runs; i++) {
        const struct input *input = &inputs[draw(inputs_count)];
        size_t size = input->size;
        memcpy(data, input->data, size);
        for (uint64_t times = 1 + draw(4); times > 0; times--) {
            size = mutate(data, size);
        }
        run(data, size);
    }
    for (size_t i = 0; i < inputs_count; i++) {
        free(inputs[i].data);
    }
    return 0;
}
