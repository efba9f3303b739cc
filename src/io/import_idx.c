/* IDX, the format of MNIST and its kin (http://yann.lecun.com/exdb/mnist): two zero bytes, a type (8: unsigned byte), the
 * number of dimensions, each dimension as a big-endian 32-bit number, then the data. */
#include "import_source.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <zlib.h>

#include "cnnbn/image.h"
#include "cnnbn/memory.h"

enum { IDX_UBYTE = 8, IDX_DIMS_MAX = 4 };

typedef struct idx_file {
    const char *path;
    gzFile file;
    size_t dim[IDX_DIMS_MAX];
    size_t next;         /* image that comes next */
    size_t sample_bytes; /* of one item along the first dimension */
} idx_file;

static cnnbn_status read_exactly(idx_file *f, void *data, size_t bytes, const char *what, size_t item)
{
    unsigned char *at = data;
    while (bytes) {
        unsigned int piece = bytes < (1u << 20) ? (unsigned int)bytes : 1u << 20;
        int got = gzread(f->file, at, piece);
        if (got <= 0) {
            int code = Z_OK;
            const char *text = gzerror(f->file, &code);
            if (code == Z_ERRNO) return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be read: %s", f->path, strerror(errno));
            if (code == Z_OK || code == Z_STREAM_END || code == Z_BUF_ERROR)
                return cnnbn_error(CNNBN_ERR_DATA, "%s: truncated: the file ends in %s %zu", f->path, what, item);
            return cnnbn_error(CNNBN_ERR_DATA, "%s: damaged gzip data in %s %zu: %s", f->path, what, item, text);
        }
        at += got;
        bytes -= (size_t)got;
    }
    return CNNBN_OK;
}

static cnnbn_status expect_end(idx_file *f)
{
    unsigned char byte;
    int got = gzread(f->file, &byte, 1), code = Z_OK;
    if (got > 0) return cnnbn_error(CNNBN_ERR_DATA, "%s: data follow the %zu items of its header", f->path, f->dim[0]);
    const char *text = gzerror(f->file, &code);
    if (got < 0 || (code != Z_OK && code != Z_STREAM_END)) /* the checksum at the end of a gzip file */
        return cnnbn_error(CNNBN_ERR_DATA, "%s: damaged at its end: %s", f->path, text);
    return CNNBN_OK;
}

/* A plain file's size says at once whether its header is right; a gzipped one's is known only at its end. */
static cnnbn_status check_size(const idx_file *f, const struct stat *about, size_t header_bytes)
{
    if (!S_ISREG(about->st_mode) || !gzdirect(f->file)) return CNNBN_OK;
    uint64_t found = (uint64_t)about->st_size, expected = header_bytes + (uint64_t)f->dim[0] * f->sample_bytes;
    if (found == expected) return CNNBN_OK;
    return cnnbn_error(CNNBN_ERR_DATA, "%s: %s: %llu bytes, but its header (%zu items) asks for %llu", f->path,
                       found < expected ? "truncated" : "too long", (unsigned long long)found, f->dim[0],
                       (unsigned long long)expected);
}

static cnnbn_status read_header(idx_file *f, int is_images, const struct stat *about)
{
    unsigned char magic[4];
    CNNBN_TRY(read_exactly(f, magic, sizeof magic, "header byte", 0));
    int n_dims = magic[3];
    int right = is_images ? n_dims == 3 || n_dims == 4 : n_dims == 1;
    if (magic[0] || magic[1] || magic[2] != IDX_UBYTE || !right)
        return cnnbn_error(CNNBN_ERR_DATA, "%s: starts with %02x%02x%02x%02x; IDX %s of unsigned bytes start with %s%s",
                           f->path, magic[0], magic[1], magic[2], magic[3], is_images ? "images" : "labels",
                           is_images ? "00000803" : "00000801",
                           !magic[0] && !magic[1] && magic[2] == IDX_UBYTE ? " (images and labels swapped?)" : "");
    f->dim[1] = f->dim[2] = f->dim[3] = 1;
    for (int d = 0; d < n_dims; d++) {
        unsigned char b[4];
        CNNBN_TRY(read_exactly(f, b, sizeof b, "dimension", (size_t)d));
        f->dim[d] = (size_t)b[0] << 24 | (size_t)b[1] << 16 | (size_t)b[2] << 8 | b[3];
    }
    size_t H = f->dim[1], W = f->dim[2], C = f->dim[3], side = CNNBN_IMAGE_SIDE_MAX;
    if (is_images && (H < 1 || W < 1 || H > side || W > side))
        return cnnbn_error(CNNBN_ERR_DATA, "%s: images of %zu x %zu; 1 x 1 to %zu x %zu are possible", f->path, H, W,
                           side, side);
    if (C != 1 && C != 3) return cnnbn_error(CNNBN_ERR_DATA, "%s: images of %zu channels, not 1 or 3", f->path, C);
    f->sample_bytes = H * W * C;
    return check_size(f, about, 4 + 4 * (size_t)n_dims);
}

static cnnbn_status idx_open(idx_file *f, const char *path, int is_images)
{
    struct stat about;
    f->path = path;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &about) != 0) {
        cnnbn_status status = cnnbn_error(CNNBN_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
        if (fd >= 0) (void)close(fd);
        return status;
    }
    f->file = gzdopen(fd, "rb"); /* reads plain files as they are */
    if (!f->file) {
        (void)close(fd);
        return cnnbn_error(CNNBN_ERR_MEMORY, "%s: no memory to open it", path);
    }
    (void)gzbuffer(f->file, 1u << 17);
    return read_header(f, is_images, &about);
}

static void idx_close(idx_file *f)
{
    if (f->file) (void)gzclose(f->file);
    f->file = NULL;
}

typedef struct idx_set {
    idx_file images[2];
    cnnbn__labels labels[2];
    uint8_t *skipped; /* one image */
} idx_set;

static cnnbn_status read_labels(const char *path, cnnbn__labels *labels)
{
    idx_file f = {0};
    cnnbn_status status = idx_open(&f, path, 0);
    for (size_t i = 0; status == CNNBN_OK && i < f.dim[0]; i++) {
        unsigned char label = 0;
        status = read_exactly(&f, &label, 1, "label", i);
        if (status == CNNBN_OK) status = cnnbn__labels_add(labels, label);
    }
    if (status == CNNBN_OK) status = expect_end(&f);
    idx_close(&f);
    return status;
}

static cnnbn_status idx_read(void *context, cnnbn_split split, size_t index, uint8_t *image)
{
    idx_set *set = context;
    idx_file *f = &set->images[split];
    while (f->next < index) CNNBN_TRY(read_exactly(f, set->skipped, f->sample_bytes, "image", f->next++));
    return read_exactly(f, image, f->sample_bytes, "image", f->next++);
}

static cnnbn_status idx_finish(void *context, cnnbn_split split)
{
    idx_set *set = context;
    idx_file *f = &set->images[split];
    while (f->next < f->dim[0]) CNNBN_TRY(read_exactly(f, set->skipped, f->sample_bytes, "image", f->next++));
    return expect_end(f);
}

static cnnbn_status import_set(idx_set *set, const cnnbn_idx_files *files, const cnnbn_import_options *options)
{
    const char *images[2] = {files->train_images, files->test_images};
    const char *labels[2] = {files->train_labels, files->test_labels};
    cnnbn__source source = {.context = set, .read = idx_read, .finish = idx_finish};
    for (int split = 0; split < 2 && images[split]; split++) {
        idx_file *f = &set->images[split];
        CNNBN_TRY(idx_open(f, images[split], 1));
        CNNBN_TRY(read_labels(labels[split], &set->labels[split]));
        if (set->labels[split].n != f->dim[0])
            return cnnbn_error(CNNBN_ERR_DATA, "%s: %zu images, but %s has %zu labels", images[split], f->dim[0],
                               labels[split], set->labels[split].n);
        if (memcmp(f->dim + 1, set->images[0].dim + 1, 3 * sizeof *f->dim) != 0)
            return cnnbn_error(CNNBN_ERR_DATA, "%s: images of %zu x %zu x %zu, but those of %s are %zu x %zu x %zu",
                               images[split], f->dim[1], f->dim[2], f->dim[3], images[0], set->images[0].dim[1],
                               set->images[0].dim[2], set->images[0].dim[3]);
        source.n[split] = f->dim[0];
        source.labels[split] = set->labels[split].label;
        source.labels_from[split] = labels[split];
    }
    source.shape.rank = 3;
    for (int d = 0; d < 3; d++) source.shape.dim[d] = (int)set->images[0].dim[d + 1];
    void *skipped = NULL;
    CNNBN_TRY(cnnbn_alloc(set->images[0].sample_bytes, "an image", &skipped));
    set->skipped = skipped;
    return cnnbn__import_write(&source, options);
}

cnnbn_status cnnbn_import_idx(const cnnbn_idx_files *files, const cnnbn_import_options *options)
{
    if (!files->train_images || !files->train_labels)
        return cnnbn_error(CNNBN_ERR_OPTION, "training images and training labels are both needed");
    if (!files->test_images != !files->test_labels)
        return cnnbn_error(CNNBN_ERR_OPTION, "test images and test labels are needed together");
    CNNBN_TRY(cnnbn__import_check_out(options));
    idx_set set = {0};
    cnnbn_status status = import_set(&set, files, options);
    for (int split = 0; split < 2; split++) {
        idx_close(&set.images[split]);
        cnnbn_free(set.labels[split].label);
    }
    cnnbn_free(set.skipped);
    return status;
}
