#include "base/rule.h"

static const char *const names[RULE_COUNT] = {[RULE_NONE] = "NONE",
#define RULE_NAME(name) [RULE_##name] = #name,
                                              RULES(RULE_NAME)
#undef RULE_NAME
};

#ifdef KVRING_MUTATIONS
enum rule rule_off = RULE_NONE;
#endif

const char *rule_name(enum rule rule)
{
    return names[rule];
}

bool rule_find(const char *name, enum rule *ret_rule)
{
    for (uint32_t i = 1; i < RULE_COUNT; i++) {
        if (strcmp(name, names[i]) != 0)
            continue;
        *ret_rule = (enum rule)i;
        return true;
    }
    return false;
}

enum rule rule_switched_off(void)
{
#ifdef KVRING_MUTATIONS
    return rule_off;
#else
    return RULE_NONE;
#endif
}
