/*
 * Native core of verify.stamp: makes and checks stamps at memory speed.
 *
 * The format is written down in stamp.py and once more, as slowly and obviously as possible, in tests/unit/verify/reference.py;
 * the tests hold this file against that one. Everything here is plain C on 64-bit words, so that the same bytes
 * come out on every architecture, without choosing instructions at run time.
 *
 * Buffers are scanned and filled with the GIL released. Arguments arrive range-checked from stamp.py.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>

#include <stdint.h>
#include <string.h>

#define SECTOR_BYTES 512
#define SECTOR_WORDS 64
#define HEADER_WORDS 5
#define CHECKSUM_WORD 63
/* How far ahead a scan asks for memory, since processors by themselves stop at the end of a page. */
#define AHEAD_BYTES (6 * SECTOR_BYTES)

#define FORMAT_VERSION 1u
#define KIND_STORE 1u
#define KIND_BASE 2u
#define KIND_FOREIGN 3u

enum page_look { PAGE_ZERO = 0, PAGE_OWN = 1, PAGE_IRREGULAR = 2 };
enum sector_look { SECTOR_ZERO = 0, SECTOR_STAMP = 1, SECTOR_BAD_CHECKSUM = 2, SECTOR_GARBAGE = 3 };

/* b"\x89torture" read as a little-endian word. */
static const uint64_t MAGIC = UINT64_C(0x65727574726f7489);
static const uint64_t MULTIPLIER = UINT64_C(0xd6e8feb86659fd93);
static const uint64_t STEP = UINT64_C(0x9e3779b97f4a7c15);

/* Odd coefficients of the checksum, set once when the module is loaded. */
static uint64_t coefficient[CHECKSUM_WORD];
/* What a payload adds to the checksum: seed * payload_slope + payload_constant. */
static uint64_t payload_slope, payload_constant;

/* The first five words of a sector, in host byte order. */
struct header {
    uint64_t word[HEADER_WORDS];
};

static inline uint64_t little_endian(uint64_t word)
{
#if __BYTE_ORDER__ == __ORDER_BIG_ENDIAN__
    return __builtin_bswap64(word);
#else
    return word;
#endif
}

static inline uint64_t load(const unsigned char *sector, int index)
{
    uint64_t word;

    memcpy(&word, sector + 8 * index, 8);
    return little_endian(word);
}

static inline void store(unsigned char *sector, int index, uint64_t word)
{
    word = little_endian(word);
    memcpy(sector + 8 * index, &word, 8);
}

static inline uint64_t mix(uint64_t x)
{
    x ^= x >> 32;
    x *= MULTIPLIER;
    return x ^ (x >> 29);
}

static void set_coefficients(void)
{
    for (int i = 0; i < CHECKSUM_WORD; i++)
        coefficient[i] = mix(mix((uint64_t)(i + 1) * STEP)) | 1;
    for (int i = HEADER_WORDS; i < CHECKSUM_WORD; i++) {
        payload_slope += coefficient[i];
        payload_constant += coefficient[i] * (uint64_t)i * STEP;
    }
}

static inline struct header make_header(unsigned kind, unsigned sector, uint32_t writer, uint64_t run, uint32_t file,
                                        uint32_t generation, uint64_t page)
{
    return (struct header){{
        MAGIC,
        (uint64_t)FORMAT_VERSION | (uint64_t)kind << 16 | (uint64_t)sector << 24 | (uint64_t)writer << 32,
        run,
        (uint64_t)file | (uint64_t)generation << 32,
        page,
    }};
}

static inline unsigned header_version(const struct header *h) { return h->word[1] & 0xffff; }
static inline unsigned header_kind(const struct header *h) { return h->word[1] >> 16 & 0xff; }
static inline unsigned header_sector(const struct header *h) { return h->word[1] >> 24 & 0xff; }
static inline uint32_t header_writer(const struct header *h) { return (uint32_t)(h->word[1] >> 32); }
static inline uint32_t header_file(const struct header *h) { return (uint32_t)h->word[3]; }
static inline uint32_t header_generation(const struct header *h) { return (uint32_t)(h->word[3] >> 32); }

static inline struct header read_header(const unsigned char *sector)
{
    struct header h;

    for (int i = 0; i < HEADER_WORDS; i++)
        h.word[i] = load(sector, i);
    return h;
}

/* Word 1, the only one to change from sector to sector, comes last: the rest is worked out once a page. */
static inline uint64_t payload_seed(const struct header *h)
{
    uint64_t seed = 0;

    for (int i = 2; i < HEADER_WORDS; i++)
        seed = mix((seed + STEP) ^ h->word[i]);
    return mix((seed + STEP) ^ h->word[1]);
}

static inline uint64_t checksum(const struct header *h, uint64_t seed)
{
    uint64_t sum = seed * payload_slope + payload_constant;

    for (int i = 0; i < HEADER_WORDS; i++)
        sum += h->word[i] * coefficient[i];
    return sum;
}

static inline void fill_sector(unsigned char *sector, const struct header *h)
{
    uint64_t seed = payload_seed(h), word = seed + HEADER_WORDS * STEP;

    for (int i = 0; i < HEADER_WORDS; i++)
        store(sector, i, h->word[i]);
    for (int i = HEADER_WORDS; i < CHECKSUM_WORD; i++, word += STEP)
        store(sector, i, word);
    store(sector, CHECKSUM_WORD, checksum(h, seed));
}

/* Only a hint, which never faults: what is asked for may lie past the end of the buffer. */
static inline void prefetch_sector(uintptr_t address)
{
    for (int i = 0; i < SECTOR_BYTES; i += 64)
        __builtin_prefetch((const void *)(address + (uintptr_t)i));
}

/* Does the sector hold exactly the stamp that this header makes? */
static inline int is_stamp(const unsigned char *sector, const struct header *h)
{
    uint64_t seed = payload_seed(h), word = seed + HEADER_WORDS * STEP, difference = 0;

    for (int i = 0; i < HEADER_WORDS; i++)
        difference |= load(sector, i) ^ h->word[i];
    if (difference)
        return 0;
    for (int i = HEADER_WORDS; i < CHECKSUM_WORD; i++, word += STEP)
        difference |= load(sector, i) ^ word;
    return (difference | (load(sector, CHECKSUM_WORD) ^ checksum(h, seed))) == 0;
}

static int is_zero(const unsigned char *bytes, Py_ssize_t length)
{
    return bytes[0] == 0 && memcmp(bytes, bytes + 1, (size_t)length - 1) == 0;
}

/* Pages in a row that look alike. */
struct span {
    uint64_t first_page;
    uint64_t pages;
    enum page_look look;
    uint32_t generation;
    uint32_t writer;
};

static struct span look_at_page(const unsigned char *bytes, Py_ssize_t page_bytes, uint64_t run, uint32_t file,
                                uint64_t page)
{
    struct span irregular = {page, 1, PAGE_IRREGULAR, 0, 0};
    struct header first = read_header(bytes);
    unsigned kind = header_kind(&first);
    uint32_t generation = header_generation(&first), writer = header_writer(&first);

    if (is_zero(bytes, page_bytes))
        return (struct span){page, 1, PAGE_ZERO, 0, 0};
    if (!(kind == KIND_STORE && generation > 0) && !(kind == KIND_BASE && generation == 0))
        return irregular;
    for (Py_ssize_t offset = 0; offset < page_bytes; offset += SECTOR_BYTES) {
        struct header expected =
            make_header(kind, (unsigned)(offset / SECTOR_BYTES), writer, run, file, generation, page);
        prefetch_sector((uintptr_t)bytes + (uintptr_t)offset + AHEAD_BYTES);
        if (!is_stamp(bytes + offset, &expected))
            return irregular;
    }
    return (struct span){page, 1, PAGE_OWN, generation, writer};
}

static int continues(const struct span *last, const struct span *next)
{
    return next->look != PAGE_IRREGULAR && last->look == next->look && last->generation == next->generation &&
           last->writer == next->writer;
}

/* Fills `spans`, which has room for every page, and returns how many it used. */
static Py_ssize_t scan_pages(struct span *spans, const unsigned char *bytes, Py_ssize_t length, Py_ssize_t page_bytes,
                             uint64_t run, uint32_t file, uint64_t first_page)
{
    Py_ssize_t used = 0;

    for (Py_ssize_t offset = 0; offset < length; offset += page_bytes) {
        struct span next =
            look_at_page(bytes + offset, page_bytes, run, file, first_page + (uint64_t)(offset / page_bytes));
        if (used && continues(&spans[used - 1], &next))
            spans[used - 1].pages++;
        else
            spans[used++] = next;
    }
    return used;
}

static PyObject *list_of(const struct span *spans, Py_ssize_t used)
{
    PyObject *list = PyList_New(used);

    for (Py_ssize_t i = 0; list && i < used; i++) {
        PyObject *item = Py_BuildValue("KKiII", (unsigned long long)spans[i].first_page,
                                       (unsigned long long)spans[i].pages, (int)spans[i].look, spans[i].generation,
                                       spans[i].writer);
        if (!item || PyList_SetItem(list, i, item) < 0)
            Py_CLEAR(list);
    }
    return list;
}

static PyObject *stamp_fill(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer buffer;
    unsigned long long run, first_page;
    unsigned int file, generation, writer, kind;
    Py_ssize_t page_bytes;

    if (!PyArg_ParseTuple(args, "w*KIKIIIn", &buffer, &run, &file, &first_page, &generation, &writer, &kind,
                          &page_bytes))
        return NULL;
    Py_BEGIN_ALLOW_THREADS
    for (Py_ssize_t offset = 0; offset < buffer.len; offset += SECTOR_BYTES) {
        struct header h = make_header(kind, (unsigned)(offset % page_bytes / SECTOR_BYTES), writer, run, file,
                                      generation, first_page + (uint64_t)(offset / page_bytes));
        fill_sector((unsigned char *)buffer.buf + offset, &h);
    }
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&buffer);
    Py_RETURN_NONE;
}

static PyObject *stamp_scan(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer buffer;
    unsigned long long run, first_page;
    unsigned int file;
    Py_ssize_t page_bytes, used;
    struct span *spans;
    PyObject *list;

    if (!PyArg_ParseTuple(args, "y*KIKn", &buffer, &run, &file, &first_page, &page_bytes))
        return NULL;
    spans = PyMem_Malloc((size_t)(buffer.len / page_bytes + 1) * sizeof *spans);
    if (!spans) {
        PyBuffer_Release(&buffer);
        return PyErr_NoMemory();
    }
    Py_BEGIN_ALLOW_THREADS
    used = scan_pages(spans, buffer.buf, buffer.len, page_bytes, run, file, first_page);
    Py_END_ALLOW_THREADS
    PyBuffer_Release(&buffer);
    list = list_of(spans, used);
    PyMem_Free(spans);
    return list;
}

static enum sector_look look_at_sector(const unsigned char *sector, const struct header *h)
{
    if (is_zero(sector, SECTOR_BYTES))
        return SECTOR_ZERO;
    if (h->word[0] != MAGIC)
        return SECTOR_GARBAGE;
    if (header_version(h) != FORMAT_VERSION || header_kind(h) < KIND_STORE || header_kind(h) > KIND_FOREIGN)
        return SECTOR_BAD_CHECKSUM;
    return is_stamp(sector, h) ? SECTOR_STAMP : SECTOR_BAD_CHECKSUM;
}

static PyObject *stamp_classify(PyObject *Py_UNUSED(module), PyObject *args)
{
    Py_buffer buffer;
    struct header h = {{0}};
    enum sector_look look;

    if (!PyArg_ParseTuple(args, "y*", &buffer))
        return NULL;
    if (buffer.len != SECTOR_BYTES) {
        PyErr_Format(PyExc_ValueError, "a sector has %d bytes, not %zd", SECTOR_BYTES, buffer.len);
        PyBuffer_Release(&buffer);
        return NULL;
    }
    h = read_header(buffer.buf);
    look = look_at_sector(buffer.buf, &h);
    PyBuffer_Release(&buffer);
    if (look == SECTOR_ZERO || look == SECTOR_GARBAGE)
        h = (struct header){{0}};
    return Py_BuildValue("iIKIKIII", (int)look, header_kind(&h), (unsigned long long)h.word[2], header_file(&h),
                         (unsigned long long)h.word[4], header_sector(&h), header_generation(&h), header_writer(&h));
}

static PyMethodDef methods[] = {
    {"fill", stamp_fill, METH_VARARGS,
     "fill(buffer, run, file, first_page, generation, writer, kind, page_bytes)\n--\n\nStamp whole pages."},
    {"scan", stamp_scan, METH_VARARGS,
     "scan(buffer, run, file, first_page, page_bytes)\n--\n\n"
     "List of (first_page, pages, look, generation, writer)."},
    {"classify", stamp_classify, METH_VARARGS,
     "classify(sector)\n--\n\nTuple (look, kind, run, file, page, sector, generation, writer)."},
    {NULL, NULL, 0, NULL},
};

static struct PyModuleDef definition = {
    PyModuleDef_HEAD_INIT,
    .m_name = "verify._stamp",
    .m_doc = "Native core of verify.stamp.",
    .m_size = -1,
    .m_methods = methods,
};

PyMODINIT_FUNC PyInit__stamp(void)
{
    set_coefficients();
    return PyModule_Create(&definition);
}
