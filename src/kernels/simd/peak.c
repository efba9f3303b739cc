/* Limits of a core: compiled once an instruction set. */
#include "cnnbn/peak.h"
#include "peak_sets.h"
#include "vec.h"

/* Twelve chains hide a latency of four to six cycles on two units, and leave registers for the two operands in the
 * smallest sets (16 registers). */
enum { CHAINS = 12, UNROLLED = 8, ROUND_STEPS = 8, LOOP_FLOATS = 8 * VEC_LEN };

_Static_assert(CNNBN_PEAK_STEP % LOOP_FLOATS == 0, "arrays hold whole rounds of the loops");

static float sum_lanes(vec x)
{
    float total = 0;
    for (int i = 0; i < VEC_LEN; i++) total += x[i];
    return total;
}

static float multiply_add(size_t rounds)
{
    vec chain[CHAINS];
    /* x = a x + b tends to 1: neither overflow nor denormals. */
    vec a = vec_set1(0.75f), b = vec_set1(0.25f);
    for (int c = 0; c < CHAINS; c++) chain[c] = vec_set1((float)c);
    for (size_t r = 0; r < rounds; r++) {
        VEC_UNROLL
        for (int s = 0; s < ROUND_STEPS; s++) {
            VEC_UNROLL
            for (int c = 0; c < CHAINS; c++) chain[c] = vec_fma(chain[c], a, b);
        }
    }
    vec total = vec_zero();
    for (int c = 0; c < CHAINS; c++) total += chain[c];
    return sum_lanes(total);
}

static float read_all(const float *x, size_t n)
{
    vec sum[UNROLLED];
    for (int u = 0; u < UNROLLED; u++) sum[u] = vec_zero();
    for (size_t i = 0; i < n; i += LOOP_FLOATS) {
        VEC_UNROLL
        for (int u = 0; u < UNROLLED; u++) sum[u] += vec_load(x + i + u * VEC_LEN);
    }
    vec total = vec_zero();
    for (int u = 0; u < UNROLLED; u++) total += sum[u];
    return sum_lanes(total);
}

/* The empty asm keeps compilers from calling memset and memcpy, which choose instructions of their own. */
static void write_all(float *x, size_t n, float value)
{
    vec v = vec_set1(value);
    for (size_t i = 0; i < n; i += LOOP_FLOATS) {
        VEC_UNROLL
        for (int u = 0; u < UNROLLED; u++) vec_store(x + i + u * VEC_LEN, v);
        __asm__ volatile("" ::: "memory");
    }
}

static void copy_all(float *y, const float *x, size_t n)
{
    for (size_t i = 0; i < n; i += LOOP_FLOATS) {
        VEC_UNROLL
        for (int u = 0; u < UNROLLED; u++) vec_store(y + i + u * VEC_LEN, vec_load(x + i + u * VEC_LEN));
        __asm__ volatile("" ::: "memory");
    }
}

#if defined(__FMA__) || defined(__aarch64__)
enum { HAS_FMA = 1 };
#else
enum { HAS_FMA = 0 };
#endif

const cnnbn_peak CNNBN__ISA(cnnbn__peak) = {
    .vector_floats = VEC_LEN,
    .has_fma = HAS_FMA,
    .multiply_add = multiply_add,
    .round_flop = 2.0 * CHAINS * ROUND_STEPS * VEC_LEN,
    .read = read_all,
    .write = write_all,
    .copy = copy_all,
    .isa = CNNBN_PEAK_ISA,
};
