#include "engine/base/signal.h"

#include <stddef.h>
#include <string.h>

#include "engine/base/err.h"

static const char *const names[FLY_SIGNALS] = {"both", "haadf", "eds"};

const char *fly_signal_name(enum fly_signal signal)
{
    FLY_ASSERT((int)signal >= 0 && signal < FLY_SIGNALS);
    return names[signal];
}

int fly_signal_of_name(const char *name)
{
    for (int s = 0; name && s < FLY_SIGNALS; s++)
        if (strcmp(name, names[s]) == 0)
            return s;
    return -1;
}
