#include "cnnbn/digest.h"

#include <stdio.h>
#include <string.h>
#include <xxhash.h>

cnnbn_status cnnbn_digest_create(cnnbn_digest **out)
{
    /* XXH3_state_t wants 64-byte alignment; its own allocator gives it. The state pointer itself is the handle. */
    XXH3_state_t *state = XXH3_createState();
    *out = (cnnbn_digest *)(void *)state;
    if (!state) return cnnbn_error(CNNBN_ERR_MEMORY, "no memory for a digest's state");
    (void)XXH3_128bits_reset(state);
    return CNNBN_OK;
}

static XXH3_state_t *state_of(cnnbn_digest *digest)
{
    return (XXH3_state_t *)(void *)digest;
}

void cnnbn_digest_add(cnnbn_digest *digest, const void *data, size_t bytes)
{
    if (bytes) (void)XXH3_128bits_update(state_of(digest), data, bytes);
}

void cnnbn_digest_add_text(cnnbn_digest *digest, const char *text)
{
    cnnbn_digest_add(digest, text, strlen(text) + 1);
}

void cnnbn_digest_end(cnnbn_digest *digest, char text[CNNBN_DIGEST_TEXT])
{
    XXH128_hash_t hash = XXH3_128bits_digest(state_of(digest));
    (void)snprintf(text, CNNBN_DIGEST_TEXT, "%016llx%016llx", (unsigned long long)hash.high64,
                   (unsigned long long)hash.low64);
    cnnbn_digest_destroy(digest);
}

void cnnbn_digest_destroy(cnnbn_digest *digest)
{
    (void)XXH3_freeState(state_of(digest));
}
