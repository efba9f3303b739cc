#include "h5_output.h"

#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <unistd.h>

#if H5_VERSION_GE(1, 13, 0)
#include <H5FDdevelop.h>
#endif

typedef struct output_file {
    H5FD_t base; /* HDF5's part, first */
    int fd;
    haddr_t allocated, end; /* end: of what was written, failed writes included */
    cnnbn__h5_output *output;
} output_file;

static H5FD_t *output_open(const char *name, unsigned flags, hid_t access, haddr_t max_address)
{
    (void)max_address;
    cnnbn__h5_output *const *output = H5Pget_driver_info(access);
    /* HDF5 first tries whether the file is there, without leave to create it; it then wants a new one */
    if (!output || !(flags & H5F_ACC_CREAT)) return NULL;
    void *block;
    if (cnnbn_alloc(sizeof(output_file), "a file", &block) != CNNBN_OK) return NULL;
    output_file *file = block;
    file->output = *output;
    file->fd = open(name, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (file->fd < 0) {
        file->output->error = errno;
        cnnbn_free(file);
        return NULL;
    }
    return &file->base;
}

static herr_t output_close(H5FD_t *base)
{
    output_file *file = (output_file *)base;
    if (close(file->fd) != 0 && !file->output->error) file->output->error = errno;
    cnnbn_free(file);
    return 0;
}

static herr_t output_query(const H5FD_t *base, unsigned long *flags)
{
    (void)base;
    *flags = H5FD_FEAT_AGGREGATE_METADATA | H5FD_FEAT_ACCUMULATE_METADATA | H5FD_FEAT_DATA_SIEVE |
             H5FD_FEAT_AGGREGATE_SMALLDATA;
    return 0;
}

static haddr_t output_get_eoa(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const output_file *)base)->allocated;
}

static herr_t output_set_eoa(H5FD_t *base, H5FD_mem_t type, haddr_t address)
{
    (void)type;
    ((output_file *)base)->allocated = address;
    return 0;
}

static haddr_t output_get_eof(const H5FD_t *base, H5FD_mem_t type)
{
    (void)type;
    return ((const output_file *)base)->end;
}

/* What is beyond the end reads as zeros. */
static herr_t output_read(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t bytes, void *data)
{
    output_file *file = (output_file *)base;
    char *to = data;
    (void)type, (void)transfer;
    while (bytes > 0) {
        ssize_t got = pread(file->fd, to, bytes, (off_t)address);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0 && !file->output->error) file->output->error = errno;
        if (got <= 0) break;
        to += got;
        bytes -= (size_t)got;
        address += (haddr_t)got;
    }
    memset(to, 0, bytes);
    return 0;
}

static herr_t output_write(H5FD_t *base, H5FD_mem_t type, hid_t transfer, haddr_t address, size_t bytes,
                           const void *data)
{
    output_file *file = (output_file *)base;
    const char *from = data;
    (void)type, (void)transfer;
    if (address + bytes > file->end) file->end = address + bytes;
    while (bytes > 0 && !file->output->error) {
        ssize_t written = pwrite(file->fd, from, bytes, (off_t)address);
        if (written < 0 && errno == EINTR) continue;
        if (written <= 0) {
            file->output->error = written < 0 ? errno : EIO;
            break;
        }
        from += written;
        bytes -= (size_t)written;
        address += (haddr_t)written;
    }
    return 0;
}

static herr_t output_truncate(H5FD_t *base, hid_t transfer, hbool_t closing)
{
    output_file *file = (output_file *)base;
    (void)transfer, (void)closing;
    if (file->end == file->allocated) return 0;
    if (!file->output->error && ftruncate(file->fd, (off_t)file->allocated) != 0) file->output->error = errno;
    file->end = file->allocated;
    return 0;
}

static const H5FD_class_t driver = {
#if H5_VERSION_GE(1, 13, 0)
    .version = H5FD_CLASS_VERSION,
    .value = 600, /* of those left to private use */
#endif
    .name = "cnnbn output",
    .maxaddr = ((haddr_t)1 << 62) - 1,
    .fc_degree = H5F_CLOSE_WEAK,
    .fapl_size = sizeof(cnnbn__h5_output *),
    .open = output_open,
    .close = output_close,
    .query = output_query,
    .get_eoa = output_get_eoa,
    .set_eoa = output_set_eoa,
    .get_eof = output_get_eof,
    .read = output_read,
    .write = output_write,
    .truncate = output_truncate,
    .fl_map = H5FD_FLMAP_DICHOTOMY,
};

hid_t cnnbn__h5_create_output(const char *path, hid_t access, cnnbn__h5_output *output)
{
    /* Registered once, as HDF5's own drivers are: closing a file reads the class after it gave its reference back. */
    static hid_t id = H5I_INVALID_HID;
    *output = (cnnbn__h5_output){0};
    if (H5Iget_type(id) != H5I_VFL) id = H5FDregister(&driver);
    if (id < 0 || H5Pset_driver(access, id, &output) < 0) return H5I_INVALID_HID;
    return H5Fcreate(path, H5F_ACC_TRUNC, H5P_DEFAULT, access);
}
