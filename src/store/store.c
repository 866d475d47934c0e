/* Operations of the store: one key is read, merged and written in one step (store.h).
 *
 * What a put costs here: one look-up, the new object built in the log's buffer, one copy of it into
 * the memtable. What lies neither in a memtable nor in a page of the engine that is in memory is
 * waited for elsewhere (cold.h). Chunks of a transfer go through the log like other writes; values
 * lie whole in the engine's records. */
#include "store/store_private.h"

#include "base/rule.h"

void store_finish(struct store *store, const struct store_op *op, struct store_done *done)
{
    if (done->error == DISK_COLD) {
        cold_wait(store, op);
        return;
    }
    done->type = op->type;
    done->range = op->range;
    done->token = op->token;
    store->options.done(store->options.arg, done);
}

void store_finish_error(struct store *store, const struct store_op *op, int error)
{
    struct store_done done = {.error = error};
    store_finish(store, op, &done);
}

/* ------------------------------------------------------------------------ Building a record. */

enum { PAYLOAD_FIXED = 12 }; /* Digest delta, size before. */

struct draft draft_begin(struct store *store, struct slice path)
{
    struct draft draft = {.bytes = log_begin(&store->log)};
    draft.payload = draft.bytes->size;
    uint8_t *at = buf_reserve(draft.bytes, PAYLOAD_FIXED + BODY_OVERHEAD + path.size);
    store_u32(at + PAYLOAD_FIXED, (uint32_t)path.size);
    memcpy(at + PAYLOAD_FIXED + 4, path.data, path.size);
    draft.bytes->size += PAYLOAD_FIXED + BODY_OVERHEAD + path.size;
    draft.object = draft.bytes->size;
    return draft;
}

struct slice draft_object(const struct draft *draft)
{
    return slice_of(draft->bytes->data + draft->object, draft->bytes->size - draft->object);
}

/* The index of dead versions is to name the key of OBJECT. */
static void dead_note(struct store *store, uint64_t hash, struct slice object)
{
    uint64_t dead = object_dead_from(object);
    if (dead != UINT64_MAX)
        dead_put(&store_range_of(store, hash)->dead, &store->dead_entries, dead, hash);
}

struct cell *draft_commit(struct store *store, struct draft *draft, const struct found *found,
                          uint64_t digest, uint64_t delta, bool more, bool sync)
{
    uint8_t *at = draft->bytes->data + draft->payload;
    uint8_t *body = at + PAYLOAD_FIXED;
    struct slice path = slice_of(body + 4, load_u32(body));
    struct slice object = draft_object(draft);
    store_u64(at, delta);
    store_u32(at + 8, found->bytes);
    store_u64(body + 4 + path.size, body_checksum(path, object));
    struct cell *cell = cell_new(slice_of(body, BODY_OVERHEAD + path.size + object.size));
    cell->digest = digest;
    cell->base_digest = digest ^ delta;
    cell->base_bytes = found->bytes;
    cell->position = log_commit(&store->log, RECORD_OBJECT, more, sync);
    store_account(store, cell->hash, delta, found->bytes, cell_bytes(cell));
    store_place(store->active, cell);
    dead_note(store, cell->hash, cell_object(cell)); /* The log's buffer has moved on. */
    return cell;
}

static struct slice path_make(struct store *store, uint64_t hash, struct slice bucket,
                              struct slice key)
{
    buf_clear(&store->path);
    key_append(&store->path, hash, bucket, key);
    return buf_slice(&store->path);
}

/* --------------------------------------------------------------------------- What is refused. */

static bool is_stale(const struct store *store, const struct store_op *op)
{
    bool refused = RULE(STORE_REFUSES_OLD) && RULE(OLD_EPOCHS_REFUSED);
    if (op->range >= store_ranges_count(store) || !refused)
        return false;
    const struct range_state *state = &store->ranges[op->range];
    return store_epoch_compare(state, op->fork, op->nonce, op->epoch) < 0;
}

static int refuse_write(struct store *store, const struct store_op *op)
{
    if (store->range_bits == 0)
        return ERR_NOT_READY;
    if (is_stale(store, op))
        return ERR_WRONG_EPOCH;
    if (checkpoint_behind(store))
        return ERR_BUSY;
    if (!store->full)
        return 0;
    if (op->type == STORE_UPDATE)
        return op->update.tombstone ? 0 : ERR_DISK_FULL;
    return op->type == STORE_MERGE && store_is_delete(store, op->object) ? 0 : ERR_DISK_FULL;
}

/* Reads may leave the epoch open (0). */
int store_refuse_read(const struct store *store, const struct store_op *op)
{
    if (store->range_bits == 0)
        return ERR_NOT_READY;
    return op->epoch != 0 && is_stale(store, op) ? ERR_WRONG_EPOCH : 0;
}

/* ---------------------------------------------------------------- Writing over what is there. */

/* Write the draft of ENTRY's new object over FOUND, or cancel it. A damaged record that is written
 * over without being healed is marked, within the same group. Fills in RET's error, position,
 * changed and object. */
static void draft_end(struct store *store, struct draft *draft, const struct found *found,
                      const struct entry *entry, const struct manner *manner,
                      struct store_done *ret)
{
    struct damage *damage = found->damage;
    bool hole = found->hole != 0;
    uint64_t digest = object_digest(entry->hash, entry->bucket, entry->key, draft_object(draft));
    uint64_t delta = digest ^ found_digest(found, entry->hash, entry->bucket, entry->key);
    if (!log_fits(&store->log))
        ret->error = ERR_TOO_LARGE;
    else if (hole && !damage && !manner->heals)
        damage = damage_note(store, entry->hash, buf_slice(&store->path));
    if (ret->error == 0 && found->bad && !damage && !manner->heals)
        ret->error = ERR_UNREADABLE; /* Nobody would know what it lacks. */
    else if (ret->error == 0 && found->bad && !hole)
        ret->error = sums_over_bad(store, entry->hash, buf_slice(&store->path), digest, &delta);
    if (ret->error) {
        log_cancel(&store->log);
        return;
    }
    bool mark = found->bad && !manner->heals && RULE(DAMAGE_MARKED);
    bool unmark = manner->heals && damage_marked(damage);
    struct cell *cell = draft_commit(store, draft, found, digest, delta,
                                     manner->more || mark || unmark, manner->sync);
    ret->position = cell->position;
    if (mark)
        ret->position = damage_mark(store, damage, manner->more, manner->sync);
    else if (unmark)
        ret->position = damage_heal(store, damage, manner->more, manner->sync);
    else if (manner->heals && damage)
        damage_dismiss(store, damage);
    ret->changed = true;
    ret->object = cell_object(cell);
}

/* An actor that may have forgotten what it wrote to the key writes no more to it. */
static bool may_update(struct store *store, struct found *found, const struct store_op *op)
{
    if (found->hole != 0 && found->damage == NULL && op->renewed)
        found->damage = damage_note(store, op->hash, buf_slice(&store->path));
    struct damage *damage = found->damage;
    if (damage && op->renewed)
        damage->renewed = true;
    return damage && damage->renewed;
}

/* ------------------------------------------------------------------------------- Operations. */

/* Write what becomes of the object that was found behind the draft. */
static void make_object(struct store *store, const struct store_op *op, const struct found *found,
                        struct draft *draft, struct store_done *done)
{
    const struct update *update = &op->update;
    struct edited edited = {.changed = true};
    if (update->edit == NULL) {
        done->error = object_update(found->object, update, draft->bytes, &done->hlc);
    } else {
        arena_reset(&store->arena);
        done->error = object_edit(found->object, update, &store->arena, draft->bytes, &edited);
        done->hlc = edited.hlc;
        if (update->edit->earlier)
            done->earlier = arena_copy(&store->arena, found->object);
    }
    done->outcome = edited.outcome;
    done->changed = edited.changed;
}

static void do_update(struct store *store, const struct store_op *op)
{
    struct store_done done = {.error = refuse_write(store, op)};
    struct found found;
    struct slice path = path_make(store, op->hash, op->bucket, op->key);
    if (done.error == 0)
        done.error = store_find(store, op->hash, path, &found);
    if (done.error == 0 && found_unreadable(&found) && !may_update(store, &found, op))
        done.error = ERR_UNREADABLE;
    if (done.error) {
        store_finish(store, op, &done);
        return;
    }
    struct draft draft = draft_begin(store, path);
    make_object(store, op, &found, &draft, &done);
    if (done.error || !done.changed) {
        log_cancel(&store->log);
        done.object = found.object;
        done.position = found.position;
        store_finish(store, op, &done);
        return;
    }
    struct entry entry = {op->hash, op->bucket, op->key, SLICE_NONE};
    struct manner manner = {.sync = op->sync};
    draft_end(store, &draft, &found, &entry, &manner, &done);
    store_finish(store, op, &done);
}

/* Merge ENTRY into what is there. A damaged key that is healed by nothing was nowhere else: it
 * goes, as with the whole disk. Fills in RET's error, position, changed and object. */
static void merge_one(struct store *store, const struct entry *entry, struct manner manner,
                      struct store_done *ret)
{
    struct found found;
    struct slice path = path_make(store, entry->hash, entry->bucket, entry->key);
    ret->error = store_find(store, entry->hash, path, &found);
    if (ret->error == 0 && found.damage && manner.loss != 0 && manner.loss != found.damage->number)
        manner.heals = false; /* What was fetched for an earlier loss may lack this one's. */
    if (ret->error == 0 && found.hole != 0 && !found.damage && manner.loss != found.hole)
        manner.heals = false; /* The same of a hole. */
    bool gone = ret->error == 0 && found.bad && entry->object.size == 0;
    if (gone && (!manner.heals || manner.alone || found.hole != 0))
        ret->error = ERR_UNREADABLE;
    if (gone && found.hole != 0 && found.damage && manner.heals) {
        /* Nobody has it: that it may be missing is all there is to know, and the hole says so. */
        if (damage_marked(found.damage))
            damage_heal(store, found.damage, manner.more, manner.sync);
        else
            damage_dismiss(store, found.damage);
    }
    if (ret->error)
        return;
    struct draft draft = draft_begin(store, path);
    bool same = entry->object.size == 0 && !gone;
    bool healed = manner.heals && damage_marked(found.damage) && RULE(HEALED_COLLECTS);
    store->damages.lost += gone;
    if (found.object.size == 0)
        buf_append(draft.bytes, entry->object);
    else
        same = object_merge(found.object, entry->object, draft.bytes) & MERGE_SAME_A;
    if ((!same || healed || manner.stands != 0) && !gone && draft_object(&draft).size > 0)
        same = collect_keep_away(store, entry, &found, &manner, &draft);
    if (!same) {
        draft_end(store, &draft, &found, entry, &manner, ret);
        return;
    }
    log_cancel(&store->log);
    ret->object = found.object;
    ret->position = found.position;
    if (!manner.heals || !damage_marked(found.damage))
        return;
    ret->position = damage_heal(store, found.damage, manner.more, manner.sync);
    dead_note(store, entry->hash, found.object); /* Collections passed it over. */
}

static void do_merge(struct store *store, const struct store_op *op)
{
    struct store_done done = {.error = refuse_write(store, op)};
    struct entry entry = {op->hash, op->bucket, op->key, op->object};
    struct manner manner = {.sync = op->sync,
                            .heals = op->heals,
                            .loss = op->loss,
                            .alone = op->alone,
                            .drops = op->drops,
                            .drops_count = op->drops_count};
    if (done.error == 0)
        merge_one(store, &entry, manner, &done);
    store_finish(store, op, &done);
}

static void do_read(struct store *store, const struct store_op *op)
{
    struct store_done done = {.error = store_refuse_read(store, op)};
    struct found found;
    if (done.error == 0)
        done.error =
            store_find(store, op->hash, path_make(store, op->hash, op->bucket, op->key), &found);
    if (done.error == 0) {
        bool unreadable = found_unreadable(&found);
        done.error = unreadable ? ERR_UNREADABLE : 0;
        done.object = unreadable ? SLICE_NONE : found.object;
        done.position = found.position;
    }
    store_finish(store, op, &done);
}

static uint64_t log_metas(struct store *store, const struct store_op *op, bool install)
{
    struct buf *bytes = log_begin(&store->log);
    bool horizon = op->batch.horizon != 0;
    write_u8(bytes, (uint8_t)((install ? METAS_INSTALL : 0) | (horizon ? METAS_HORIZON : 0)));
    write_u32(bytes, op->range);
    store_epoch_write(bytes, op->fork, op->nonce, op->epoch);
    if (horizon)
        write_u64(bytes, op->batch.horizon);
    for (uint32_t i = 0; i < op->batch.metas_count; i++) {
        write_string(bytes, op->batch.metas[i].key);
        write_string(bytes, op->batch.metas[i].value);
    }
    if (!log_fits(&store->log)) {
        log_cancel(&store->log);
        return 0;
    }
    for (uint32_t i = 0; i < op->batch.metas_count; i++) {
        const struct meta *meta = &op->batch.metas[i];
        ASSERT(meta->key.size > 0 && meta->key.size <= DISK_KEY_SIZE_MAX);
        metas_set(&store->metas, meta->key, meta->value, true);
    }
    if (install)
        store_install(store, op->range, op->fork, op->nonce, op->epoch);
    if (horizon)
        store_set_horizon(store, op->range,
                          MAX(op->batch.horizon, store->ranges[op->range].horizon));
    return log_commit(&store->log, RECORD_METAS, false, true);
}

/* Nothing of a chunk may be written before all that it needs is in memory. */
static int look_at_all(struct store *store, const struct store_op *op)
{
    int error = 0;
    for (uint32_t i = 0; i < op->batch.entries_count && !store->disk->patient; i++) {
        const struct entry *entry = &op->batch.entries[i];
        struct found found;
        int one = store_find(store, entry->hash,
                             path_make(store, entry->hash, entry->bucket, entry->key), &found);
        error = one != 0 ? one : error;
    }
    return error;
}

/* Merges of a chunk and its metas are one group of records: replay takes all or none. */
static void do_chunk(struct store *store, const struct store_op *op)
{
    struct store_done done = {.error = refuse_write(store, op)};
    if (done.error == 0)
        done.error = look_at_all(store, op);
    if (done.error == 0 && op->batch.fills && RULE(WHOLE_WHEN_FILLED) &&
        store_lacks(store, range_first(op->range, store->range_bits),
                    range_last(op->range, store->range_bits)))
        done.error = ERR_UNREADABLE;
    if (done.error) {
        store_finish(store, op, &done);
        return;
    }
    store->disk->patient = true;
    int error = 0;
    uint64_t held = store->checkpoint.mark.freeze.position;
    for (uint32_t i = 0; i < op->batch.entries_count && error == 0; i++) {
        struct store_done one = {0};
        struct manner manner = {.more = true, .sync = true, .stands = op->batch.stands};
        merge_one(store, &op->batch.entries[i], manner, &one);
        error = one.error;
        done.changed = done.changed || one.changed;
        held = MAX(held, one.position);
    }
    /* What is held already, as where replicas are compared that cannot become equal yet, costs no
     * record and no sync: it is on disk once what it was found in is. */
    if (!done.changed && error == 0 && op->batch.metas_count == 0 && op->batch.horizon == 0) {
        done.position = held;
        store_finish(store, op, &done);
        return;
    }
    /* The group has to end even when an object failed; then without the metas. */
    struct store_op bare = *op;
    bare.batch.metas_count = 0;
    bare.batch.horizon = 0;
    done.position = log_metas(store, error ? &bare : op, false);
    if (done.position == 0 && error == 0) {
        error = ERR_TOO_LARGE;
        log_metas(store, &bare, false);
    }
    done.error = error;
    store_finish(store, op, &done);
}

static void do_meta(struct store *store, const struct store_op *op)
{
    struct store_done done = {0};
    bool of_range = op->batch.install || op->batch.horizon != 0;
    if (of_range && op->range >= store_ranges_count(store))
        done.error = ERR_NOT_READY;
    if (done.error == 0) {
        done.position = log_metas(store, op, op->batch.install);
        done.error = done.position == 0 ? ERR_TOO_LARGE : 0;
    }
    store_finish(store, op, &done);
}

static void do_drop(struct store *store, const struct store_op *op)
{
    struct store_done done = {.error = store_refuse_read(store, op)};
    if (done.error == 0) {
        ASSERT(op->range < store_ranges_count(store));
        struct buf *bytes = log_begin(&store->log);
        write_u8(bytes, (uint8_t)store->range_bits);
        write_u32(bytes, op->range);
        done.position = log_commit(&store->log, RECORD_DROP, false, true);
        store_forget(store, op->range, done.position);
        store->checkpoint.wanted = true;
    }
    store_finish(store, op, &done);
}

static void do_tree(struct store *store, const struct store_op *op)
{
    if (op->tree.bits > store->tree.bits) {
        store_finish_error(store, op,
                           ERR_BAD_REQUEST); /* A peer with a deeper tree asks too far down. */
        return;
    }
    struct buf digests = {0};
    write_u64(&digests, store->tree.bits);
    for (uint32_t i = 0; i < op->tree.prefixes_count; i++)
        write_u64(&digests, tree_digest(&store->tree, op->tree.prefixes[i], op->tree.bits));
    struct store_done done = {.object = buf_slice(&digests), .position = store->log.position};
    store_finish(store, op, &done);
    buf_done(&digests);
}

static void do_hint(struct store *store, const struct store_op *op)
{
    struct store_done done = {0};
    hint_table_submit(store, op, &done);
    store_finish(store, op, &done);
}

void store_submit(struct store *store, const struct store_op *op)
{
    if (store->cold.ops == 0 || !cold_joins(store, op))
        store_run(store, op, false);
}

void store_look(struct store *store, const struct store_op *op)
{
    store_run(store, op, true);
}

static void run(struct store *store, const struct store_op *op)
{
    switch (op->type) {
    case STORE_UPDATE:
        do_update(store, op);
        break;
    case STORE_MERGE:
        do_merge(store, op);
        break;
    case STORE_READ:
        do_read(store, op);
        break;
    case STORE_SCAN:
        scan_do(store, op);
        break;
    case STORE_CHUNK:
        do_chunk(store, op);
        break;
    case STORE_META:
        do_meta(store, op);
        break;
    case STORE_DROP:
        do_drop(store, op);
        break;
    case STORE_TREE:
        do_tree(store, op);
        break;
    case STORE_VERIFY:
        sums_verify(store, op);
        break;
    case STORE_HINT_UPDATE:
    case STORE_HINT_MERGE:
    case STORE_HINT_READ:
    case STORE_HINT_SCAN:
    case STORE_HINT_SETTLE:
        do_hint(store, op);
        break;
    case STORE_COLLECT:
        collect_do(store, op);
        break;
    case STORE_WHOLE:
        holes_whole(store, op);
        break;
    }
}

void store_run(struct store *store, const struct store_op *op, bool patient)
{
    if (store->failed) {
        store_finish_error(store, op, ERR_IO);
        return;
    }
    cold_reset(&store->cold);
    store->disk->patient = patient || !cold_may_wait(op);
    run(store, op);
    store->disk->patient = true;
    if (store->reading)
        disk_release(store->disk);
    store->reading = false;
    checkpoint_begin_if_due(store);
}
