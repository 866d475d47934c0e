/* How objects and log records look as bytes.
 *
 *   body   = key size u32, key, checksum u64, object
 *   key    = hash u64 big-endian, bucket, zero byte, key as the client knows it
 *
 * One body serves the log, the memtable and the engine: a put builds it once, in the log's buffer,
 * and copies it once, into the memtable. Its checksum covers key and object and is verified
 * whenever the object is read back from the engine.
 *
 *   record = checksum u64, size u32, type u8, flags u8, store u16, position u64, run u32,
 *            unsynced u32, payload; the next one begins at a multiple of 8
 *
 * The record's checksum is seeded with the segment's id and the run (log.h), so that what an
 * earlier use of the segment or an earlier process left behind never counts.
 *
 * Where several stores share a log (log_shared.h), its records are envelopes:
 *
 *   envelope = checksum u64, size u32, type u8, flags u8, store u16, sequence u64, run u32,
 *              unsynced u32, checksum of the content u64, content
 *   content  = records of that store: size u32, type u8, flags u8, zero u16, position u64,
 *              payload; the next one begins at a multiple of 8
 *
 * An envelope's own checksum is seeded as a record's and ends before the content, whose checksum is
 * seeded with the store. So the content can be sealed before its place in the log is known. */
#ifndef RECORD_H
#define RECORD_H

#include "base/bytes.h"
#include "base/checksum.h"
#include "base/limits.h"

enum {
    RECORD_HEADER = 32,
    ENVELOPE_HEADER = RECORD_HEADER + 8,
    ENCLOSED_HEADER = 16,
    BODY_OVERHEAD = 12,
    STORE_KEY_MAX = 8 + BUCKET_SIZE_MAX + 1 + KEY_SIZE_MAX
};

/* Append the key of (HASH, BUCKET, KEY). */
void key_append(struct buf *out, uint64_t hash, struct slice bucket, struct slice key);

/* The parts of a key, borrowed. False if it is none. */
bool key_parse(struct slice bytes, uint64_t *ret_hash, struct slice *ret_bucket,
               struct slice *ret_key);

/* The checksum of an object under its key. */
static inline uint64_t body_checksum(struct slice key, struct slice object)
{
    return checksum64(object, checksum64(key, 0x6b767265636f7264u));
}

/* The parts of a body: true if it is one and its checksum is right. */
bool body_parse(struct slice body, struct slice *ret_key, struct slice *ret_object);

enum record_type {
    RECORD_OBJECT = 1, /* digest delta u64, size before u32, body */
    RECORD_METAS, /* what for u8, range u32, fork u32, [nonce u64 if fork > 0], epoch u64, [horizon
                   * u64], then strings key, value ... */
    RECORD_DROP,  /* range bits u8, range u32 */
    RECORD_RESTART, /* A process has taken over; its run begins. */
    RECORD_STOP,    /* And has stopped cleanly. */
    RECORD_HINT, /* body, whose object is a hint's value (hint_table.c); empty: the hint is gone */
    RECORD_ENVELOPE, /* The content of an envelope. */
};

/* What a RECORD_METAS is for, beside its cells: it installs (range, fork, nonce, epoch); it raises
 * the range's horizon. */
enum { METAS_INSTALL = 1, METAS_HORIZON = 2 };

/* Is followed by a record of the same group: all of a group counts, or none. */
enum { RECORD_MORE = 1 };

struct record {
    enum record_type type;
    bool more;
    uint16_t store;    /* Of an envelope. */
    uint64_t position; /* Of an envelope the sequence. */
    uint32_t run;
    uint32_t unsynced; /* Positions back from this one to what was known synced when it was made. */
    struct slice payload;
    size_t size; /* In the log, padding included. */
};

static inline size_t record_padded(size_t size)
{
    return (size + 7) & ~(size_t)7;
}

/* Fill in the header of the record that BYTES are (header space included). */
void record_seal(uint8_t *bytes, size_t size, const struct record *record, uint64_t segment);

/* The checksum of what is in an envelope of STORE. */
static inline uint64_t envelope_checksum(struct slice content, uint32_t store)
{
    return checksum64(content, 0x6b76726d61696c00u + store);
}
/* Fill in the header of the envelope that BYTES are, whose content has this CHECKSUM. */
void envelope_seal(uint8_t *bytes, size_t size, uint64_t checksum, const struct record *record,
                   uint64_t segment);
/* Fill in the header of the record that BYTES are, which goes into an envelope. */
void enclosed_seal(uint8_t *bytes, size_t size, const struct record *record);
/* The record at the start of BYTES, of an envelope's content; false if there is no right one. */
bool enclosed_parse(struct slice bytes, struct record *ret_record);

/* The record or envelope at the start of BYTES, false if there is no whole and right one. */
bool record_parse(struct slice bytes, uint64_t segment, struct record *ret_record);

#endif
