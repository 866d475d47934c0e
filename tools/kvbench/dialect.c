#include "kvbench/dialect.h"

const struct dialect *dialect_find(const char *name)
{
    static const struct dialect *const all[] = {&dialect_native, &dialect_resp, &dialect_memcache,
                                                &dialect_etcd};
    for (size_t i = 0; i < ARRAY_SIZE(all); i++) {
        if (strcmp(all[i]->name, name) == 0)
            return all[i];
    }
    return NULL;
}
