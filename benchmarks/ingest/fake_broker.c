/* fake_broker PORT MESSAGES WINDOW
 *
 * A broker for one subscriber that costs next to nothing, so that what is measured is the subscriber: it sends the
 * file's messages at QoS 1 as fast as they are read, with at most WINDOW (or the client's Receive Maximum, if that is
 * less) not acknowledged. Says `ready` when it listens and `subscribed` after the first SUBSCRIBE; sends after it has
 * read a line; prints one JSON line after the last PUBACK; and keeps the connection until its input ends. */
#include "mqtt_wire.h"

static int version5;
static uint32_t window;

/* Bytes used by the variable length at `at`, 0 while it is not complete. */
static int get_length(const uint8_t *at, const uint8_t *end, uint32_t *value) {
  *value = 0;
  for (int n = 0; n < 4 && at + n < end; n++) {
    *value |= (uint32_t)(at[n] & 127) << (7 * n);
    if (!(at[n] & 128)) return n + 1;
  }
  return 0;
}

static void write_all(int to, const void *bytes, size_t length) {
  for (const char *at = bytes; length;) {
    ssize_t written = write(to, at, length);
    if (written < 0) {
      if (errno != EAGAIN && errno != EINTR) die("write");
      struct pollfd wait = {to, POLLOUT, 0};
      poll(&wait, 1, 1000);
      continue;
    }
    at += written, length -= written;
  }
}

static void on_connect(int client, const uint8_t *body, const uint8_t *end) {
  version5 = body[6] == 5;
  if (version5) {
    uint32_t length;
    const uint8_t *at = body + 10;
    at += get_length(at, end, &length);
    for (const uint8_t *stop = at + length; at < stop;) {
      uint8_t property = *at++;
      if (property == 0x21) {  /* Receive Maximum */
        uint32_t maximum = at[0] << 8 | at[1];
        if (maximum < window) window = maximum;
      }
      if (property == 0x17 || property == 0x19) at += 1;
      else if (property == 0x21 || property == 0x22) at += 2;
      else if (property == 0x11 || property == 0x27) at += 4;
      else break;  /* user properties and authentication come after what we look for */
    }
  }
  uint8_t answer3[] = {CONNACK, 2, 0, 0}, answer5[] = {CONNACK, 3, 0, 0, 0};
  write_all(client, version5 ? answer5 : answer3, version5 ? 5 : 4);
}

/* SUBACK grants QoS 1 to every filter; UNSUBACK of MQTT 5 has a code for each as well. */
static void on_filters(int client, uint8_t kind, const uint8_t *body, const uint8_t *end) {
  uint8_t answer[512], codes = 0;
  uint32_t properties = 0;
  const uint8_t *at = body + 2;
  if (version5) at += get_length(at, end, &properties), at += properties;
  while (at + 2 <= end && codes < 200) {
    at += 2 + (at[0] << 8 | at[1]) + (kind == SUBSCRIBE ? 1 : 0);
    codes++;
  }
  uint8_t *to = answer;
  int with_codes = kind == SUBSCRIBE || version5;
  *to++ = kind == SUBSCRIBE ? SUBACK : UNSUBACK;
  to += put_length(to, 2 + (version5 ? 1 : 0) + (with_codes ? codes : 0));
  *to++ = body[0], *to++ = body[1];
  if (version5) *to++ = 0;
  if (with_codes) memset(to, kind == SUBSCRIBE ? 1 : 0, codes), to += codes;
  write_all(client, answer, to - answer);
}

int main(int n_arguments, char **arguments) {
  if (n_arguments != 4) return fprintf(stderr, "fake_broker PORT MESSAGES WINDOW\n"), 2;
  uint64_t total, sent = 0, acknowledged = 0;
  Message *messages = read_messages(arguments[2], &total);
  window = atoi(arguments[3]);
  signal(SIGPIPE, SIG_IGN);
  alarm(600);  /* never outlives a benchmark that was killed */

  int door = socket(AF_INET, SOCK_STREAM, 0), one = 1;
  setsockopt(door, SOL_SOCKET, SO_REUSEADDR, &one, sizeof one);
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_port = htons(atoi(arguments[1])),
                                .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  if (bind(door, (void *)&address, sizeof address) || listen(door, 8)) die("listen");
  puts("ready"), fflush(stdout);

  static uint8_t in[1 << 20], out[2 << 20];
  size_t have = 0, out_at = 0, out_end = 0;
  int client = -1, subscribed = 0, sending = 0, said = 0;
  uint16_t mid = 0;
  double began = 0, ended = 0;
  for (;;) {
    int room = sending && sent < total && sent - acknowledged < window;
    struct pollfd polls[3] = {{STDIN_FILENO, POLLIN, 0},
                              {client < 0 ? door : client, POLLIN | (out_end > out_at || room ? POLLOUT : 0), 0}};
    if (poll(polls, 2, 1000) < 0 && errno != EINTR) die("poll");
    if (polls[0].revents) {
      char line[64];
      if (read(STDIN_FILENO, line, sizeof line) <= 0) return 0;
      sending = 1, began = now();
    }
    if (client < 0) {
      if (polls[1].revents) {
        client = accept(door, 0, 0);
        setsockopt(client, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
        fcntl(client, F_SETFL, O_NONBLOCK);
      }
      continue;
    }
    if (polls[1].revents & (POLLIN | POLLHUP | POLLERR)) {
      ssize_t got = read(client, in + have, sizeof in - have);
      if (got == 0 || (got < 0 && errno != EAGAIN)) {
        if (sending && acknowledged < total)
          return fprintf(stderr, "the client left after %llu\n", (unsigned long long)acknowledged), 1;
        close(client), client = -1, have = 0, subscribed = 0;
        continue;
      }
      if (got > 0) have += got;
      const uint8_t *at = in, *end = in + have;
      while (at + 2 <= end) {
        uint32_t length;
        int used = get_length(at + 1, end, &length);
        if (!used || at + 1 + used + length > end) break;
        const uint8_t *body = at + 1 + used;
        switch (*at & 0xf0) {
          case PUBACK: acknowledged++; break;
          case CONNECT: on_connect(client, body, body + length); break;
          case SUBSCRIBE:
            on_filters(client, SUBSCRIBE, body, body + length);
            if (!subscribed++) puts("subscribed"), fflush(stdout);
            break;
          case UNSUBSCRIBE: on_filters(client, UNSUBSCRIBE, body, body + length); break;
          case PINGREQ: { uint8_t answer[] = {PINGRESP, 0}; write_all(client, answer, 2); break; }
          default: break;
        }
        at = body + length;
      }
      memmove(in, at, have = end - at);
      if (acknowledged >= total && !said++) {
        ended = now();
        printf("{\"sent\": %llu, \"acknowledged\": %llu, \"seconds\": %.4f, \"window\": %u, \"version\": %d}\n",
               (unsigned long long)sent, (unsigned long long)acknowledged, ended - began, window, version5 ? 5 : 4);
        fflush(stdout);
      }
    }
    if (polls[1].revents & POLLOUT) {
      if (out_at == out_end) {
        out_at = out_end = 0;
        while (sent < total && sent - acknowledged < window && out_end < (256 << 10)) {
          if (out_end + publish_room(&messages[sent]) > sizeof out) break;
          if (!++mid) mid = 1;
          out_end += put_publish(out + out_end, &messages[sent++], mid, version5, 0);
        }
      }
      if (out_end > out_at) {
        ssize_t written = write(client, out + out_at, out_end - out_at);
        if (written > 0) out_at += written;
      }
    }
  }
}
