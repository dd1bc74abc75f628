/* The few pieces of MQTT that fake_broker.c and publisher.c share, and the file of messages that both read:
 * a run of  topic length u2 | topic | payload length u4 | payload  (little-endian), written by traffic.py. */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { CONNECT = 0x10, CONNACK = 0x20, PUBLISH = 0x30, PUBACK = 0x40, SUBSCRIBE = 0x80, SUBACK = 0x90,
       UNSUBSCRIBE = 0xa0, UNSUBACK = 0xb0, PINGREQ = 0xc0, PINGRESP = 0xd0, DISCONNECT = 0xe0 };

static double now(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return t.tv_sec + t.tv_nsec * 1e-9;
}

static void die(const char *what) { perror(what); exit(2); }

typedef struct { const uint8_t *topic, *payload; uint16_t topic_length; uint32_t payload_length; } Message;

static Message *read_messages(const char *path, uint64_t *count) {
  int file = open(path, O_RDONLY);
  struct stat status;
  if (file < 0 || fstat(file, &status)) die(path);
  const uint8_t *data = mmap(0, status.st_size, PROT_READ, MAP_PRIVATE | MAP_POPULATE, file, 0);
  if (data == MAP_FAILED) die("mmap");
  uint64_t room = 1024, n = 0;
  Message *messages = malloc(room * sizeof *messages);
  for (const uint8_t *at = data, *end = data + status.st_size; at < end; n++) {
    if (n == room) messages = realloc(messages, (room *= 2) * sizeof *messages);
    Message *m = &messages[n];
    memcpy(&m->topic_length, at, 2), at += 2;
    m->topic = at, at += m->topic_length;
    memcpy(&m->payload_length, at, 4), at += 4;
    m->payload = at, at += m->payload_length;
  }
  *count = n;
  return messages;
}

static int put_length(uint8_t *to, uint32_t value) {
  int n = 0;
  do {
    uint8_t low = value & 127;
    value >>= 7;
    to[n++] = low | (value ? 128 : 0);
  } while (value);
  return n;
}

static uint32_t publish_room(const Message *m) { return m->topic_length + m->payload_length + 16; }

/* A PUBLISH at QoS 1; its bytes. */
static uint32_t put_publish(uint8_t *to, const Message *m, uint16_t mid, int version5, int again) {
  uint8_t *at = to;
  *at++ = PUBLISH | 2 | (again ? 8 : 0);
  at += put_length(at, 2 + m->topic_length + 2 + (version5 ? 1 : 0) + m->payload_length);
  *at++ = m->topic_length >> 8, *at++ = m->topic_length & 255;
  memcpy(at, m->topic, m->topic_length), at += m->topic_length;
  *at++ = mid >> 8, *at++ = mid & 255;
  if (version5) *at++ = 0;
  memcpy(at, m->payload, m->payload_length), at += m->payload_length;
  return at - to;
}
