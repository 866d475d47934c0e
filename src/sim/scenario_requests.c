/* The clients of a story: what they ask, and what they are told. */
#include "base/error.h"
#include "sim/ledger.h"
#include "sim/scenario_own.h"
#include "sim/workload.h"

bool story_answered(struct story *story)
{
    for (uint32_t i = 0; i < CALLS_MAX; i++)
        if (story->calls[i].open)
            return false;
    return true;
}

static void show_values(struct story *story, const struct story_call *call,
                        const struct answer *answer)
{
    struct buf text = {0};
    struct arena arena = {0};
    struct object object;
    buf_printf(&text, "client: %s:", call->text);
    int error = answer->error;
    bool shows = call->method == METHOD_GET || call->method == METHOD_EDIT;
    if (error == 0 && shows)
        error = object_read(answer->object, answer->hlc, answer->drops, &arena, &object);
    if (error < 0)
        buf_printf(&text, " %s", error_word(error));
    else if (!shows)
        buf_printf(&text, " stored on %u of %u copies%s", answer->got, answer->slots,
                   answer->sloppy ? ", sloppily" : "");
    else
        for (uint32_t i = 0; i < object.count; i++)
            buf_printf(&text, " %.*s", (int)object.siblings[i].value.size,
                       (const char *)object.siblings[i].value.data);
    buf_append_byte(&text, 0);
    story_print(story, (const char *)text.data);
    buf_done(&text);
    arena_done(&arena);
}

static void on_answer(struct world *world, struct host_call *call, const struct answer *answer)
{
    struct story_call *mine = (struct story_call *)call;
    struct buf *context = &mine->story->context;
    mine->open = false;
    if (answer != NULL && mine->method == METHOD_GET) {
        buf_clear(context);
        if (object_context(answer->object, world->cluster.hash_seed, mine->bucket, mine->key,
                           context) < 0)
            buf_clear(context);
    }
    if (answer != NULL) {
        show_values(mine->story, mine, answer);
        return;
    }
    char text[LINE_SIZE + 40];
    snprintf(text, sizeof(text), "client: %s: the connection broke", mine->text);
    story_print(mine->story, text);
}

/* The key that WORD names, k5 or s5; false: story->error says that it is none. */
bool story_key(struct story *story, const char *word, struct story_key *ret_key)
{
    bool siblings = word != NULL && word[0] == 's';
    if (word == NULL || (word[0] != 'k' && !siblings)) {
        story->error = "keys are k0 to k63, and s0 to s63";
        return false;
    }
    enum policy policy = siblings ? POLICY_SIBLINGS : POLICY_NEWEST;
    uint32_t number = story_number(story, word + 1, KEYS_MAX - 1);
    if (story->error != NULL)
        return false;
    *ret_key = (struct story_key){
        .bucket = ledger_bucket(policy),
        .key = workload_key(&story->world, policy, number),
        .last_write = &story->last_writes[siblings][number],
    };
    return true;
}

/* The kind of request that WORD names; METHOD_SCAN: none of a story. */
static enum method method_named(const char *word)
{
    static const char *const names[] = {"", "get", "put", "delete"};
    for (uint32_t i = METHOD_GET; word != NULL && i <= METHOD_DELETE; i++)
        if (strcmp(word, names[i]) == 0)
            return (enum method)i;
    return word != NULL && strcmp(word, "add") == 0 ? METHOD_EDIT : METHOD_SCAN;
}

/* What may stand before a request. */
struct manner {
    bool begins; /* Nobody waits for the answer. */
    bool sloppy;
    bool follows; /* With the context of the last get. */
    bool retries; /* Under the name of the last write of the key. */
};

static char **manner_of(char **words, struct manner *ret_manner)
{
    *ret_manner = (struct manner){0};
    for (;; words++) {
        const char *word = words[0] == NULL ? "" : words[0];
        if (strcmp(word, "begin") == 0)
            ret_manner->begins = true;
        else if (strcmp(word, "sloppy") == 0)
            ret_manner->sloppy = true;
        else if (strcmp(word, "follow") == 0)
            ret_manner->follows = true;
        else if (strcmp(word, "retry") == 0)
            ret_manner->retries = true;
        else
            return words;
    }
}

bool story_is_request(char **words)
{
    struct manner manner;
    return method_named(manner_of(words, &manner)[0]) != METHOD_SCAN;
}

static struct story_call *unused_call(struct story *story)
{
    for (uint32_t i = 0; i < CALLS_MAX; i++)
        if (!story->calls[i].open)
            return &story->calls[i];
    return NULL;
}

/* Under which name the client asks: 0 none. False: story->error says why there is none. */
static bool name_of(struct story *story, const struct manner *manner, enum method method,
                    uint64_t *last_write, uint64_t *ret_name)
{
    bool writes = method == METHOD_PUT || method == METHOD_DELETE;
    if (manner->retries && (!writes || *last_write == 0)) {
        story->error = "there is nothing to retry";
        return false;
    }
    if (writes && !manner->retries)
        *last_write = ++story->writes;
    *ret_name = writes ? *last_write : 0;
    return true;
}

bool story_request(struct story *story, char **words)
{
    struct manner manner;
    words = manner_of(words, &manner);
    enum method method = method_named(words[0]);
    struct host *host = story_host(story, words[1]);
    if (host == NULL)
        return false;
    struct story_call *call = unused_call(story);
    struct story_key key;
    uint64_t name;
    if (call == NULL) {
        story->error = "too many requests are under way";
        return false;
    }
    if (method == METHOD_PUT && (words[2] == NULL || words[3] == NULL)) {
        story->error = "put NODE KEY VALUE";
        return false;
    }
    if (!story_key(story, words[2], &key) ||
        !name_of(story, &manner, method, key.last_write, &name))
        return false;
    *call = (struct story_call){.call.done = on_answer,
                                .story = story,
                                .method = method,
                                .bucket = key.bucket,
                                .key = key.key};
    snprintf(call->text, sizeof(call->text), "%s %s", words[0], words[2]);
    struct request asked = {
        .method = method,
        .bucket = key.bucket,
        .key = key.key,
        .context = manner.follows ? buf_slice(&story->context) : SLICE_NONE,
        .value = method == METHOD_PUT ? slice_string(words[3]) : SLICE_NONE,
        .r = CONSISTENCY_QUORUM,
        .w = CONSISTENCY_QUORUM,
        .strict = !manner.sloppy,
        .client = name > 0,
        .sequence = name,
    };
    if (method == METHOD_EDIT)
        asked.edit = (struct edit){.kind = EDIT_ADD, .number = 1};
    call->open = host_request(host, &call->call, &asked);
    if (!call->open)
        story_print(story, "client: nobody listens there");
    return manner.begins || story_wait(story, story_answered);
}

/* `fill a`: enough that stores with little memory write to their databases what they have in it. */
bool story_fill(struct story *story, char **words)
{
    enum { FIRST = 50, COUNT = 10, SIZE = 400 };
    char value[SIZE + 1] = {0};
    memset(value, '.', SIZE);
    for (uint32_t i = 0; i < COUNT; i++) {
        char key[8];
        snprintf(key, sizeof(key), "k%u", FIRST + i);
        char *put[] = {"begin", "put", words[0], key, value, NULL};
        if (!story_request(story, put))
            return false;
    }
    return true;
}
