/* Which operation comes next, and on which key.
 *
 * Keys are numbered 0..count-1; number i is written as PREFIX and ten digits. The letters A to F
 * are the core workloads of YCSB (Cooper et al., "Benchmarking Cloud Serving Systems with YCSB",
 * 2010, table 2). */
#ifndef WORKLOAD_H
#define WORKLOAD_H

#include "base/buf.h"
#include "base/prng.h"

enum op_kind { OP_GET, OP_PUT, OP_INSERT, OP_SCAN, OP_RMW };
enum { OP_KINDS = OP_RMW + 1 };

enum spread { SPREAD_UNIFORM, SPREAD_ZIPFIAN, SPREAD_LATEST };

/* Shares in percent, together 100. */
struct mix {
    uint32_t share[OP_KINDS];
};

struct workload {
    struct prng prng;
    struct slice prefix; /* Borrowed. */
    uint64_t keys;       /* Grows with inserts. */
    uint64_t keys_zipf;  /* That the constants below are for. */
    enum spread spread;
    double zeta, alpha, eta;
};

void workload_init(struct workload *workload, uint64_t seed, struct slice prefix, uint64_t keys,
                   enum spread spread);
const char *op_name(enum op_kind kind);
enum op_kind workload_kind(struct workload *workload, const struct mix *mix);
/* The number of an existing key, as the spread draws it. */
uint64_t workload_key(struct workload *workload);
/* Write the key's name to RET_NAME; returns its length. */
enum { KEY_NAME_MAX = 96 };
uint32_t workload_name(const struct workload *workload, uint64_t key, char ret_name[KEY_NAME_MAX]);
/* The mix of a YCSB letter and the spread it asks for; false for an unknown letter. */
bool workload_letter(char letter, struct mix *ret_mix, enum spread *ret_spread);

#endif
