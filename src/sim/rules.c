/* What makes each of these worlds: what has to meet for a rule to be needed.
 *
 * The worlds are those of profile transfer in all that is not said here. Each seed has one subject,
 * in turn; those that need the most luck come twice. */
#include "sim/rules.h"

#include "sim/rules_own.h"
#include "wire/peer.h"

enum about {
    ABOUT_CUT_OFF,  /* A driver is cut off with an edit, and others end the move of its slot. */
    ABOUT_UNHEARD,  /* An edit is not heard of, and its range has another driver soon. */
    ABOUT_ORDER,    /* A later stamp was acknowledged, where neither of two puts was seen. */
    ABOUT_BALLOTS,  /* A proposer dies before its own promise is on its slow disk. */
    ABOUT_CROWD,    /* Many ranges move to one node, which forgets its reservations. */
    ABOUT_LEAVING,  /* Who has accepted a slot is told to leave. */
    ABOUT_RESTORED, /* Old copies of disks come back, and hear late that they are old. */
    ABOUT_HEALING,  /* Records rot under writes that come late to some of many copies. */
    ABOUT_ALONE,    /* The only reader dies as it becomes that. */
    ABOUT_DROPS,    /* Slots move back while their former owners delete on slow disks. */
    ABOUT_PLAIN,    /* Who runs the edits does not hear of plain deletes. */
    ABOUT_LATE,     /* A move is taken back and begun again, and messages of the first come late. */
    ABOUT_TAKERS,   /* An old copy of a disk comes back, and is given a slot at once. */
    ABOUT_KEEPERS,  /* An old copy of a disk comes back, and is asked to keep hints. */
    ABOUT_STANDING, /* Nodes that have just joined stand in for the owners. */
    ABOUT_TEACHERS, /* Who fills a new slot is lost meanwhile. */
    ABOUT_LEFT,     /* What a former owner has left rots, and it is given the slot again. */
    ABOUT_FIRST,    /* A disk from when its node had the only copies comes back. */
    ABOUT_GOERS,    /* Who gives a slot up leaves, with puts that it alone has. */
    ABOUT_HIDDEN,   /* What a dead version hid is collected with it, but not everywhere. */
    ABOUT_MISSED,   /* A reader does not hear of the only horizon. */
    ABOUT_NEWCOMERS, /* A node joins late, whose clock lies behind. */
    ABOUT_HANDING,   /* What a former owner has handed over rots before it is deleted. */
    ABOUT_BESIDE,    /* Keys rot, and records beside them are written. */
    ABOUT_RETRIED,   /* What is asked for again was lost, and healed from who never had it. */
};
enum { ABOUT_COUNT = ABOUT_RETRIED + 1 };

static const struct {
    const char *name;
    void (*draw)(struct prng *prng, struct sim_options *o);
} subjects[ABOUT_COUNT] = {
    [ABOUT_CUT_OFF] = {"cut-off", draw_cut_off},
    [ABOUT_UNHEARD] = {"unheard", draw_unheard},
    [ABOUT_ORDER] = {"order", draw_order},
    [ABOUT_BALLOTS] = {"ballots", draw_ballots},
    [ABOUT_CROWD] = {"crowd", draw_crowd},
    [ABOUT_LEAVING] = {"leaving", draw_leaving},
    [ABOUT_RESTORED] = {"restored", draw_restored},
    [ABOUT_HEALING] = {"healing", draw_healing},
    [ABOUT_ALONE] = {"alone", draw_alone},
    [ABOUT_DROPS] = {"drops", draw_drops},
    [ABOUT_PLAIN] = {"plain", draw_plain},
    [ABOUT_LATE] = {"late", draw_late},
    [ABOUT_TAKERS] = {"takers", draw_takers},
    [ABOUT_KEEPERS] = {"keepers", draw_keepers},
    [ABOUT_STANDING] = {"standing", draw_standing},
    [ABOUT_TEACHERS] = {"teachers", draw_teachers},
    [ABOUT_LEFT] = {"left", draw_left},
    [ABOUT_FIRST] = {"first", draw_alone_first},
    [ABOUT_GOERS] = {"goers", draw_goers},
    [ABOUT_HIDDEN] = {"hidden", draw_hidden},
    [ABOUT_MISSED] = {"missed", draw_missed},
    [ABOUT_NEWCOMERS] = {"newcomers", draw_newcomers},
    [ABOUT_HANDING] = {"handing", draw_handing},
    [ABOUT_BESIDE] = {"beside", draw_beside},
    [ABOUT_RETRIED] = {"retried", draw_retried},
};

static enum about about_of(const struct sim_options *o)
{
    static const enum about turns[] = {
        ABOUT_CUT_OFF,  ABOUT_UNHEARD,   ABOUT_ORDER,    ABOUT_BALLOTS,  ABOUT_CROWD,
        ABOUT_CUT_OFF,  ABOUT_LEAVING,   ABOUT_UNHEARD,  ABOUT_ORDER,    ABOUT_HEALING,
        ABOUT_RESTORED, ABOUT_ALONE,     ABOUT_DROPS,    ABOUT_PLAIN,    ABOUT_LATE,
        ABOUT_TAKERS,   ABOUT_KEEPERS,   ABOUT_STANDING, ABOUT_HEALING,  ABOUT_CUT_OFF,
        ABOUT_GOERS,    ABOUT_LATE,      ABOUT_STANDING, ABOUT_CUT_OFF,  ABOUT_UNHEARD,
        ABOUT_ORDER,    ABOUT_BALLOTS,   ABOUT_CROWD,    ABOUT_TEACHERS, ABOUT_LEAVING,
        ABOUT_FIRST,    ABOUT_HIDDEN,    ABOUT_HEALING,  ABOUT_RESTORED, ABOUT_ALONE,
        ABOUT_DROPS,    ABOUT_PLAIN,     ABOUT_LATE,     ABOUT_TAKERS,   ABOUT_KEEPERS,
        ABOUT_MISSED,   ABOUT_NEWCOMERS, ABOUT_HANDING,  ABOUT_BESIDE,   ABOUT_LEFT,
        ABOUT_RETRIED};
    return turns[o->seed % ARRAY_SIZE(turns)];
}

void rules_format(const struct sim_options *o, struct buf *out)
{
    buf_printf(out, " about=%s", subjects[about_of(o)].name);
    for (uint32_t i = 0; i < TRIPS_MAX; i++) {
        const struct trip *trip = &o->trips[i];
        if (trip->type != 0)
            buf_printf(out, " trip=%s:%.1f%%", message_name((enum message_type)trip->type),
                       trip->ppm / 1e4);
    }
}

void rules_draw(struct sim_options *o)
{
    struct prng prng;
    prng_init(&prng, o->seed ^ 0x72756c6573000000u);
    subjects[about_of(o)].draw(&prng, o);
}
