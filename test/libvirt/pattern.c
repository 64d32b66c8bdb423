/* Writes and verifies blocks of a disk, in a guest: each block's bytes follow from its place and a number, so a block that was lost,
 * is old or went elsewhere is told. All I/O goes past the guest's cache.
 *   pattern write  DISK OFFSET BLOCKS SIZE NUMBER     writes BLOCKS blocks of SIZE bytes
 *   pattern verify DISK OFFSET BLOCKS SIZE NUMBER     prints the first that differs, if any
 *   pattern hammer DISK OFFSET BLOCKS SIZE FILE       writes them round by round, a number a round, until FILE exists; then verifies
 *   pattern point  FILE OFFSET BLOCKS SIZE LEAST      whether they are one moment of a hammering: first blocks of some round, not
 *                                                     below LEAST, then blocks of the one before; prints the round */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

static uint64_t mixed(uint64_t value) {
  value = (value ^ (value >> 31)) * 0x9e3779b97f4a7c15ull;
  return value ^ (value >> 29);
}

static void fill(char *block, size_t size, uint64_t place, uint64_t number) {
  memcpy(block, &number, 8);
  for (size_t at = 8; at < size; at += 8) {
    uint64_t word = mixed(place * 1000003 + number * 7919 + at + 1);
    memcpy(block + at, &word, 8);
  }
}

static int failed(const char *what, uint64_t offset) {
  printf("%s at %llu: %s\n", what, (unsigned long long)offset, strerror(errno));
  return 1;
}

static int write_all(int fd, char *block, uint64_t from, uint64_t blocks, size_t size, uint64_t number) {
  for (uint64_t at = 0; at < blocks; at++) {
    fill(block, size, from + at * size, number);
    if (pwrite(fd, block, size, (off_t)(from + at * size)) != (ssize_t)size) return failed("write", from + at * size);
  }
  return 0;
}

static int verify(int fd, char *block, uint64_t from, uint64_t blocks, size_t size, uint64_t number) {
  char *wanted = malloc(size);
  for (uint64_t at = 0; at < blocks; at++) {
    uint64_t offset = from + at * size;
    if (pread(fd, block, size, (off_t)offset) != (ssize_t)size) return failed("read", offset);
    fill(wanted, size, offset, number);
    if (memcmp(block, wanted, size) != 0) {
      printf("block at %llu differs\n", (unsigned long long)offset);
      return 1;
    }
  }
  free(wanted);
  return 0;
}

static int point(int fd, char *block, uint64_t from, uint64_t blocks, size_t size, uint64_t least) {
  uint64_t first = 0, split = 0;
  while (split < blocks) {
    uint64_t number;
    if (pread(fd, block, size, (off_t)(from + split * size)) != (ssize_t)size) return failed("read", from + split * size);
    memcpy(&number, block, 8);
    if (split == 0) first = number;
    if (number != first) break;
    split++;
  }
  printf("round %llu, %llu blocks of it\n", (unsigned long long)first, (unsigned long long)split);
  return first < least || verify(fd, block, from, split, size, first) || verify(fd, block, from + split * size, blocks - split, size, first - 1);
}

int main(int count, char **words) {
  if (count != 7) return 2;
  uint64_t from = strtoull(words[3], NULL, 0), blocks = strtoull(words[4], NULL, 0);
  size_t size = strtoull(words[5], NULL, 0);
  int fd = open(words[2], strcmp(words[1], "point") == 0 ? O_RDONLY : O_RDWR | O_DIRECT);
  char *block;
  if (fd < 0 || posix_memalign((void **)&block, 4096, size) != 0) return failed("open", 0);
  uint64_t number = strtoull(words[6], NULL, 0);
  if (strcmp(words[1], "write") == 0) return write_all(fd, block, from, blocks, size, number) || (fsync(fd) != 0 && failed("flush", 0));
  if (strcmp(words[1], "verify") == 0) return verify(fd, block, from, blocks, size, number);
  if (strcmp(words[1], "point") == 0) return point(fd, block, from, blocks, size, number);
  uint64_t round = 0;
  while (access(words[6], F_OK) != 0) {
    round++;
    if (write_all(fd, block, from, blocks, size, round) != 0) return 1;
    if (fsync(fd) != 0) return failed("flush", 0);
  }
  printf("rounds %llu\n", (unsigned long long)round);
  return verify(fd, block, from, blocks, size, round);
}
