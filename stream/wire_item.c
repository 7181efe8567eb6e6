#include "stream/wire_item.h"

int fly_item_wide(const unsigned char *at, const unsigned char *end, struct fly_item *item)
{
    unsigned c = *at;
    uint32_t wide;

    item->kind = FLY_ITEM_UINT;
    switch (c) {
    case 0xc0:
        item->kind = FLY_ITEM_NIL;
        return 1;
    case 0xc2:
    case 0xc3:
        item->kind = FLY_ITEM_BOOL;
        return 1;
    case 0xca:
        item->kind = FLY_ITEM_F32;
        item->body = 4;
        return 1;
    case 0xcb:
        item->kind = FLY_ITEM_F64;
        item->body = 8;
        return 1;
    case 0xcc:
    case 0xcd:
    case 0xce:
    case 0xcf:
        item->body = 1u << (c - 0xcc);
        return 1;
    case 0xd0:
    case 0xd1:
    case 0xd2:
    case 0xd3:
        item->kind = FLY_ITEM_NEG;
        item->body = 1u << (c - 0xd0);
        return 1;
    case 0xd4:
    case 0xd5:
    case 0xd6:
    case 0xd7:
    case 0xd8:
        item->kind = FLY_ITEM_EXT;
        item->head = 2;
        item->body = 1u << (c - 0xd4);
        return 1;
    case 0xc1:
        return 0;
    default:
        break;
    }

    /* What is left carries a count of 1, 2 or 4 bytes. */
    if (c >= 0xd9 && c <= 0xdb) {
        item->kind = FLY_ITEM_STR;
        wide = 1u << (c - 0xd9);
    } else if (c >= 0xc4 && c <= 0xc6) {
        item->kind = FLY_ITEM_BIN;
        wide = 1u << (c - 0xc4);
    } else if (c >= 0xc7 && c <= 0xc9) {
        item->kind = FLY_ITEM_EXT;
        wide = 1u << (c - 0xc7);
    } else if (c <= 0xdd) {
        item->kind = FLY_ITEM_ARRAY;
        wide = c == 0xdc ? 2 : 4;
    } else {
        item->kind = FLY_ITEM_MAP;
        wide = c == 0xde ? 2 : 4;
    }
    if ((size_t)(end - at) < 1 + wide)
        return 0;
    item->head = 1 + wide + (item->kind == FLY_ITEM_EXT);
    if (item->kind == FLY_ITEM_MAP)
        item->members = 2 * fly_be(at + 1, wide);
    else if (item->kind == FLY_ITEM_ARRAY)
        item->members = fly_be(at + 1, wide);
    else
        item->body = fly_be(at + 1, wide);
    return 1;
}
