#include "plugin/number.h"

#include <errno.h>
#include <locale.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* printf writes the locale's decimal point, of one or more bytes; make it '.'. */
static void point_it(char *text)
{
    size_t at = strspn(text, "+-0123456789");
    size_t len = strcspn(text + at, "+-0123456789eE");

    if (len == 0)
        return;
    text[at] = '.';
    memmove(text + at + 1, text + at + len, strlen(text + at + len) + 1);
}

char *fly_number_print(char out[FLY_NUMBER_CAP], double value)
{
    if (!isfinite(value)) {
        snprintf(out, FLY_NUMBER_CAP, "%s", isnan(value) ? "nan" : value < 0 ? "-inf" : "inf");
        return out;
    }
    for (int digits = 15; digits <= 17; digits++) {
        snprintf(out, FLY_NUMBER_CAP, "%.*g", digits, value);
        if (strtod(out, NULL) == value) /* both ways through the same locale */
            break;
    }
    point_it(out);
    return out;
}

static int is_digit(char c)
{
    return c >= '0' && c <= '9';
}

int fly_number_parse(const char *text, size_t len, double *out)
{
    char copy[400]; /* more digits than a double can mean anything with */
    const char *point = localeconv()->decimal_point;
    size_t i = 0, n = 0, digits = 0;
    double value;

    if (len == 0 || len + strlen(point) >= sizeof copy)
        return 0;
    if (text[i] == '+' || text[i] == '-')
        copy[n++] = text[i++];
    for (; i < len && is_digit(text[i]); digits++)
        copy[n++] = text[i++];
    if (i < len && text[i] == '.') {
        i++;
        memcpy(copy + n, point, strlen(point));
        n += strlen(point);
        for (; i < len && is_digit(text[i]); digits++)
            copy[n++] = text[i++];
    }
    if (digits == 0)
        return 0;
    if (i < len && (text[i] == 'e' || text[i] == 'E')) {
        copy[n++] = text[i++];
        if (i < len && (text[i] == '+' || text[i] == '-'))
            copy[n++] = text[i++];
        if (i == len)
            return 0;
        while (i < len && is_digit(text[i]))
            copy[n++] = text[i++];
    }
    if (i != len)
        return 0;
    copy[n] = '\0';
    value = strtod(copy, NULL);
    if (!isfinite(value))
        return 0;
    *out = value;
    return 1;
}

int fly_integer_parse(const char *text, size_t len, int64_t *out)
{
    char copy[32];
    size_t i = 0;
    long long value;

    if (len == 0 || len >= sizeof copy)
        return 0;
    if (text[0] == '+' || text[0] == '-')
        i = 1;
    if (i == len)
        return 0;
    for (; i < len; i++) {
        if (!is_digit(text[i]))
            return 0;
    }
    memcpy(copy, text, len);
    copy[len] = '\0';
    errno = 0;
    value = strtoll(copy, NULL, 10);
    if (errno)
        return 0;
    *out = value;
    return 1;
}

double fly_number_round(double x)
{
    double ten = pow(10.0, floor(log10(x)));

    return x >= 5.0 * ten ? 5.0 * ten : x >= 2.0 * ten ? 2.0 * ten : ten;
}
