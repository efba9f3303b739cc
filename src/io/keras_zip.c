/* The zip archive that a .keras file is. What is compressed there is bounded twice: by what the archive declares, before memory
 * is asked for, and by what really comes out. */
#include "keras_internal.h"

#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

int cnnbn__keras_is_zip(const char *path)
{
    char first[4] = {0};
    struct stat about;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return 0;
    int is_zip = fstat(fd, &about) == 0 && S_ISREG(about.st_mode) && read(fd, first, sizeof first) == 4 &&
                 memcmp(first, "PK\003\004", 4) == 0;
    (void)close(fd);
    return is_zip;
}

#if CNNBN_HAVE_LIBZIP

#include <zip.h>

/* Keras writes three entries, and some for the assets of layers that are not known here. */
enum { ENTRIES_MAX = 10000 };

/* Deflate makes at most 1032 bytes of one (zlib's technical details); a short entry may round that up. */
enum { DEFLATE_RATIO = 1032, DEFLATE_SLACK = 4096 };

struct cnnbn__keras_zip {
    zip_t *archive;
    char *path;
    uint64_t bytes; /* of the file */
};

static const char *why(zip_t *archive)
{
    return zip_error_strerror(zip_get_error(archive));
}

static cnnbn_status open_archive(cnnbn__keras_zip *zip)
{
    int code = 0;
    struct stat about;
    if (stat(zip->path, &about) == 0) zip->bytes = (uint64_t)about.st_size;
    zip->archive = zip_open(zip->path, ZIP_RDONLY, &code);
    if (!zip->archive) {
        zip_error_t error;
        zip_error_init_with_code(&error, code);
        cnnbn_status status =
            cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: the zip archive cannot be opened, truncated or damaged? (%s)",
                        zip->path, zip_error_strerror(&error));
        zip_error_fini(&error);
        return status;
    }
    zip_int64_t n = zip_get_num_entries(zip->archive, 0);
    if (n < 1 || n > ENTRIES_MAX)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: the zip archive has %lld entries, expected 1 to %d", zip->path,
                           (long long)n, ENTRIES_MAX);
    return CNNBN_OK;
}

cnnbn_status cnnbn__keras_zip_open(const char *path, cnnbn__keras_zip **out)
{
    void *block;
    *out = NULL;
    CNNBN_TRY(cnnbn_alloc(sizeof(cnnbn__keras_zip), "a zip archive", &block));
    cnnbn__keras_zip *zip = block;
    cnnbn_status status = cnnbn_strdup(path, &zip->path);
    if (status == CNNBN_OK) status = open_archive(zip);
    if (status == CNNBN_OK)
        *out = zip;
    else
        cnnbn__keras_zip_close(zip);
    return status;
}

void cnnbn__keras_zip_close(cnnbn__keras_zip *zip)
{
    if (!zip) return;
    if (zip->archive) zip_discard(zip->archive);
    cnnbn_free(zip->path);
    cnnbn_free(zip);
}

/* The one entry of a name; *index negative when there is none. Python takes the last of several, others the first. */
static cnnbn_status find_entry(const cnnbn__keras_zip *zip, const char *name, zip_int64_t *index)
{
    zip_int64_t n = zip_get_num_entries(zip->archive, 0);
    *index = -1;
    for (zip_int64_t i = 0; i < n; i++) {
        const char *its = zip_get_name(zip->archive, (zip_uint64_t)i, ZIP_FL_ENC_RAW);
        if (!its || strcmp(its, name) != 0) continue;
        if (*index >= 0)
            return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: holds %s more than once: damaged, or made to deceive",
                               zip->path, name);
        *index = i;
    }
    return CNNBN_OK;
}

static cnnbn_status check_entry(const cnnbn__keras_zip *zip, const char *name, uint64_t limit, const zip_stat_t *about)
{
    const zip_uint64_t wanted = ZIP_STAT_SIZE | ZIP_STAT_COMP_SIZE | ZIP_STAT_COMP_METHOD | ZIP_STAT_ENCRYPTION_METHOD;
    if ((about->valid & wanted) != wanted)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: %s: the archive does not say its size", zip->path, name);
    if (about->encryption_method != ZIP_EM_NONE)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: %s is encrypted", zip->path, name);
    if (about->comp_method != ZIP_CM_STORE && about->comp_method != ZIP_CM_DEFLATE)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: %s is compressed by method %d, expected none or deflate",
                           zip->path, name, about->comp_method);
    if (about->size > limit)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT,
                           "%s: %s has %llu bytes, but no more than %llu are expected: another model's, or made to "
                           "fill the memory",
                           zip->path, name, (unsigned long long)about->size, (unsigned long long)limit);
    uint64_t most = about->comp_method == ZIP_CM_STORE ? about->comp_size
                    : about->comp_size > zip->bytes
                        ? 0
                        : about->comp_size * (uint64_t)DEFLATE_RATIO + (uint64_t)DEFLATE_SLACK;
    if (about->comp_size > zip->bytes || about->size > most)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT,
                           "%s: %s cannot have %llu bytes, compressed from %llu in a file of %llu: damaged", zip->path,
                           name, (unsigned long long)about->size, (unsigned long long)about->comp_size,
                           (unsigned long long)zip->bytes);
    return CNNBN_OK;
}

static cnnbn_status read_bytes(const cnnbn__keras_zip *zip, const char *name, zip_int64_t index, char *to, size_t bytes)
{
    const size_t piece = (size_t)64 << 20;
    zip_file_t *file = zip_fopen_index(zip->archive, (zip_uint64_t)index, 0);
    if (!file)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: %s cannot be read, damaged? (%s)", zip->path, name,
                           why(zip->archive));
    size_t done = 0;
    zip_int64_t got = 1;
    while (done < bytes && got > 0) {
        got = zip_fread(file, to + done, bytes - done < piece ? bytes - done : piece);
        if (got > 0) done += (size_t)got;
    }
    char more;
    if (got >= 0 && done == bytes) got = zip_fread(file, &more, 1); /* the checksum is looked at behind the last byte */
    cnnbn_status status = CNNBN_OK;
    if (got < 0)
        status = cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: %s is damaged (%s)", zip->path, name,
                             zip_error_strerror(zip_file_get_error(file)));
    else if (got > 0 || done < bytes)
        status = cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: %s has %s bytes than the %zu that the archive declares",
                             zip->path, name, got > 0 ? "more" : "fewer", bytes);
    (void)zip_fclose(file);
    return status;
}

cnnbn_status cnnbn__keras_zip_read(cnnbn__keras_zip *zip, const char *name, uint64_t limit, int optional, void **out,
                                   size_t *bytes)
{
    zip_int64_t index;
    zip_stat_t about;
    *out = NULL;
    *bytes = 0;
    CNNBN_TRY(find_entry(zip, name, &index));
    if (index < 0 && optional) return CNNBN_OK;
    if (index < 0)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: a zip archive without %s: not a .keras file", zip->path, name);
    zip_stat_init(&about);
    if (zip_stat_index(zip->archive, (zip_uint64_t)index, 0, &about) != 0)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: %s cannot be looked at (%s)", zip->path, name, why(zip->archive));
    CNNBN_TRY(check_entry(zip, name, limit, &about));
    if (about.size >= SIZE_MAX) return cnnbn_error(CNNBN_ERR_MEMORY, "%s: %s is too large", zip->path, name);
    CNNBN_TRY(cnnbn_alloc((size_t)about.size + 1, name, out)); /* zeroed: ends in a NUL */
    *bytes = (size_t)about.size;
    cnnbn_status status = read_bytes(zip, name, index, *out, *bytes);
    if (status == CNNBN_OK) return CNNBN_OK;
    cnnbn_free(*out);
    *out = NULL;
    *bytes = 0;
    return status;
}

/* ---------------------------------------------------------------- writing */

static cnnbn_status zip_failed(const char *path, zip_error_t *error)
{
    return cnnbn_error(CNNBN_ERR_INTERNAL, "%s: the zip archive cannot be made (%s)", path, zip_error_strerror(error));
}

static cnnbn_status add_entry(zip_t *archive, const char *path, const cnnbn__zip_entry *entry)
{
    enum { DATE_1980_01_01 = 0x21 };
    zip_source_t *source = zip_source_buffer(archive, entry->data, entry->bytes, 0);
    zip_int64_t index = source ? zip_file_add(archive, entry->name, source, ZIP_FL_ENC_UTF_8) : -1;
    if (source && index < 0) zip_source_free(source);
    if (index < 0 || zip_set_file_compression(archive, (zip_uint64_t)index, ZIP_CM_STORE, 0) != 0 ||
        zip_file_set_dostime(archive, (zip_uint64_t)index, 0, DATE_1980_01_01, 0) != 0)
        return zip_failed(path, zip_get_error(archive));
    return CNNBN_OK;
}

static cnnbn_status take_bytes(zip_source_t *source, const char *path, void **out, size_t *bytes)
{
    zip_int64_t size = -1;
    if (zip_source_open(source) == 0) {
        if (zip_source_seek(source, 0, SEEK_END) == 0) size = zip_source_tell(source);
        if (size > 0 && zip_source_seek(source, 0, SEEK_SET) == 0) {
            cnnbn_status status = cnnbn_alloc((size_t)size, "a zip archive", out);
            if (status == CNNBN_OK && zip_source_read(source, *out, (zip_uint64_t)size) == size) {
                *bytes = (size_t)size;
                (void)zip_source_close(source);
                return CNNBN_OK;
            }
            cnnbn_free(*out);
            *out = NULL;
            if (status != CNNBN_OK) {
                (void)zip_source_close(source);
                return status;
            }
        }
        (void)zip_source_close(source);
    }
    return zip_failed(path, zip_source_error(source));
}

cnnbn_status cnnbn__keras_zip_make(const char *path, const cnnbn__zip_entry *entries, int n_entries, void **out,
                                   size_t *bytes)
{
    zip_error_t error;
    *out = NULL;
    *bytes = 0;
    zip_error_init(&error);
    zip_source_t *source = zip_source_buffer_create(NULL, 0, 0, &error);
    zip_t *archive = source ? zip_open_from_source(source, ZIP_TRUNCATE, &error) : NULL;
    cnnbn_status status = CNNBN_OK;
    if (!archive) {
        status = zip_failed(path, &error);
        if (source) zip_source_free(source);
        zip_error_fini(&error);
        return status;
    }
    zip_error_fini(&error);
    zip_source_keep(source); /* the archive's close would free it */
    for (int i = 0; i < n_entries && status == CNNBN_OK; i++) status = add_entry(archive, path, &entries[i]);
    if (status == CNNBN_OK && zip_close(archive) != 0) status = zip_failed(path, zip_get_error(archive));
    if (status != CNNBN_OK) zip_discard(archive);
    if (status == CNNBN_OK) status = take_bytes(source, path, out, bytes);
    zip_source_free(source);
    return status;
}

#else

static cnnbn_status no_libzip(const char *path)
{
    return cnnbn_error(CNNBN_ERR_CHECKPOINT,
                       "%s: a .keras file is a zip archive, and this cnnbn was built without libzip (Debian: "
                       "libzip-dev); with Keras, model.save(\"model.h5\") gives a file that it reads",
                       path);
}

cnnbn_status cnnbn__keras_zip_open(const char *path, cnnbn__keras_zip **out)
{
    *out = NULL;
    return no_libzip(path);
}

void cnnbn__keras_zip_close(cnnbn__keras_zip *zip)
{
    (void)zip;
}

cnnbn_status cnnbn__keras_zip_read(cnnbn__keras_zip *zip, const char *name, uint64_t limit, int optional, void **out,
                                   size_t *bytes)
{
    (void)zip, (void)limit, (void)optional;
    *out = NULL;
    *bytes = 0;
    return no_libzip(name);
}

cnnbn_status cnnbn__keras_zip_make(const char *path, const cnnbn__zip_entry *entries, int n_entries, void **out,
                                   size_t *bytes)
{
    (void)entries, (void)n_entries;
    *out = NULL;
    *bytes = 0;
    return no_libzip(path);
}

#endif
