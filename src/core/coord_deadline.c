/* What a request whose deadline has passed is answered, by how far it has come. */
#include "core/coord_op.h"

enum { DEADLINE_DEFAULT_MS = 5000 };

void op_deadline_passed(struct core *core, struct coord_op *op)
{
    const char *method = op->request.method == METHOD_GET ? "answers" : "acknowledgements";
    if (op->busy && !op->rewritten && !op->revived) {
        op_refused(core, op, ERR_BUSY);
        return;
    }
    switch (op->state) {
    case OP_WAITING:
        op_fail(core, op, ERR_UNAVAILABLE,
                slice_string("no node that serves the range was found before the deadline"));
        break;
    case OP_FORWARDED:
        op_fail(
            core, op, request_writes(&op->request) ? ERR_TIMEOUT : ERR_UNAVAILABLE,
            core_printf(core, "the coordinator did not answer before the deadline%s",
                        request_writes(&op->request) ? "; the write may still take effect" : ""));
        break;
    case OP_SCANNING:
        if (op->result_count > 0) {
            scan_finish(core, op, true);
            break;
        }
        op_fail(core, op, ERR_UNAVAILABLE,
                core_printf(core, "range %u: too few replicas answered before the deadline",
                            op->range));
        break;
    case OP_ASKING:
    case OP_MERGING:
        op_fail(core, op, ERR_UNAVAILABLE,
                core_printf(core, "too few copies of range %u answered before the deadline",
                            op->range));
        break;
    case OP_STORING:
    case OP_WRITING:
    case OP_READING: {
        bool write = op->state != OP_READING &&
                     (op->request.method != METHOD_EDIT || op->made || op->state == OP_STORING);
        struct answer *answer = op_answer(core, op, write ? ERR_TIMEOUT : ERR_UNAVAILABLE);
        uint32_t strict;
        answer->got = (uint8_t)(write ? put_got(core, op, &strict) : get_got(op));
        answer->detail = core_printf(
            core, "%u of %u needed %s of range %u came before the deadline%s", answer->got,
            op->needed, method, op->range, write ? "; the write may still take effect" : "");
        if (op->state == OP_WRITING)
            core_signal(core, SIGNAL_DIRTY)->range = op->range;
        if ((op->state == OP_WRITING || op->revived) && op->request.client != 0) {
            /* A retry may still come for it: it goes on with this very version. */
            op->deadline_us = core->now.us + (uint64_t)DEADLINE_DEFAULT_MS * 1000;
            op_schedule(core, op);
        } else {
            op_free(core, op);
        }
        break;
    }
    }
}
