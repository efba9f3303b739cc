#include "checkpoint_internal.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static const char magic[] = "cnnbn checkpoint\n";
static const char hdf5_signature[8] = {(char)0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};

static void seal_text(uint64_t file_bytes, const char *digest, char seal[CNNBN_SEAL_BYTES])
{
    memset(seal, 0, CNNBN_SEAL_BYTES);
    (void)snprintf(
        seal, CNNBN_SEAL_BYTES,
        "%sbytes %020llu\nxxh3-128 %s\nAn HDF5 file with a user block of 512 bytes: Keras and h5py open it as it is. "
        "The digest is of all bytes after this block.\n",
        magic, (unsigned long long)file_bytes, digest);
}

cnnbn_status cnnbn__seal_make(const void *content, size_t bytes, char seal[CNNBN_SEAL_BYTES])
{
    cnnbn_digest *digest;
    char text[CNNBN_DIGEST_TEXT];
    CNNBN_TRY(cnnbn_digest_create(&digest));
    cnnbn_digest_add(digest, content, bytes);
    cnnbn_digest_end(digest, text);
    seal_text((uint64_t)bytes + CNNBN_SEAL_BYTES, text, seal);
    return CNNBN_OK;
}

/* As many bytes as there are, up to the wanted; -1 and errno when the disk fails. */
static ssize_t read_fully(int fd, char *to, size_t wanted)
{
    size_t done = 0;
    while (done < wanted) {
        ssize_t got = read(fd, to + done, wanted - done);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return -1;
        if (got == 0) break;
        done += (size_t)got;
    }
    return (ssize_t)done;
}

static cnnbn_status unreadable(const char *path)
{
    return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be read: %s", path, strerror(errno));
}

static cnnbn_status digest_rest(int fd, const char *path, uint64_t *bytes, char text[CNNBN_DIGEST_TEXT])
{
    const size_t piece = (size_t)1 << 20;
    void *buffer;
    cnnbn_digest *digest;
    CNNBN_TRY(cnnbn_alloc(piece, "reading a checkpoint", &buffer));
    cnnbn_status status = cnnbn_digest_create(&digest);
    if (status == CNNBN_OK) {
        ssize_t got;
        *bytes = 0;
        while ((got = read_fully(fd, buffer, piece)) > 0) {
            cnnbn_digest_add(digest, buffer, (size_t)got);
            *bytes += (uint64_t)got;
        }
        if (got < 0) status = unreadable(path);
        cnnbn_digest_end(digest, text);
    }
    cnnbn_free(buffer);
    return status;
}

static cnnbn_status check_sealed(int fd, const char *path, const char found[CNNBN_SEAL_BYTES])
{
    char digest[CNNBN_DIGEST_TEXT], expected[CNNBN_SEAL_BYTES];
    uint64_t bytes;
    CNNBN_TRY(digest_rest(fd, path, &bytes, digest));
    bytes += CNNBN_SEAL_BYTES;
    seal_text(bytes, digest, expected);
    if (memcmp(found, expected, sizeof expected) == 0) return CNNBN_OK;
    char size[21] = "";
    memcpy(size, found + sizeof magic - 1 + strlen("bytes "), sizeof size - 1);
    unsigned long long promised = strtoull(size, NULL, 10);
    if (promised > bytes)
        return cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: is truncated: %llu of %llu bytes are there", path,
                           (unsigned long long)bytes, promised);
    return cnnbn_error(CNNBN_ERR_CHECKPOINT,
                       "%s: its content does not match its digest: it is damaged, or was changed after it was written",
                       path);
}

cnnbn_status cnnbn__seal_check(const char *path, int *sealed)
{
    char first[CNNBN_SEAL_BYTES];
    *sealed = 0;
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
    if (fd < 0) return cnnbn_error(CNNBN_ERR_IO, "%s: cannot be opened: %s", path, strerror(errno));
    struct stat about;
    cnnbn_status status = CNNBN_OK;
    ssize_t got = 0;
    if (fstat(fd, &about) != 0) {
        status = unreadable(path);
    } else if (!S_ISREG(about.st_mode)) {
        status = cnnbn_error(CNNBN_ERR_IO, "%s: is %s, expected a checkpoint file", path,
                             S_ISDIR(about.st_mode) ? "a folder" : "not a regular file");
    } else if ((got = read_fully(fd, first, sizeof first)) < 0) {
        status = unreadable(path);
    } else if ((size_t)got >= sizeof hdf5_signature && memcmp(first, hdf5_signature, sizeof hdf5_signature) == 0) {
        *sealed = 0;
    } else if ((size_t)got >= sizeof magic - 1 && memcmp(first, magic, sizeof magic - 1) == 0) {
        if ((size_t)got < sizeof first)
            status = cnnbn_error(CNNBN_ERR_CHECKPOINT, "%s: is truncated: %zd bytes are there", path, got);
        else
            status = check_sealed(fd, path, first);
        *sealed = status == CNNBN_OK;
    } else {
        const char *hint = got >= 4 && memcmp(first, "PK\003\004", 4) == 0
                               ? " (a zip archive: a .keras file? Keras: model.save(\"model.h5\"))"
                               : "";
        status = cnnbn_error(CNNBN_ERR_CHECKPOINT,
                             "%s: is neither a cnnbn checkpoint nor an HDF5 file, or its beginning is damaged%s", path,
                             got == 0 ? " (it is empty)" : hint);
    }
    (void)close(fd);
    return status;
}
