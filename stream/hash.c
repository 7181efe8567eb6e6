#include "stream/sequence.h"

#include <string.h>

#include "engine/base/rng.h"

/* Multiply and fold: the two halves of a 128-bit product, one over the other, mix 64 bits at once
 * (the step that wyhash and its kin are built on). Four lanes keep the multiplier busy. Constants
 * are odd and have about as many ones as zeros: digits of pi, as in Blowfish. */
static const uint64_t key[8] = {
    0x243F6A8885A308D3u, 0x13198A2E03707345u, 0xA4093822299F31D1u, 0x082EFA98EC4E6C89u,
    0x452821E638D01377u, 0xBE5466CF34E90C6Du, 0xC0AC29B7C97C50DDu, 0x3F84D5B5B5470917u,
};

static inline uint64_t load(const unsigned char *at)
{
    uint64_t word;

    memcpy(&word, at, 8);
    return word;
}

/* The lane goes around the product as well as into it, so that a factor that happens to be 0 does
 * not wipe out what came before. */
static inline uint64_t fold(uint64_t lane, uint64_t a, uint64_t b, int i)
{
    unsigned __int128 product = (unsigned __int128)(a ^ key[2 * i]) * (b ^ key[2 * i + 1] ^ lane);

    return (uint64_t)product ^ (uint64_t)(product >> 64) ^ (lane << 23 | lane >> 41);
}

static uint64_t hash_bytes(uint64_t seed, const unsigned char *at, size_t len)
{
    uint64_t lane[4] = {seed, seed ^ key[1], seed ^ key[3], seed ^ key[5]};
    size_t left = len;
    uint64_t hash = seed ^ fly_mix64(len);

    for (; left >= 64; left -= 64, at += 64) {
        lane[0] = fold(lane[0], load(at), load(at + 8), 0);
        lane[1] = fold(lane[1], load(at + 16), load(at + 24), 1);
        lane[2] = fold(lane[2], load(at + 32), load(at + 40), 2);
        lane[3] = fold(lane[3], load(at + 48), load(at + 56), 3);
    }
    for (; left >= 16; left -= 16, at += 16)
        lane[0] = fold(lane[0], load(at), load(at + 8), 0);
    if (left > 0) {
        unsigned char tail[16] = {0}; /* its length is in hash already */

        memcpy(tail, at, left);
        lane[1] = fold(lane[1], load(tail), load(tail + 8), 1);
    }
    for (int i = 0; i < 4; i++)
        hash = fly_mix64(hash ^ lane[i]) + key[i];
    return hash;
}

uint64_t fly_hash_parts(const struct fly_part *parts, int32_t n_parts)
{
    uint64_t hash = key[7] ^ (uint64_t)n_parts;

    for (int32_t i = 0; i < n_parts; i++)
        hash = hash_bytes(hash, parts[i].bytes, parts[i].len);
    return fly_mix64(hash);
}
