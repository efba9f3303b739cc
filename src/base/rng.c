#include "cnnbn/rng.h"

#include <math.h>

/* splitmix64's finaliser (Steele, Lea, Flood 2014): a bijection of 64-bit words that mixes all bits. */
static uint64_t mix(uint64_t x)
{
    x += 0x9e3779b97f4a7c15u;
    x = (x ^ (x >> 30)) * 0xbf58476d1ce4e5b9u;
    x = (x ^ (x >> 27)) * 0x94d049bb133111ebu;
    return x ^ (x >> 31);
}

uint64_t cnnbn_rng_key(uint64_t seed, cnnbn_rng_use use, uint64_t a, uint64_t b, uint64_t c)
{
    uint64_t h = mix(seed);
    h = mix(h ^ (uint64_t)use);
    h = mix(h ^ a);
    h = mix(h ^ b);
    return mix(h ^ c);
}

uint64_t cnnbn_hash_name(const char *name)
{
    uint64_t h = 0xcbf29ce484222325u;
    for (; *name; name++) h = (h ^ (unsigned char)*name) * 0x100000001b3u;
    return h;
}

void cnnbn_philox(uint64_t key, uint64_t counter, uint32_t out[4])
{
    uint32_t c0 = (uint32_t)counter, c1 = (uint32_t)(counter >> 32), c2 = 0, c3 = 0;
    uint32_t k0 = (uint32_t)key, k1 = (uint32_t)(key >> 32);
    for (int round = 0; round < 10; round++) {
        uint64_t p0 = (uint64_t)0xD2511F53u * c0, p1 = (uint64_t)0xCD9E8D57u * c2;
        uint32_t n0 = (uint32_t)(p1 >> 32) ^ c1 ^ k0, n2 = (uint32_t)(p0 >> 32) ^ c3 ^ k1;
        c1 = (uint32_t)p1;
        c3 = (uint32_t)p0;
        c0 = n0;
        c2 = n2;
        k0 += 0x9E3779B9u;
        k1 += 0xBB67AE85u;
    }
    out[0] = c0;
    out[1] = c1;
    out[2] = c2;
    out[3] = c3;
}

float cnnbn_rng_uniform(uint64_t key, uint64_t i)
{
    uint32_t words[4];
    cnnbn_philox(key, i / 4, words);
    return (float)(words[i % 4] >> 8) * 0x1p-24f;
}

uint64_t cnnbn_rng_below(uint64_t key, uint64_t i, uint64_t n)
{
    uint32_t words[4];
    cnnbn_philox(key, i, words);
    uint64_t high = words[0], low = words[1], n_high = n >> 32, n_low = n & 0xffffffffu;
    /* Upper 64 bits of (high:low) * n, by 32-bit halves. */
    uint64_t ll = low * n_low, lh = low * n_high, hl = high * n_low, hh = high * n_high;
    uint64_t middle = (ll >> 32) + (lh & 0xffffffffu) + (hl & 0xffffffffu);
    return hh + (lh >> 32) + (hl >> 32) + (middle >> 32);
}

double cnnbn_rng_normal(uint64_t key, uint64_t i)
{
    uint32_t words[4];
    cnnbn_philox(key, i, words);
    double u = ((double)words[0] + 0.5) * 0x1p-32, v = (double)words[1] * 0x1p-32;
    return sqrt(-2.0 * log(u)) * cos(6.283185307179586476925 * v);
}

/* Logarithm of a Gamma(alpha): d*v of Gamma(a + 1) for a = alpha, times U^(1/a). Counters of its own from `first` on. */
static double log_gamma_draw(uint64_t key, uint64_t first, double alpha)
{
    double d = alpha + 1 - 1.0 / 3, c = 1 / sqrt(9 * d), boost = ((double)cnnbn_rng_uniform(key, 4 * first) + 0x1p-25);
    for (uint64_t i = first + 1;; i += 2) {
        double x = cnnbn_rng_normal(key, i), v = 1 + c * x, u = (double)cnnbn_rng_uniform(key, 4 * (i + 1)) + 0x1p-25;
        if (v <= 0) continue;
        v = v * v * v;
        if (log(u) < 0.5 * x * x + d - d * v + d * log(v)) return log(d * v) + log(boost) / alpha;
    }
}

double cnnbn_rng_beta(uint64_t key, double alpha)
{
    const uint64_t second = (uint64_t)1 << 32; /* counters that the first draw never comes to */
    return 1 / (1 + exp(log_gamma_draw(key, second, alpha) - log_gamma_draw(key, 0, alpha)));
}
