/*
 * The kernel's algorithm in C, for comparison (npm run bench:kernel): same layout, same three passes,
 * same hash, same growth as wasm/assembly/, but with prefetch instructions instead of early stores and loads, and
 * without the copy into linear memory. wasm/assembly/ says why things are as they are.
 *
 *     kernel ROWS.bin ROWS.index PASSES        prints {"firstSeconds", "seconds", "keys", "clicks", "checksum"}
 *
 * Only the ingestion is on the clock: the rows are in memory before, and the tally comes after. It is done
 * PASSES times, from the second on in memory that has been given back (tests/bench/contend-here.ts says why).
 */
#define _GNU_SOURCE
#include <immintrin.h>
#include <inttypes.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "the rows are little-endian"
#endif

typedef uint8_t u8;
typedef uint32_t u32;
typedef uint64_t u64;

enum { AD_ID_MAX = 64, COUNTRY_MAX = 2, DEVICE_MAX = 16, INVALID_REASON_MAX = 32 };
enum { KEY_MAX = 4 + AD_ID_MAX + COUNTRY_MAX + DEVICE_MAX + INVALID_REASON_MAX };
enum { BLOCK_BYTES_MAX = 512 * 1024 - 256, BLOCK_ROWS_MAX = BLOCK_BYTES_MAX / 12 };
enum { BATCH_ROWS = 128, LEFT_ROWS_MAX = BATCH_ROWS, SLACK = 16 };
/* No length of a string: one byte has it. */
enum { NO_LENGTH = 256 };
enum { TABLE_LOG2_MIN = 10, CHUNK_LOG2_MIN = 10, CHUNK_LOG2_MAX = 16, CHUNK_HEAD = 8 };
enum { LINE_LOG2 = 6 };
enum { WINDOWS_MAX = 64 };

static inline u32 load32(const void *p) { u32 x; memcpy(&x, p, 4); return x; }
static inline u64 load64(const void *p) { u64 x; memcpy(&x, p, 8); return x; }
static inline void store64(void *p, u64 x) { memcpy(p, &x, 8); }

static void fail(const char *why) {
  fprintf(stderr, "%s\n", why);
  exit(1);
}

/* ---- memory: one area, referred to by 32-bit offsets; blocks of powers of two, reused by size ---- */

static u8 *area;
static u64 untouched = 64;
static u32 freeLists[33];
#define AREA_BYTES ((u64)1 << 32)

static void openArea(void) {
  area = mmap(NULL, AREA_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (area == MAP_FAILED) fail("no address space for the area");
}

/* A block stands at a multiple of its size: lines are not torn. */
static u32 take(u32 log2) {
  u32 block = freeLists[log2];
  if (block != 0) {
    freeLists[log2] = load32(area + block);
    return block;
  }
  u64 bytes = (u64)1 << log2;
  u64 at = (untouched + bytes - 1) & ~(bytes - 1);
  if (at + bytes + SLACK > AREA_BYTES) fail("out of memory");
  block = (u32)at;
  untouched = at + bytes;
  return block;
}

static void give(u32 block, u32 log2) {
  memcpy(area + block, &freeLists[log2], 4);
  freeLists[log2] = block;
}

/* ---- keys: fasthash64 (Zilong Tan, MIT), compared and copied 8 bytes at a time ---- */

static inline u64 mix(u64 h) {
  h ^= h >> 23;
  h *= 0x2127599bf4325c37u;
  return h ^ (h >> 47);
}

/* Reads up to 7 bytes before a key that is shorter than 8. */
static inline u64 keyHash(const u8 *key, const u8 *end) {
  const u64 m = 0x880355f21e6d1965u;
  u64 bytes = (u64)(end - key);
  u64 h = bytes * m;
  const u8 *last = end - 8;
  for (; key < last; key += 8) h = (h ^ mix(load64(key))) * m;
  u64 word = load64(last) >> (-bytes * 8 & 63);
  return mix((h ^ mix(word)) * m);
}

static inline __m128i load128(const void *p) { return _mm_loadu_si128(p); }

static bool sameShortKey(const u8 *a, const u8 *b, u32 bytes) {
  const u8 *end = a + (bytes & ~7u);
  for (; a < end; a += 8, b += 8) {
    if (load64(a) != load64(b)) return false;
  }
  u32 rest = bytes & 7;
  return rest == 0 || (load64(a) ^ load64(b)) << (64 - rest * 8) == 0;
}

static inline bool sameKey(const u8 *a, const u8 *b, u32 bytes) {
  if (bytes < 16) return sameShortKey(a, b, bytes);
  u32 last = bytes - 16;
  __m128i differs = _mm_or_si128(_mm_xor_si128(load128(a), load128(b)), _mm_xor_si128(load128(a + last), load128(b + last)));
  for (u32 at = 16; at < last; at += 16) {
    differs = _mm_or_si128(differs, _mm_xor_si128(load128(a + at), load128(b + at)));
  }
  return _mm_testz_si128(differs, differs);
}

static inline void copyKey(u8 *to, const u8 *from, u32 bytes) {
  u32 last = bytes < 16 ? 0 : bytes - 16;
  for (u32 at = 0; at < last; at += 16) _mm_storeu_si128((__m128i *)(to + at), load128(from + at));
  _mm_storeu_si128((__m128i *)(to + last), load128(from + last));
}

/* ---- windows: a table and an arena each ---- */

/* Seven entries and records, as wasm/assembly/table.ts has them. */
enum { LINE_ENTRIES = 7, RECORD_KEY = 8, NEAR_KEY_BYTES = 56 };
typedef struct {
  u32 hash[7];
  u32 taken;     /* a bit for each taken entry, from the lowest one on */
  u32 record[7]; /* offset in the area; 0: empty */
  u32 spare;
} Line;
_Static_assert(sizeof(Line) == 64, "a line of the cache");
enum { LANES = (1 << LINE_ENTRIES) - 1 };

static const u64 CLICKS_MASK = ((u64)1 << 56) - 1;

/* Of a line's entries, a bit for each that has the hash, and for the first empty one. */
static inline u32 placesInLine(const Line *line, u32 hash) {
  __m128i hashes = _mm_set1_epi32((int)hash);
  u32 low = (u32)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(load128(line), hashes)));
  u32 high = (u32)_mm_movemask_ps(_mm_castsi128_ps(_mm_cmpeq_epi32(load128((const u8 *)line + 16), hashes)));
  return (low | high << 4 | (line->taken + 1)) & LANES;
}

/* Writes an entry, which is the first empty one of its line. */
static inline void takeEntry(Line *line, u32 place, u32 hash, u32 record) {
  line->taken = line->taken << 1 | 1;
  line->hash[place] = hash;
  line->record[place] = record;
}

typedef struct {
  u32 start;
  u32 log2; /* of the table's bytes; 0: no table */
  u32 table;
  u32 mask;
  u32 shift;
  u32 rows;
  u64 clicks;
  u32 arenaAt, arenaEnd, chunkFirst, chunk, spareBytes;
  u32 pendingRows, pendingBytes;
} Window;

static Window windows[WINDOWS_MAX];
static u32 windowCount = 0;
static Window *lastWindow = NULL;

static Window *windowFor(u32 start) {
  if (lastWindow != NULL && lastWindow->start == start) return lastWindow;
  for (u32 i = 0; i < windowCount; i++) {
    if (windows[i].start == start) return lastWindow = &windows[i];
  }
  if (windowCount == WINDOWS_MAX) fail("too many windows");
  lastWindow = &windows[windowCount++];
  lastWindow->start = start;
  return lastWindow;
}

static inline Line *lineAt(const Window *window, u32 offset) { return (Line *)(area + window->table + offset); }

static inline Line *lineBehind(const Window *window, const Line *line) {
  u32 offset = (u32)((const u8 *)(line + 1) - (area + window->table));
  return lineAt(window, offset & window->mask);
}

/* At most 3/4 full, as if every announced row were a new key. */
static void reserveTable(Window *window) {
  u64 rows = (u64)window->rows + window->pendingRows;
  u32 log2 = window->log2 == 0 ? TABLE_LOG2_MIN : window->log2;
  while (rows * 4 > ((u64)1 << (log2 - LINE_LOG2)) * LINE_ENTRIES * 3) log2++;
  if (log2 > 31) fail("a table of 4 GiB");
  if (log2 == window->log2) return;
  u32 table = take(log2);
  u32 bytes = 1u << log2;
  memset(area + table, 0, bytes);
  u32 mask = bytes - sizeof(Line);
  u32 shift = 32 - (log2 - LINE_LOG2);
  if (window->log2 != 0) {
    const Line *old = lineAt(window, 0);
    const Line *end = old + ((1u << window->log2) / sizeof(Line));
    for (; old < end; old++) {
      u32 taken = (u32)__builtin_popcount(old->taken);
      for (u32 place = 0; place < taken; place++) {
        u32 offset = (old->hash[place] >> shift) << LINE_LOG2;
        Line *line = (Line *)(area + table + offset);
        while (line->taken == LANES) {
          offset = (offset + sizeof(Line)) & mask;
          line = (Line *)(area + table + offset);
        }
        takeEntry(line, (u32)__builtin_popcount(line->taken), old->hash[place], old->record[place]);
      }
    }
    give(window->table, window->log2);
  }
  window->table = table;
  window->mask = mask;
  window->shift = shift;
  window->log2 = log2;
}

/* A record leaves out so little of a line, to be in one. */
enum { LINE_REST = 16 };

static u32 recordBytes(u32 keyBytes) { return (RECORD_KEY + keyBytes + 7) & ~7u; }
/* What a record takes at most, beyond its key. */
enum { RECORD_EXTRA_MAX = LINE_REST + RECORD_KEY + 7 };

static u32 surelyFits(u32 room) {
  u32 lost = KEY_MAX + RECORD_EXTRA_MAX;
  return room > lost ? room - lost : 0;
}
static u32 chunkRoom(u32 log2) { return (1u << log2) - CHUNK_HEAD - SLACK; }

static void enterChunk(Window *window, u32 chunk) {
  window->chunk = chunk;
  window->arenaAt = chunk + CHUNK_HEAD;
  window->arenaEnd = window->arenaAt + chunkRoom(load32(area + chunk + 4));
}

/* Appends chunks (next, log2, keys) until the announced keys surely fit. */
static void reserveArena(Window *window) {
  u32 sure = surelyFits(window->arenaEnd - window->arenaAt) + window->spareBytes;
  u32 last = window->chunk;
  while (last != 0 && load32(area + last) != 0) last = load32(area + last);
  while (sure < window->pendingBytes) {
    u32 log2 = CHUNK_LOG2_MIN;
    if (last != 0) {
      log2 = load32(area + last + 4) + 1;
      if (log2 > CHUNK_LOG2_MAX) log2 = CHUNK_LOG2_MAX;
    }
    u32 chunk = take(log2);
    store64(area + chunk, (u64)log2 << 32);
    if (last == 0) {
      window->chunkFirst = chunk;
      enterChunk(window, chunk);
    } else {
      memcpy(area + last, &chunk, 4);
      window->spareBytes += surelyFits(chunkRoom(log2));
    }
    sure += surelyFits(chunkRoom(log2));
    last = chunk;
  }
}

static u32 startOf(u32 at) {
  u32 rest = sizeof(Line) - at % sizeof(Line);
  return rest <= LINE_REST ? at + rest : at;
}

static u32 newRecord(Window *window, u32 keyBytes) {
  u32 bytes = recordBytes(keyBytes);
  u32 at = startOf(window->arenaAt);
  if (at + bytes > window->arenaEnd) {
    u32 next = load32(area + window->chunk);
    if (next == 0) fail("the arena was not reserved");
    window->spareBytes -= surelyFits(chunkRoom(load32(area + next + 4)));
    enterChunk(window, next);
    at = startOf(window->arenaAt);
  }
  window->arenaAt = at + bytes;
  return at;
}

static void giveWindows(void) {
  for (u32 i = 0; i < windowCount; i++) {
    give(windows[i].table, windows[i].log2);
    u32 chunk = windows[i].chunkFirst;
    while (chunk != 0) {
      u32 next = load32(area + chunk);
      give(chunk, load32(area + chunk + 4));
      chunk = next;
    }
  }
  memset(windows, 0, sizeof(windows));
  windowCount = 0;
  lastWindow = NULL;
}

/* ---- ingestion ---- */

typedef struct {
  const u8 *key;
  u32 keyBytes;
  u32 hash;
  Window *window;
} Row;

static Row rowIndex[BLOCK_ROWS_MAX];

/* Of `rows` rows that take `bytes` in the block. */
static void announce(Window *window, u32 rows, u32 bytes, u64 clicks) {
  u32 keyBytes = bytes - rows * 8;
  window->pendingRows += rows;
  window->pendingBytes += keyBytes + rows * RECORD_EXTRA_MAX;
  window->clicks += clicks;
}

static void check(const u8 *at, u32 bytes, u32 rows) {
  const u8 *end = at + bytes;
  if (rows > BLOCK_ROWS_MAX) fail("too many rows in a block");
  Window *window = NULL;
  u32 start = ~load32(at);
  u32 usualBytes = at[4] > AD_ID_MAX ? NO_LENGTH : at[4];
  const u8 *firstAt = at;
  u32 firstRow = 0;
  u64 clicks = 0;
  for (u32 row = 0; row < rows; row++) {
    /* Behind the last block there is slack for the lengths of a row that is none (readWhole). */
    const u8 *key = at + 4;
    u32 adIdBytes = *key;
    const u8 *country;
    if (adIdBytes == usualBytes) {
      country = key + 1 + usualBytes;
    } else {
      if (adIdBytes > AD_ID_MAX) fail("an ad id is too long");
      usualBytes = NO_LENGTH;
      country = key + 1 + adIdBytes;
    }
    u32 countryBytes = *country;
    const u8 *device;
    if (countryBytes == COUNTRY_MAX) {
      device = country + 1 + COUNTRY_MAX;
    } else {
      if (countryBytes > COUNTRY_MAX) fail("a country is too long");
      device = country + 1 + countryBytes;
    }
    u32 deviceBytes = *device;
    const u8 *reason = device + 1 + deviceBytes;
    u32 reasonBytes = *reason;
    const u8 *keyEnd = reason + 1;
    if (reasonBytes != 0) {
      if (reasonBytes > INVALID_REASON_MAX) fail("a reason is too long");
      keyEnd += reasonBytes;
    }
    /* Negative if one of them is. */
    int32_t room = (int32_t)(end - keyEnd - 4) | (int32_t)(DEVICE_MAX - deviceBytes);
    if (room < 0) fail("a row is cut off or its device too long");
    if (load32(keyEnd) == 0) fail("a row without clicks");
    u32 rowStart = load32(at);
    if (rowStart != start) {
      if (window != NULL) announce(window, row - firstRow, (u32)(at - firstAt), clicks);
      clicks = 0;
      firstRow = row;
      firstAt = at;
      start = rowStart;
      window = windowFor(start);
    }
    u32 keyBytes = (u32)(keyEnd - key);
    rowIndex[row] = (Row){.key = key, .keyBytes = keyBytes, .hash = (u32)(keyHash(key, keyEnd) >> 32), .window = window};
    clicks += load32(keyEnd);
    at = keyEnd + 4;
  }
  if (window != NULL) announce(window, rows - firstRow, (u32)(at - firstAt), clicks);
  if (at != end) fail("bytes are left over");
}

static void reserve(void) {
  for (u32 i = 0; i < windowCount; i++) {
    if (windows[i].pendingRows == 0) continue;
    reserveTable(&windows[i]);
    reserveArena(&windows[i]);
    windows[i].pendingRows = 0;
    windows[i].pendingBytes = 0;
  }
}

/* Counts a row whose key is in a line or behind it, or nowhere. */
static __attribute__((noinline)) void countAway(const Row *row, Line *line) {
  Window *window = row->window;
  const u8 *key = row->key;
  u32 keyBytes = row->keyBytes;
  u32 hash = row->hash;
  u64 clicks = load32(key + keyBytes);
  u32 places = placesInLine(line, hash);
  while (places == 0) {
    line = lineBehind(window, line);
    places = placesInLine(line, hash);
  }
  u32 place = (u32)__builtin_ctz(places);
  while (true) {
    u32 record = line->record[place];
    if (record == 0) {
      record = newRecord(window, keyBytes);
      store64(area + record, clicks);
      copyKey(area + record + RECORD_KEY, key, keyBytes);
      takeEntry(line, place, hash, record);
      window->rows++;
      return;
    }
    if (line->hash[place] == hash && sameKey(key, area + record + RECORD_KEY, keyBytes)) {
      store64(area + record, load64(area + record) + clicks);
      return;
    }
    if (++place == LINE_ENTRIES) {
      place = 0;
      line = lineBehind(window, line);
    }
  }
}

typedef struct {
  const Row *row;
  Line *line;
} WantedRow;

typedef struct {
  const Row *row;
  u8 *record;
} KnownRow;

typedef struct {
  const Row *row;
  Line *line;
  u32 place;
} NewRow;

/* In so many lines more the rows left by a block's last batch are looked for together. */
enum { LAST_ROUNDS = 2 };

static inline Line *lineOf(const Row *row) { return lineAt(row->window, (row->hash >> row->window->shift) << LINE_LOG2); }

static void count(const Row *row, u32 rows) {
  WantedRow wanted[BATCH_ROWS + LEFT_ROWS_MAX], away[BATCH_ROWS + LEFT_ROWS_MAX];
  KnownRow known[BATCH_ROWS + LEFT_ROWS_MAX + 1];
  NewRow fresh[BATCH_ROWS + LEFT_ROWS_MAX + 1];
  const Row *end = row + rows;
  u32 left = 0;
  int lastRounds = LAST_ROUNDS;
  while (true) {
    /* Lines are prefetched as early as here, and records below: in loops of nothing else it is slower, some rows
       ahead of their use, as the kernel does it, no faster. */
    u32 wantedRows = left;
    const Row *batchEnd = end - row < BATCH_ROWS ? end : row + BATCH_ROWS;
    for (; row < batchEnd; row++) {
      Line *line = lineOf(row);
      wanted[wantedRows++] = (WantedRow){.row = row, .line = line};
      __builtin_prefetch(line, 1);
    }
    if (wantedRows == 0) return;

    u32 knownRows = 0, freshRows = 0, awayRows = 0;
    left = 0;
    for (u32 i = 0; i < wantedRows; i++) {
      const Row *at = wanted[i].row;
      Line *line = wanted[i].line;
      u32 places = placesInLine(line, at->hash);
      if (places == 0) {
        Line *next = lineBehind(at->window, line);
        __builtin_prefetch(next, 1);
        wanted[left++] = (WantedRow){.row = at, .line = next};
        continue;
      }
      u32 place = (u32)__builtin_ctz(places);
      u8 *record = area + line->record[place];
      __builtin_prefetch(record, 1);
      if (at->keyBytes > NEAR_KEY_BYTES) __builtin_prefetch(record + RECORD_KEY + at->keyBytes, 0);
      /* Both are written, and one list goes on. */
      known[knownRows] = (KnownRow){.row = at, .record = record};
      fresh[freshRows] = (NewRow){.row = at, .line = line, .place = place};
      knownRows += line->record[place] != 0;
      freshRows += line->record[place] == 0;
    }

    /* What may not be left is put away, as is what the next loops add. */
    if (row == end) lastRounds--;
    u32 leftMax = lastRounds < 0 ? 0 : LEFT_ROWS_MAX;
    for (; left > leftMax; left--) away[awayRows++] = wanted[left - 1];

    for (u32 i = 0; i < freshRows; i++) {
      const Row *at = fresh[i].row;
      Line *line = fresh[i].line;
      u32 bytes = recordBytes(at->keyBytes);
      Window *window = at->window;
      u32 record = startOf(window->arenaAt);
      /* Another row of this batch may have taken the entry. */
      if (line->record[fresh[i].place] == 0 && record + bytes <= window->arenaEnd) {
        window->arenaAt = record + bytes;
        store64(area + record, load32(at->key + at->keyBytes));
        copyKey(area + record + RECORD_KEY, at->key, at->keyBytes);
        takeEntry(line, fresh[i].place, at->hash, record);
        window->rows++;
      } else {
        away[awayRows++] = (WantedRow){.row = at, .line = line};
      }
    }

    for (u32 i = 0; i < knownRows; i++) {
      const Row *at = known[i].row;
      u8 *record = known[i].record;
      if (at->keyBytes >= 16 && sameKey(at->key, record + RECORD_KEY, at->keyBytes)) {
        store64(record, load64(record) + load32(at->key + at->keyBytes));
      } else {
        away[awayRows++] = (WantedRow){.row = at, .line = lineOf(at)};
      }
    }
    for (u32 i = 0; i < awayRows; i++) countAway(away[i].row, away[i].line);
  }
}

static void ingest(const u8 *body, u32 bytes, u32 rows) {
  check(body, bytes, rows);
  reserve();
  count(rowIndex, rows);
}

/* ---- the tally of tests/bench/tally.ts ---- */

static u32 crcTable[256];

static void makeCrcTable(void) {
  for (u32 i = 0; i < 256; i++) {
    u32 crc = i;
    for (int bit = 0; bit < 8; bit++) crc = (crc >> 1) ^ ((crc & 1) != 0 ? 0xedb88320u : 0);
    crcTable[i] = crc;
  }
}

static u32 crc32(const u8 *bytes, size_t length) {
  u32 crc = 0xffffffffu;
  for (size_t i = 0; i < length; i++) crc = crcTable[(crc ^ bytes[i]) & 255] ^ (crc >> 8);
  return ~crc;
}

static void printTally(double firstSeconds, double seconds) {
  u64 keys = 0, clicks = 0, checksum = 0;
  makeCrcTable();
  for (u32 i = 0; i < windowCount; i++) {
    const Window *window = &windows[i];
    for (u64 slot = 0; slot < ((u64)window->mask + sizeof(Line)) / 8; slot++) {
      const Line *from = lineAt(window, (u32)(slot / 8 * sizeof(Line)));
      u32 place = slot % 8;
      if (place == LINE_ENTRIES || from->record[place] == 0) continue;
      const u8 *record = area + from->record[place];
      u64 count = load64(record) & CLICKS_MASK;
      u8 line[KEY_MAX + 64];
      size_t length = 0;
      const u8 *at = record + RECORD_KEY;
      for (int field = 0; field < 4; field++) {
        memcpy(line + length, at + 1, *at);
        length += *at;
        line[length++] = '\n';
        at += 1 + *at;
      }
      length += (size_t)sprintf((char *)line + length, "%" PRIu32 "\n%" PRIu64, window->start, count);
      keys++;
      clicks += count;
      checksum += crc32(line, length);
    }
  }
  printf("{\"firstSeconds\":%.9f,\"seconds\":%.9f,\"keys\":%" PRIu64 ",\"clicks\":%" PRIu64 ",\"checksum\":\"%" PRIu64 "\"}\n",
         firstSeconds, seconds, keys, clicks, checksum);
}

/* ---- the command ---- */

/* Lengths of four strings that are not there, each of a byte. */
enum { READ_SLACK = 4 + 4 * 256 };

static u8 *readWhole(const char *path, size_t *length) {
  FILE *file = fopen(path, "rb");
  if (file == NULL) fail("cannot open the case");
  fseek(file, 0, SEEK_END);
  *length = (size_t)ftell(file);
  rewind(file);
  u8 *bytes = calloc(*length + READ_SLACK, 1);
  if (bytes == NULL || fread(bytes, 1, *length, file) != *length) fail("cannot read the case");
  fclose(file);
  return bytes;
}

static double now(void) {
  struct timespec time;
  clock_gettime(CLOCK_MONOTONIC, &time);
  return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static double ingestAll(const u8 *rows, size_t bytes, const u8 *index, size_t indexBytes) {
  double start = now();
  const u8 *at = rows;
  for (size_t i = 0; i < indexBytes; i += 8) {
    u32 blockBytes = load32(index + i);
    ingest(at, blockBytes, load32(index + i + 4));
    at += blockBytes;
  }
  if (at != rows + bytes) fail("the index does not fit the rows");
  return now() - start;
}

int main(int argc, char **argv) {
  if (argc != 4 || atoi(argv[3]) < 2) fail("usage: kernel ROWS.bin ROWS.index PASSES");
  size_t bytes, indexBytes;
  u8 *rows = readWhole(argv[1], &bytes);
  u8 *index = readWhole(argv[2], &indexBytes);
  openArea();
  double firstSeconds = ingestAll(rows, bytes, index, indexBytes);
  double seconds = firstSeconds;
  for (int pass = 2; pass <= atoi(argv[3]); pass++) {
    giveWindows();
    seconds = ingestAll(rows, bytes, index, indexBytes);
  }
  printTally(firstSeconds, seconds);
  return 0;
}
